//! Pushing a delivered branch to a remote: it is created or goes forward, and never loses what others pushed.

use crate::{
    error::{GitError, GitResult, shown},
    history::is_ancestor,
    hub::Hub,
    ids::commit_oid,
    process::{self, isolated, join},
    remote::Remote,
};
use domain::CommitId;
use git2::Reference;
use serde::{Deserialize, Serialize};
use std::{fmt, process::Command, time::Duration};

/// A push may take so long.
const PUSH_LIMIT: Duration = Duration::from_secs(600);
/// Asking a remote where a branch is may take so long.
const ASK_LIMIT: Duration = Duration::from_secs(60);
/// What a remote said is kept up to here.
const MAX_SAID: usize = 2_000;

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pushed {
    /// The branch is new on the remote.
    Created,
    /// The branch went forward on the remote.
    Updated,
    /// The branch was there already.
    Already,
    /// The remote is as it was.
    Rejected(PushRejection),
}

/// Why the branch of a remote did not move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushRejection {
    /// It is not where it was expected: someone else moved it.
    Moved {
        /// Where it was expected; `None`: it was not expected to exist.
        expected: Option<CommitId>,
        /// Where it is; `None`: it does not exist.
        found: Option<CommitId>,
    },
    /// It holds commits that ours does not.
    NotForward {
        /// Where it is.
        found: CommitId,
    },
    /// A hook or a rule of the remote.
    ByRemote {
        /// What the remote said.
        said: String,
    },
}

/// Why nothing is known about what a push did, or why it was not tried. Again is fine.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The address can't be used.
    #[error("'{address}' can't be pushed to: {reason}")]
    BadAddress {
        /// The address, without a password.
        address: String,
        /// Why.
        reason: &'static str,
    },
    /// The branch name is none.
    #[error("'{branch}' is no branch name: letters, digits, - and / are fine")]
    BadBranch {
        /// The name.
        branch: String,
    },
    /// The remote did not answer as a repository.
    #[error(
        "{address} can't be reached: {said}. Check the address, and that a credential helper or an ssh command is \
         configured if it needs one"
    )]
    Unreachable {
        /// The address.
        address: String,
        /// What git said.
        said: String,
    },
    /// Anything else.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl fmt::Display for PushRejection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved { expected, found } => write!(
                formatter,
                "the branch was expected at {}, but is at {}: someone else moved it",
                shown(expected),
                shown(found)
            ),
            Self::NotForward { found } => write!(
                formatter,
                "the branch is at {}, which this result does not contain",
                found.short()
            ),
            Self::ByRemote { said } => write!(formatter, "the remote refused: {said}"),
        }
    }
}

