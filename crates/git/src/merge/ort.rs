//! Merging with C git's ORT, in one process a merge.

mod attribute_source;

use crate::{
    error::{GitError, GitResult},
    ids::{BlobId, RepoPath, TreeId},
    private::Private,
    process::{self, isolated, join},
};
use attribute_source::AttributeSource;
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
        .map_err(|source| GitError::NotStarted {
            command: "git --version".to_owned(),
            source,
        })?;
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
    merge_tree_with(
        git_directory,
        ours,
        theirs,
        style,
        AttributeSource::for_this_git(git_directory, ours)?,
    )
}

fn merge_tree_with(
    git_directory: &Path,
    ours: &CommitId,
    theirs: &CommitId,
    style: ConflictStyle,
    attributes: AttributeSource,
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
        ]);
    attributes.apply_to(&mut command, ours);
    command.args(["merge-tree", "--write-tree", "--messages", "-z", &ours.0, &theirs.0]);
    // The trees and contents that it writes are the hub's.
    let private = Private::begin();
    let output = process::run(command, COMMAND, TIME_LIMIT)?;
    drop(private);
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
        // Behind the messages a git before 2.40 gives advice to people.
        let Some(count) = std::str::from_utf8(field).ok().and_then(|count| count.parse().ok()) else {
            break;
        };
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

    /// What an older git is given instead of the name of a commit leads to the same merges.
    #[test]
    fn attributes_speak_in_every_directory_whatever_the_age_of_git() {
        let directory = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| {
            let output = isolated("git")
                .current_dir(directory.path())
                .args(["-c", "user.name=U", "-c", "user.email=u@localhost"])
                .args(arguments)
                .output()
                .unwrap();
            assert!(output.status.success(), "{arguments:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let lines = |second: &str, last: &str| format!("1\n{second}\n3\n4\n5\n6\n7\n8\n9\n10\n{last}\n");
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let commit = |second: &str, last: &str| {
            for name in ["sub/a.lock", "sub/deep/b.log", "c.txt"] {
                write(name, &lines(second, last));
            }
            run(&["add", "-A"]);
            run(&["commit", "-qm", "x"]);
            CommitId(run(&["rev-parse", "HEAD"]))
        };
        run(&["init", "-q"]);
        write(".gitattributes", "*.log merge=union\n");
        write("sub/.gitattributes", "*.lock -merge\n");
        let base = commit("2", "11");
        let ours = commit("two", "same place");
        run(&["checkout", "-q", &base.0]);
        let theirs = commit("2", "another thing");
        let directory = directory.path().join(".git");
        let merged = |attributes| match merge_tree_with(&directory, &ours, &theirs, ConflictStyle::Plain, attributes) {
            Ok(Answer::Conflicted(conflicts)) => conflicts,
            other => panic!("{other:?}"),
        };
        let with_files = merged(AttributeSource::files(&directory, &ours).unwrap());
        let paths: Vec<_> = with_files.stages.iter().map(|stage| stage.path.to_string()).collect();
        assert!(
            paths.iter().all(|path| path == "c.txt" || path == "sub/a.lock"),
            "{paths:?}"
        );
        assert!(paths.contains(&"sub/a.lock".to_owned()), "{paths:?}");
        let with_this_git = merged(AttributeSource::for_this_git(&directory, &ours).unwrap());
        assert_eq!(with_files, with_this_git);
    }
}
