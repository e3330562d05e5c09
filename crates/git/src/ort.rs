//! Merging with C git's ORT, in one process a merge.

use crate::{
    error::{GitError, GitResult},
    ids::{BlobId, RepoPath, TreeId},
    process::{self, isolated, join},
};
use domain::CommitId;
use std::{fmt, path::Path, time::Duration};

/// The oldest git that can merge without a worktree.
pub const MINIMUM_GIT: GitVersion = GitVersion {
    major: 2,
    minor: 38,
    patch: 0,
};

/// One merge may take so long: seconds on the largest repositories.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// The name of the merge in messages: it carries no paths.
const COMMAND: &str = "git merge-tree --write-tree";

/// What git answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Clean(TreeId),
    Conflicted(Conflicts),
}

/// The conflicts as git lists them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Conflicts {
    pub(crate) tree: TreeId,
    pub(crate) stages: Vec<Stage>,
    pub(crate) messages: Vec<Message>,
}

/// One version of a conflicting path: 1 is the base, 2 ours, 3 theirs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) mode: u32,
    pub(crate) blob: BlobId,
    pub(crate) stage: u8,
    pub(crate) path: RepoPath,
}

/// Something git said about some paths.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) paths: Vec<RepoPath>,
    pub(crate) kind: String,
    pub(crate) text: String,
}

/// A version of the git program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitVersion {
    /// `2` of 2.47.3.
    pub major: u32,
    /// `47` of 2.47.3.
    pub minor: u32,
    /// `3` of 2.47.3.
    pub patch: u32,
}

impl fmt::Display for GitVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The version of the git program on PATH. Merging needs [`MINIMUM_GIT`].
pub fn git_cli_version() -> GitResult<GitVersion> {
    let failed = |said: String| GitError::Program {
        command: "git --version".to_owned(),
        said,
    };
    let output = isolated("git")
        .arg("--version")
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers = text.split_ascii_whitespace().nth(2).unwrap_or_default();
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor), patch) => Ok(GitVersion {
            major,
            minor,
            patch: patch.unwrap_or(0),
        }),
        _ => Err(failed(format!("it answered '{}', which is no version", text.trim()))),
    }
}

/// How conflicts are written into files. It is more than looks: where both versions of a conflict turn out to be the
/// same, git resolves it, but not while it has the base to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConflictStyle {
    /// git's own default: decides whether there is a conflict.
    Plain,
    /// With the base between the sides.
    WithBase,
}

/// Merges `theirs` into `ours` within a bare repository.
pub(crate) fn merge_tree(
    git_directory: &Path,
    ours: &CommitId,
    theirs: &CommitId,
    style: ConflictStyle,
) -> GitResult<Answer> {
    let mut command = isolated("git");
    command
        .arg(join("--git-dir=", git_directory))
        .args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "protocol.ext.allow=never",
        ])
        .args([
            "-c",
            match style {
                ConflictStyle::Plain => "merge.conflictStyle=merge",
                ConflictStyle::WithBase => "merge.conflictStyle=diff3",
            },
            "-c",
            "merge.renormalize=false",
        ])
        .args(["merge-tree", "--write-tree", "--messages", "-z", &ours.0, &theirs.0])
        // A bare repository has no files to read attributes from; ours is what a merge in a checkout would read.
        .env("GIT_ATTR_SOURCE", &ours.0);
    let output = process::run(command, COMMAND, TIME_LIMIT)?;
    match output.status {
        Some(0 | 1) => parse(&output.stdout, output.status == Some(0)).ok_or_else(|| GitError::Program {
            command: COMMAND.to_owned(),
            said: "its answer could not be read: is it git 2.38 or newer?".to_owned(),
        }),
        _ => Err(GitError::Program {
            command: format!("{COMMAND} {ours} {theirs}"),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
    }
}

/// Reads the `-z` format: the tree; for a conflict the stages, an empty field, and messages of
/// count, paths, kind and text.
fn parse(output: &[u8], clean: bool) -> Option<Answer> {
    let mut fields = output.split(|byte| *byte == 0);
    let tree = TreeId(String::from_utf8(fields.next()?.to_vec()).ok()?);
    tree.oid().ok()?;
    if clean {
        return Some(Answer::Clean(tree));
    }
    let mut stages = Vec::new();
    for field in fields.by_ref() {
        if field.is_empty() {
            break;
        }
        stages.push(parse_stage(field)?);
    }
    let mut messages = Vec::new();
    while let Some(field) = fields.next().filter(|field| !field.is_empty()) {
        let count: usize = std::str::from_utf8(field).ok()?.parse().ok()?;
        let paths = fields.by_ref().take(count).map(RepoPath::new).collect::<Vec<_>>();
        let text = |field: &[u8]| String::from_utf8_lossy(field).trim_end().to_owned();
        messages.push(Message {
            paths,
            kind: text(fields.next()?),
            text: text(fields.next()?),
        });
    }
    Some(Answer::Conflicted(Conflicts { tree, stages, messages }))
}

fn parse_stage(field: &[u8]) -> Option<Stage> {
    let tab = field.iter().position(|byte| *byte == b'\t')?;
    let (facts, path) = (std::str::from_utf8(&field[..tab]).ok()?, &field[tab + 1..]);
    let mut facts = facts.split(' ');
    Some(Stage {
        mode: u32::from_str_radix(facts.next()?, 8).ok()?,
        blob: BlobId(facts.next()?.to_owned()),
        stage: facts.next()?.parse().ok()?,
        path: RepoPath::new(path),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_conflicts_is_read_whole() {
        let id = "0b5261135a8a64e4a9750c96cb5ad8fe54dd031c";
        let output = format!(
            "{id}\x00100644 {id} 1\ta b\n\x00100755 {id} 2\ta b\n\x00\x001\x00a b\n\x00Auto-merging\x00Auto-merging a b\n\x002\x00x\x00y\x00CONFLICT (rename/rename)\x00CONFLICT x y\n\x00"
        );
        let Some(Answer::Conflicted(conflicts)) = parse(output.as_bytes(), false) else {
            panic!("not read")
        };
        assert_eq!(conflicts.stages.len(), 2);
        assert_eq!(conflicts.stages[1].mode, 0o100_755);
        assert_eq!(conflicts.stages[1].path, RepoPath::from("a b\n"));
        assert_eq!(conflicts.messages.len(), 2);
        assert_eq!(conflicts.messages[1].paths.len(), 2);
        assert_eq!(conflicts.messages[1].kind, "CONFLICT (rename/rename)");
    }

    #[test]
    fn an_unknown_answer_is_not_a_clean_merge() {
        assert!(parse(b"usage: git merge-tree", true).is_none());
        assert!(parse(b"", true).is_none());
    }
}