impl Hub {
    /// Where a branch is on a remote; `None` if it does not exist. The caller records it before it pushes.
    pub fn remote_tip(&self, remote: &Remote, branch: &str) -> Result<Option<CommitId>, PushError> {
        let reference = reference(branch)?;
        let mut command = self.git(remote);
        command.args(["ls-remote", "--refs", "--", &remote.address, &reference]);
        let output = process::run(command, "git ls-remote", ASK_LIMIT)?;
        if output.status != Some(0) {
            return Err(unreachable(remote, &output.stderr));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let found = text.lines().find_map(|line| {
            let (oid, name) = line.split_once('\t')?;
            (name == reference).then(|| CommitId(oid.to_owned()))
        });
        found.as_ref().map(commit_oid).transpose()?;
        Ok(found)
    }

    /// Moves a branch of a remote from `expected` (`None`: it must not exist) to `commit`. Only creates it or moves it
    /// forward. No hook of ours runs. Again is fine: where the branch is there already, nothing happens.
    pub fn push(
        &self,
        remote: &Remote,
        branch: &str,
        expected: Option<&CommitId>,
        commit: &CommitId,
    ) -> Result<Pushed, PushError> {
        let reference = reference(branch)?;
        if let Some(old) = expected
            && !self.holds(old, commit)?
        {
            // What the remote has is not in the commit, or not even in the hub.
            return Ok(match self.remote_tip(remote, branch)? {
                Some(found) if found == *commit => Pushed::Already,
                Some(found) if found == *old => Pushed::Rejected(PushRejection::NotForward { found }),
                found => Pushed::Rejected(moved(expected, found)),
            });
        }
        let lease = expected.map_or("", |expected| &expected.0);
        let mut command = self.git(remote);
        command
            .args(["push", "--porcelain", "--no-verify", "--no-follow-tags"])
            .args(["--no-signed", "--recurse-submodules=no"])
            .arg(format!("--force-with-lease={reference}:{lease}"))
            .args(["--", &remote.address])
            .arg(format!("{commit}:{reference}"));
        let output = process::run(command, "git push", PUSH_LIMIT)?;
        match answer(&output.stdout, &reference) {
            Some(Answer::New) => Ok(Pushed::Created),
            Some(Answer::Forward) => Ok(Pushed::Updated),
            Some(Answer::UpToDate) => Ok(Pushed::Already),
            Some(Answer::Stale) => {
                let found = self.remote_tip(remote, branch)?;
                Ok(match found.as_ref() == Some(commit) {
                    true => Pushed::Already,
                    false => Pushed::Rejected(moved(expected, found)),
                })
            }
            Some(Answer::Refused(summary)) => {
                let told = remote_lines(&output.stderr);
                let said = if told.is_empty() {
                    summary
                } else {
                    format!("{summary}: {told}")
                };
                Ok(Pushed::Rejected(PushRejection::ByRemote { said }))
            }
            None => Err(unreachable(remote, &output.stderr)),
        }
    }

    /// Whether `old` is known here and an ancestor of `commit`.
    fn holds(&self, old: &CommitId, commit: &CommitId) -> GitResult<bool> {
        let (old, commit) = (commit_oid(old)?, commit_oid(commit)?);
        self.with(|handle| {
            let known = handle.objects.find_commit(old).is_ok();
            Ok(known && is_ancestor(&handle.objects, old, commit)?)
        })
    }

    /// A git that speaks to a remote: it runs no program but those of the transport and those that the caller named.
    fn git(&self, remote: &Remote) -> Command {
        let mut command = isolated("git");
        command.arg(join("--git-dir=", self.path()));
        for setting in [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "gc.auto=0",
            "protocol.allow=never",
            "protocol.ext.allow=never",
            "protocol.file.allow=always",
            "protocol.http.allow=always",
            "protocol.https.allow=always",
            "protocol.ssh.allow=always",
            "credential.helper=",
        ] {
            command.args(["-c", setting]);
        }
        let access = &remote.access;
        if let Some(helper) = &access.credential_helper {
            command.args(["-c", &format!("credential.helper={helper}")]);
        }
        let ssh = access.ssh_command.as_deref().unwrap_or("ssh -oBatchMode=yes");
        command.env("GIT_SSH_COMMAND", ssh);
        let named = access.credential_helper.is_some() || access.ssh_command.is_some();
        if let Some(home) = std::env::var_os("HOME").filter(|_| named) {
            command.env("HOME", home);
        }
        command
    }
}

/// Whether a branch of a remote may have this name.
pub fn check_branch(branch: &str) -> Result<(), PushError> {
    reference(branch).map(drop)
}

fn reference(branch: &str) -> Result<String, PushError> {
    let reference = format!("refs/heads/{branch}");
    match Reference::is_valid_name(&reference) && !branch.starts_with('-') {
        true => Ok(reference),
        false => Err(PushError::BadBranch {
            branch: branch.to_owned(),
        }),
    }
}

fn moved(expected: Option<&CommitId>, found: Option<CommitId>) -> PushRejection {
    PushRejection::Moved {
        expected: expected.cloned(),
        found,
    }
}

fn unreachable(remote: &Remote, stderr: &[u8]) -> PushError {
    PushError::Unreachable {
        address: remote.address.clone(),
        said: shortened(&String::from_utf8_lossy(stderr).replace('\n', " ")),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    New,
    Forward,
    UpToDate,
    Stale,
    Refused(String),
}

/// Reads the line about the reference: flag, names, summary, between tabs.
fn answer(stdout: &[u8], reference: &str) -> Option<Answer> {
    let text = String::from_utf8_lossy(stdout);
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, '\t');
        let (flag, names) = (fields.next()?, fields.next()?);
        let summary = fields.next().unwrap_or_default();
        if !names.ends_with(&format!(":{reference}")) {
            return None;
        }
        match flag {
            "*" => Some(Answer::New),
            " " | "+" => Some(Answer::Forward),
            "=" => Some(Answer::UpToDate),
            "!" if summary.contains("stale info") || summary.contains("fetch first") => Some(Answer::Stale),
            "!" => Some(Answer::Refused(shortened(summary))),
            _ => None,
        }
    })
}

/// What the other side's programs said, as far as git marks it.
fn remote_lines(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| Some(line.strip_prefix("remote:")?.trim()))
        .filter(|line| !line.is_empty())
        .collect();
    shortened(&lines.join(" "))
}

fn shortened(text: &str) -> String {
    let text = text.trim();
    let end = text.char_indices().nth(MAX_SAID).map_or(text.len(), |(end, _)| end);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Answer, answer};

    #[test]
    fn the_line_about_the_branch_is_read() {
        let read = |line: &str| answer(format!("To x\n{line}\nDone\n").as_bytes(), "refs/heads/b");
        assert_eq!(read("*\t1:refs/heads/b\t[new branch]"), Some(Answer::New));
        assert_eq!(read(" \t1:refs/heads/b\t1..2"), Some(Answer::Forward));
        assert_eq!(read("=\t1:refs/heads/b\t[up to date]"), Some(Answer::UpToDate));
        assert_eq!(read("!\t1:refs/heads/b\t[rejected] (stale info)"), Some(Answer::Stale));
        assert_eq!(
            read("!\t1:refs/heads/b\t[remote rejected] (hook declined)"),
            Some(Answer::Refused("[remote rejected] (hook declined)".to_owned()))
        );
        assert_eq!(read("*\t1:refs/heads/c\t[new branch]"), None);
    }
}
