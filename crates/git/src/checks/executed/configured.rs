//! Files of a checkout that the user's own git configuration makes git run: below `core.hooksPath`, named as a program, read
//! as configuration, or linked to as a hook.
//!
//! git itself reads the configuration, so includes, their conditions and the configuration of a worktree count as they do
//! for the user. Reading it runs nothing.

use super::list::COMMAND_KEYS;
use crate::{
    error::{Doing, GitError, GitResult},
    ids::RepoPath,
    process,
};
use git2::Repository;
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

const TIME_LIMIT: Duration = Duration::from_secs(60);
const COMMAND: &str = "git config --list";
/// Of the caller's environment: where configuration is found.
const KEPT: [&str; 6] = [
    "PATH",
    "HOME",
    "XDG_CONFIG_HOME",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
];

/// What a user's git runs of the checkout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserCommands {
    /// Directories of hooks, relative to the root, which itself is the empty path; and the key that says so.
    pub(super) hooks: Vec<(RepoPath, String)>,
    /// Files, and what names them.
    pub(super) files: Vec<(RepoPath, String)>,
}

impl UserCommands {
    /// Reads the configuration of a user's repository.
    pub fn of(user_repository: &Path) -> GitResult<Self> {
        let doing = || format!("can't read the configuration of {}", user_repository.display());
        let repository = Repository::open(user_repository).doing(doing)?;
        let Some(root) = repository.workdir() else {
            return Ok(Self::default());
        };
        let mut found = Self::default();
        for (origin, key, value) in entries(root)? {
            found.add(root, &origin, &key, &value);
        }
        found.add_linked_hooks(root, &repository.commondir().join("hooks"));
        Ok(found)
    }

    fn add(&mut self, root: &Path, origin: &[u8], key: &str, value: &[u8]) {
        let origin = origin
            .strip_prefix(b"file:")
            .map(|file| root.join(OsStr::from_bytes(file)));
        let own = origin
            .as_deref()
            .and_then(|file| within(root, root, file.as_os_str().as_bytes()));
        if let Some(file) = own {
            self.add_file(file, "git reads it as configuration".to_owned());
        }
        let last = key.rsplit('.').next().unwrap_or_default();
        let is_command = ["alias.", "pager.", "hook."].iter().any(|start| key.starts_with(start));
        if matches!(key, "core.hookspath" | "init.templatedir") {
            self.hooks
                .extend(within(root, root, value).map(|path| (path, key.to_owned())));
        } else if key == "include.path" || key.starts_with("includeif.") {
            // Relative to the file that says so. It need not be there yet.
            let from = origin.as_deref().and_then(Path::parent).unwrap_or(root);
            if let Some(file) = within(root, from, value) {
                self.add_file(file, "git reads it as configuration".to_owned());
            }
        } else if is_command || COMMAND_KEYS.contains(&last) {
            let words = value.split(|byte| byte.is_ascii_whitespace() || b"\"'=;|&()!`$<>".contains(byte));
            for file in words.filter_map(|word| within(root, root, word)) {
                self.add_file(file, format!("{key} names it"));
            }
        }
    }

    fn add_file(&mut self, file: RepoPath, why: String) {
        let named = (file, why);
        if !self.files.contains(&named) {
            self.files.push(named);
        }
    }

    /// `.git/hooks/pre-commit -> ../../tools/pre-commit` is a usual set-up.
    fn add_linked_hooks(&mut self, root: &Path, hooks: &Path) {
        let linked = |path: &Path| Some((fs::read_link(path).ok()?, path.file_name()?.to_owned()));
        if let Ok(target) = fs::read_link(hooks) {
            let path = within(root, hooks.parent().unwrap_or(root), target.as_os_str().as_bytes());
            self.hooks.extend(path.map(|path| (path, ".git/hooks".to_owned())));
        }
        let entries = fs::read_dir(hooks).into_iter().flatten().filter_map(Result::ok);
        for (target, name) in entries.filter_map(|entry| linked(&entry.path())) {
            let path = within(root, hooks, target.as_os_str().as_bytes());
            if let Some(path) = path {
                self.add_file(path, format!("the hook {} is a link to it", name.display()));
            }
        }
    }
}

/// A path of the checkout, from a path in the configuration, relative to `from`; `None`: it is elsewhere, or in `.git`.
fn within(root: &Path, from: &Path, written: &[u8]) -> Option<RepoPath> {
    if written.is_empty() || written.len() > 4096 {
        return None;
    }
    let written = Path::new(OsStr::from_bytes(written));
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?));
    let written = match written.strip_prefix("~") {
        Ok(rest) => home()?.join(rest),
        Err(_) => from.join(written),
    };
    let mut plain = PathBuf::new();
    for component in written.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    let canonical = root.canonicalize().ok()?;
    let below = plain
        .strip_prefix(root)
        .or_else(|_| plain.strip_prefix(&canonical))
        .ok()?;
    (!below.starts_with(".git")).then(|| RepoPath::new(below.as_os_str().as_bytes()))
}

/// The origin of a value, its key, and the value.
type ConfigEntry = (Vec<u8>, String, Vec<u8>);

/// Every value of the configuration.
fn entries(root: &Path) -> GitResult<Vec<ConfigEntry>> {
    let mut command = Command::new("git");
    let kept = KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    command
        .env_clear()
        .envs(kept.collect::<Vec<(&str, OsString)>>())
        .env("LC_ALL", "C")
        .current_dir(root)
        .args(["config", "--list", "--includes", "-z", "--show-origin"])
        .stdin(Stdio::null());
    let output = process::run(command, COMMAND, TIME_LIMIT)?;
    if output.status != Some(0) {
        return Err(GitError::Program {
            command: COMMAND.to_owned(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    let fields: Vec<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
    let entries = fields.chunks_exact(2).map(|pair| {
        let (origin, entry) = (pair[0], pair[1]);
        let end = entry.iter().position(|byte| *byte == b'\n').unwrap_or(entry.len());
        let value = entry.get(end + 1..).unwrap_or_default();
        (
            origin.to_vec(),
            String::from_utf8_lossy(&entry[..end]).into_owned(),
            value.to_vec(),
        )
    });
    Ok(entries.collect())
}
