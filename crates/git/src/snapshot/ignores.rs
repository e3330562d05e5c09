//! The `.gitignore` files on the way down a directory tree.

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{Mode, OFlags, openat};
use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
};

const GITIGNORE_MAX_BYTES: u64 = 1 << 20;

/// The rules from the root down to the directory being read.
#[derive(Default)]
pub(crate) struct Ignores {
    /// Each with the length of its directory's path, slash included.
    levels: Vec<(usize, Option<Gitignore>)>,
}

impl Ignores {
    /// Reads the `.gitignore` of a directory.
    pub(crate) fn enter(&mut self, directory: &OwnedFd, path: &[u8]) {
        let prefix = if path.is_empty() { 0 } else { path.len() + 1 };
        self.levels.push((prefix, read(directory)));
    }

    /// Forgets the rules of the directory entered last.
    pub(crate) fn leave(&mut self) {
        self.levels.pop();
    }

    /// The nearest `.gitignore` that says something about the path decides.
    pub(crate) fn contain(&self, path: &[u8], is_directory: bool) -> bool {
        let decided = self.levels.iter().rev().find_map(|(prefix, rules)| {
            let relative = Path::new(OsStr::from_bytes(&path[*prefix..]));
            let matched = rules.as_ref()?.matched(relative, is_directory);
            (!matched.is_none()).then(|| matched.is_ignore())
        });
        decided.unwrap_or(false)
    }
}

/// Missing, a symlink, or unreadable: no rules, as in git.
fn read(directory: &OwnedFd) -> Option<Gitignore> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = openat(directory, ".gitignore", flags, Mode::empty()).ok()?;
    let mut content = Vec::new();
    File::from(opened)
        .take(GITIGNORE_MAX_BYTES)
        .read_to_end(&mut content)
        .ok()?;
    let mut builder = GitignoreBuilder::new("");
    for line in String::from_utf8_lossy(&content).lines() {
        // A line that can't be understood ignores nothing, as in git.
        builder.add_line(None, line).ok();
    }
    builder.build().ok()
}
