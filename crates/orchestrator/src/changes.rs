//! What a branch changed, read from the user's repository by git.

use serde::Serialize;
use std::{path::Path, process::Command};

/// Totals of a diff.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Changes {
    pub(crate) files: u64,
    pub(crate) insertions: u64,
    pub(crate) deletions: u64,
}

impl Changes {
    /// Between two commits of a repository; `None` where git can't read them.
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

/// The diff as a patch, in the bytes of the files.
pub(crate) fn patch(repository: &Path, from: &str, to: &str) -> Option<Vec<u8>> {
    git(
        repository,
        &["diff", "--no-color", "--no-ext-diff", "--no-textconv", from, to],
    )
}

/// How the commit of a run relates to the user's checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The checkout contains it.
    Merged,
    /// The checkout does not contain it.
    Unmerged,
    /// The repository has it but no checkout to merge it into.
    NoCheckout,
    /// The repository or the commit can't be read.
    Unreadable,
}

impl Standing {
    /// Reads it from the repository.
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

/// The branch if it points to the commit, else the commit: the user may have moved or deleted the branch.
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
        // No program that the repository's configuration names is started.
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
    fn shortstat_is_parsed_with_missing_parts() {
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
