//! Repository formats that this crate can't work with, found in the repository's own configuration.

use crate::user_repository::inspect::WorkspaceError;
use git2::Config;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The newest `core.repositoryformatversion` that git defines.
const NEWEST_VERSION: i64 = 1;
/// Larger files are left to the checks of the repository's parts.
const CONFIG_MAX_BYTES: u64 = 1 << 20;
/// `extensions.*` that libgit2 works with.
const SUPPORTED: [&str; 4] = ["noop", "preciousobjects", "worktreeconfig", "relativeworktrees"];

/// Refuses a format that libgit2 can't read, or that leaves objects out.
pub(super) fn check(path: &Path) -> Result<(), WorkspaceError> {
    let Some(config) = own_config(path) else {
        return Ok(());
    };
    let unsupported = |feature: String, way_out: String| WorkspaceError::UnsupportedFormat {
        path: path.to_owned(),
        feature,
        way_out,
    };
    let clone = format!("clone it (`git clone {} COPY`) and give the clone", path.display());
    let version = config.get_i64("core.repositoryformatversion").unwrap_or_default();
    if version > NEWEST_VERSION {
        return Err(unsupported(format!("repository format version {version}"), clone));
    }
    for (name, value) in extensions(&config) {
        let setting = format!("extensions.{name} = {value}");
        let (feature, way_out) = match name.as_str() {
            supported if SUPPORTED.contains(&supported) => continue,
            "objectformat" if value.eq_ignore_ascii_case("sha1") => continue,
            "objectformat" => (
                format!("object ids other than SHA-1 ({setting})"),
                other_object_ids(path),
            ),
            "refstorage" if value.eq_ignore_ascii_case("files") => {
                let way_out = "it names the default: `git config --unset extensions.refStorage`";
                (format!("the extension {setting}"), way_out.to_owned())
            }
            "refstorage" => (
                format!("a reference storage other than files ({setting})"),
                other_references(path),
            ),
            "partialclone" => (format!("a partial clone ({setting})"), complete(&value)),
            _ => (format!("the extension {setting}"), clone.clone()),
        };
        return Err(unsupported(feature, way_out));
    }
    match promisor(&config) {
        Some(remote) => Err(unsupported(
            format!("a partial clone (remote.{remote}.promisor = true)"),
            complete(&remote),
        )),
        None => Ok(()),
    }
}

/// git converts no repository in place; a copy gets ids of its own.
fn other_object_ids(path: &Path) -> String {
    let head = read(&path.join(".git/HEAD")).unwrap_or_default();
    let branch = head.trim_end().strip_prefix("ref: refs/heads/").unwrap_or("main");
    let path = path.display();
    format!(
        "git can't convert a repository in place. Make a copy with new ids: `git init --object-format=sha1 COPY && git \
         -C {path} fast-export --all --signed-tags=strip | git -C COPY fast-import && git -C COPY checkout {branch}`, \
         and give the copy"
    )
}

fn other_references(path: &Path) -> String {
    let path = path.display();
    format!(
        "convert it with `git -C {path} refs migrate --ref-format=files` (git 2.48 or newer), or clone it (`git clone \
         --ref-format=files {path} COPY`) and give the clone"
    )
}

fn complete(remote: &str) -> String {
    format!(
        "some objects are only at {remote}. Fetch all of them: `git fetch --refetch --no-filter {remote}`, then remove \
         the settings remote.{remote}.promisor, remote.{remote}.partialCloneFilter and extensions.partialClone with \
         `git config --unset-all`"
    )
}

fn extensions(config: &Config) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // An expression that can't be wrong; a configuration that can't be read is for libgit2 to complain of.
    if let Ok(entries) = config.entries(Some("^extensions\\.")) {
        entries
            .for_each(|entry| {
                let name = entry.name().unwrap_or_default().trim_start_matches("extensions.");
                let value = entry.value().ok().unwrap_or_default();
                found.push((name.to_ascii_lowercase(), value.to_owned()));
            })
            .unwrap_or_default();
    }
    found
}

/// The remote that has what a partial clone left out.
fn promisor(config: &Config) -> Option<String> {
    let mut remote = None;
    let entries = config.entries(Some("^remote\\..*\\.promisor$")).ok()?;
    entries
        .for_each(|entry| {
            let name = entry.name().unwrap_or_default();
            let name = name
                .strip_prefix("remote.")
                .and_then(|name| name.strip_suffix(".promisor"));
            if let Some(name) = name.filter(|_| !matches!(entry.value(), Ok("false" | "0" | "no" | "off"))) {
                remote = Some(name.to_owned());
            }
        })
        .unwrap_or_default();
    remote
}

/// The configuration of the repository alone. Of a linked worktree, that of what it shares.
fn own_config(path: &Path) -> Option<Config> {
    let git = path.join(".git");
    let git = match read(&git) {
        Some(pointer) => path.join(pointer.strip_prefix("gitdir:")?.trim()),
        None => git,
    };
    let common = match read(&git.join("commondir")) {
        Some(common) => git.join(common.trim_end()),
        None => git,
    };
    let file: PathBuf = common.join("config");
    let metadata = fs::metadata(&file).ok()?;
    let is_usable = metadata.is_file() && metadata.len() <= CONFIG_MAX_BYTES;
    is_usable.then(|| Config::open(&file).ok()).flatten()
}

/// The text of a small plain file. A pipe would be waited for.
fn read(file: &Path) -> Option<String> {
    let metadata = fs::metadata(file).ok()?;
    let is_usable = metadata.is_file() && metadata.len() <= CONFIG_MAX_BYTES;
    is_usable.then(|| fs::read_to_string(file).ok()).flatten()
}
