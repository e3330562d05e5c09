//! Speaking to a remote, by git processes that run no program but the transport's and those that the caller named.

use crate::{
    ids::commit_oid,
    private::Private,
    process::{self, isolated, join},
    remote::{PushError, Remote},
    said::{names_lock_file, push_is_stale},
};
use domain::CommitId;
use std::{fs::File, path::Path, process::Command, time::Duration};

/// A push or a fetch may take so long.
pub(crate) const TRANSFER_LIMIT: Duration = Duration::from_secs(600);
/// Asking a remote where its references are may take so long.
const ASK_LIMIT: Duration = Duration::from_secs(60);
/// What a remote said is kept up to here.
const MAX_SAID: usize = 2_000;
/// Runs git with its input kept open as another descriptor, which git's own children inherit.
const KEEPING_INPUT: &str = r#"exec git "$@" 9<&0 </dev/null"#;

impl Remote {
    /// Its references that match one of the patterns (full names, or with `*`), and where they are.
    pub(crate) fn references(
        &self,
        git_directory: &Path,
        patterns: &[&str],
    ) -> Result<Vec<(String, CommitId)>, PushError> {
        let mut command = self.git(git_directory);
        command
            .args(["ls-remote", "--refs", "--", &self.address])
            .args(patterns);
        let output = process::run(command, "git ls-remote", ASK_LIMIT)?;
        if output.status != Some(0) {
            return Err(unreachable(self, &output.stderr));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let mut found = Vec::new();
        for (oid, name) in text.lines().filter_map(|line| line.split_once('\t')) {
            // A pattern without a slash before it is about the ends of names.
            let asked = |pattern: &&str| !pattern.contains('*') && *pattern != name;
            if patterns.iter().all(asked) {
                continue;
            }
            let at = CommitId(oid.to_owned());
            commit_oid(&at)?;
            found.push((name.to_owned(), at));
        }
        Ok(found)
    }

    /// Brings the objects of its references into a repository, and flushes them. No reference there moves.
    pub(crate) fn fetch(&self, git_directory: &Path, references: &[&str]) -> Result<(), PushError> {
        let mut command = self.git(git_directory);
        command
            .args(["-c", "core.fsync=committed", "-c", "fetch.writeCommitGraph=false"])
            // What runs left is given up object by object: only a whole history comes as a pack.
            .args(["-c", "fetch.unpackLimit=10000"])
            .args([
                "fetch",
                "--quiet",
                "--no-write-fetch-head",
                "--no-tags",
                "--no-auto-maintenance",
            ])
            .args(["--no-recurse-submodules", "--", &self.address])
            .args(references);
        let private = Private::begin();
        let output = process::run(command, "git fetch", TRANSFER_LIMIT)?;
        drop(private);
        match output.status {
            Some(0) => Ok(()),
            _ => Err(unreachable(self, &output.stderr)),
        }
    }

    /// Moves one of its references from `expected` (`None`: it must not exist) to `commit`, if it is there. No hook of
    /// ours runs.
    pub(crate) fn send(
        &self,
        git_directory: &Path,
        reference: &str,
        expected: Option<&CommitId>,
        commit: &CommitId,
    ) -> Result<Answer, PushError> {
        let only = Move {
            reference,
            expected,
            to: Some(commit),
        };
        let mut answers = self.send_all(git_directory, &[only], None)?;
        // One was asked for, so one is there.
        Ok(answers.pop().unwrap_or(Answer::Stale))
    }

    /// The same for several, each by itself; the answers are in their order. Every process of the push keeps `held`
    /// open until it ends.
    pub(crate) fn send_all(
        &self,
        git_directory: &Path,
        moves: &[Move<'_>],
        held: Option<File>,
    ) -> Result<Vec<Answer>, PushError> {
        let mut command = match held {
            Some(held) => {
                let mut shell = isolated("sh");
                shell.args(["-c", KEEPING_INPUT, "git"]).stdin(held);
                self.configured(shell, git_directory)
            }
            None => self.git(git_directory),
        };
        command
            .args(["push", "--porcelain", "--no-verify", "--no-follow-tags"])
            .args(["--no-signed", "--recurse-submodules=no"]);
        for Move {
            reference, expected, ..
        } in moves
        {
            let lease = expected.map_or("", |expected| &expected.0);
            command.arg(format!("--force-with-lease={reference}:{lease}"));
        }
        command.args(["--", &self.address]);
        for Move { reference, to, .. } in moves {
            command.arg(format!("{}:{reference}", to.map_or("", |to| &to.0)));
        }
        let output = process::run(command, "git push", TRANSFER_LIMIT)?;
        let said_there = remote_lines(&output.stderr);
        let answers = moves.iter().map(|one| match answer(&output.stdout, one.reference)? {
            Answer::Refused(summary) if names_lock_file(&said_there) => {
                Some(Answer::Locked(format!("{summary}: {said_there}")))
            }
            Answer::Refused(summary) if !said_there.is_empty() => {
                Some(Answer::Refused(format!("{summary}: {said_there}")))
            }
            answer => Some(answer),
        });
        let answers: Option<Vec<Answer>> = answers.collect();
        answers.ok_or_else(|| unreachable(self, &output.stderr))
    }

    /// A git that speaks to a remote: it runs no program but those of the transport and those that the caller named.
    fn git(&self, git_directory: &Path) -> Command {
        self.configured(isolated("git"), git_directory)
    }

    fn configured(&self, mut command: Command, git_directory: &Path) -> Command {
        command.arg(join("--git-dir=", git_directory));
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
        let access = &self.access;
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

/// Where a reference of a remote is to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move<'a> {
    pub(crate) reference: &'a str,
    /// Where it is; `None`: it does not exist.
    pub(crate) expected: Option<&'a CommitId>,
    /// `None`: away.
    pub(crate) to: Option<&'a CommitId>,
}

impl<'a> Move<'a> {
    /// A reference that is new.
    pub(crate) fn new_at(reference: &'a str, commit: &'a CommitId) -> Self {
        Self {
            reference,
            expected: None,
            to: Some(commit),
        }
    }

    /// Takes a reference away from where it is.
    pub(crate) fn away(reference: &'a str, at: &'a CommitId) -> Self {
        Self {
            reference,
            expected: Some(at),
            to: None,
        }
    }
}

/// What became of a reference on a remote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    New,
    /// It moved, or is gone where that was asked for.
    Forward,
    UpToDate,
    /// It was not where it was expected.
    Stale,
    /// A lock file of the remote is in the way: of a push that is under way there, or of one that crashed. What the remote
    /// said.
    Locked(String),
    /// What the remote said.
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
            " " | "+" | "-" => Some(Answer::Forward),
            "=" => Some(Answer::UpToDate),
            "!" if push_is_stale(summary) => Some(Answer::Stale),
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

fn unreachable(remote: &Remote, stderr: &[u8]) -> PushError {
    PushError::Unreachable {
        address: remote.address.clone(),
        said: shortened(&String::from_utf8_lossy(stderr).replace('\n', " ")),
    }
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
