//! Where a symlink of a tree leads.

use crate::{
    error::GitResult,
    ids::RepoPath,
    tree::{self, LINK, reserved::is_dot_git},
};
use git2::{Oid, Repository};
use std::collections::VecDeque;

/// As many links as the system follows on the way to one file.
const MOST_LINKS: usize = 40;
/// The system takes no longer path.
const MOST_BYTES: usize = 4096;

/// Where a path leads in the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// To this path of the tree, whether something is there or not.
    To(RepoPath),
    /// Out of the tree, or into git's own directory; in words, how.
    Out(&'static str),
}

/// Follows a path as the system would in a checkout of the tree.
pub(super) fn follow(repository: &Repository, tree: Oid, path: &RepoPath) -> GitResult<Leads> {
    let mut ahead: VecDeque<Vec<u8>> = parts(path.as_bytes()).collect();
    let mut reached: Vec<Vec<u8>> = Vec::new();
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        match &part[..] {
            b"." => continue,
            b".." => match reached.pop() {
                Some(_) => continue,
                None => return Ok(Leads::Out("it leads out of the repository")),
            },
            name if is_dot_git(name) => return Ok(Leads::Out("it leads into git's own directory")),
            _ => {}
        }
        reached.push(part);
        let here = RepoPath::new(reached.join(&b'/'));
        let Some(link) = tree::find(repository, tree, &here)?.filter(|entry| entry.mode == LINK) else {
            continue;
        };
        links += 1;
        let target = tree::content(repository, link.oid, &here)?;
        if target.starts_with(b"/") || target.get(1) == Some(&b':') || target.starts_with(b"\\") {
            return Ok(Leads::Out("its target is an absolute path"));
        }
        if links > MOST_LINKS || target.len() > MOST_BYTES {
            return Ok(Leads::Out("where it leads can't be found out"));
        }
        reached.pop();
        for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
            ahead.push_front(part);
        }
    }
    Ok(Leads::To(RepoPath::new(reached.join(&b'/'))))
}

/// The names of a path. A backslash parts names where Windows checks it out: what leads out there leads out.
fn parts(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let windows = path.contains(&b'\\')
        && path
            .split(|byte| matches!(byte, b'/' | b'\\'))
            .any(|part| part == b"..");
    let parts: Vec<Vec<u8>> = path
        .split(|byte| *byte == b'/' || windows && *byte == b'\\')
        .filter(|part| !part.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    parts.into_iter()
}
