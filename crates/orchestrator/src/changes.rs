//! What a branch changed, asked of git in the person's own repository. Only read.

use serde::Serialize;
use std::{path::Path, process::Command};

/// Sums of a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Changes {
    pub(crate) files: u64,
    pub(crate) insertions: u64,
    pub(crate) deletions: u64,
}

impl Changes {
    /// Between two commits of a repository; `None` where that can't be told here.
    pub(crate) fn between(repository: &Path, from: &str, to: &str) -> Option<Self> {
        let text = git(
            repository,
            &["diff", "--shortstat", "--no-ext-diff", "--no-textconv", from, to],
        )?;
        Some(Self::parse(&String::from_utf8_lossy(&text)))
    }

    /// ` 3 files changed, 12 insertions(+), 1 deletion(-)`
    fn parse(text: &str) -> Self {
        let number = |noun: &str| {
            let part = text.split(',').find(|part| part.contains(noun));
            part.and_then(|part| part.split_whitespace().next())
                .and_then(|digits| digits.parse().ok())
                .unwrap_or(0)
        };
        Self {
            files: number("file"),
            insertions: number("insertion"),
            deletions: number("deletion"),
        }
    }
}

/// The difference itself, as a patch: its bytes are those of the files.
pub(crate) fn patch(repository: &Path, from: &str, to: &str) -> Option<Vec<u8>> {
    git(
        repository,
        &["diff", "--no-color", "--no-ext-diff", "--no-textconv", from, to],
    )
}

/// Where the commit of a run stands in the person's repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is part of what is checked out.
    Merged,
    /// It can be merged into what is checked out.
    Unmerged,
    /// It is there, and nothing is checked out to merge it into.
    NoCheckout,
    /// Neither the repository nor the commit can be read.
    Unreadable,
}

impl Standing {
    /// Asks the repository.
    pub(crate) fn of(repository: &Path, commit: &str) -> Self {
        if git(repository, &["cat-file", "-e", &format!("{commit}^{{commit}}")]).is_none() {
            return Self::Unreadable;
        }
        let bare = git(repository, &["rev-parse", "--is-bare-repository"]);
        if bare.is_none_or(|bare| bare.starts_with(b"true")) {
            return Self::NoCheckout;
        }
        match git(repository, &["merge-base", "--is-ancestor", commit, "HEAD"]) {
            Some(_) => Self::Merged,
            None => Self::Unmerged,
        }
    }
}

/// The branch where it names the commit, else the commit: a branch may be gone, or moved on by its owner.
pub(crate) fn name_of<'a>(repository: &Path, branch: &'a str, commit: &'a str) -> &'a str {
    let found = git(
        repository,
        &["rev-parse", "--verify", "-q", &format!("refs/heads/{branch}")],
    );
    match found {
        Some(found) if found.trim_ascii_end() == commit.as_bytes() => branch,
        Some(_) | None => commit,
    }
}

fn git(repository: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new("git")
        .arg("-C")
        .arg(repository)
        // Nothing that a repository's configuration names is started.
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"])
        .args(arguments)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    output.status.success().then_some(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_whatever_is_missing() {
        let found = Changes::parse(" 3 files changed, 12 insertions(+), 1 deletion(-)\n");
        assert_eq!(
            found,
            Changes {
                files: 3,
                insertions: 12,
                deletions: 1
            }
        );
        let found = Changes::parse(" 1 file changed, 1 insertion(+)\n");
        assert_eq!(
            found,
            Changes {
                files: 1,
                insertions: 1,
                deletions: 0
            }
        );
        assert_eq!(Changes::parse(""), Changes::default());
    }
}
