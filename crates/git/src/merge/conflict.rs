//! A conflict as data: which versions of which paths meet, and how a resolution becomes a tree.

use crate::{
    error::{Doing, GitError, GitResult},
    hub::{Hub, history::merge_bases},
    ids::{BlobId, RepoPath, TreeId, commit_id, commit_oid},
    merge::ort::{Conflicts, Message, Stage},
    tree::{self, Edit},
};
use domain::CommitId;
use git2::Repository;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a merge could not decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The branch that was merged into: "ours".
    pub tip: CommitId,
    /// The commit that was merged: "theirs".
    pub theirs: CommitId,
    /// Their best common ancestor, if there is exactly one.
    pub base: Option<CommitId>,
    /// The conflicting paths, in order. Empty only for a conflict about directories, which [`Self::messages`] describe.
    pub files: Vec<ConflictFile>,
    /// Everything merged that could be; conflicts stand in the files between markers. For people and workers to look
    /// at: it is not a result.
    pub tree_with_markers: TreeId,
    /// What git said.
    pub messages: Vec<ConflictMessage>,
}

/// A conflicting path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictFile {
    /// The path.
    pub path: RepoPath,
    /// What meets there.
    pub kind: ConflictKind,
    /// The version of the common base.
    pub base: Option<Version>,
    /// The version of the branch.
    pub ours: Option<Version>,
    /// The version of the merged commit.
    pub theirs: Option<Version>,
}

/// A version of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its content; for a submodule, the commit.
    pub blob: BlobId,
    /// Its mode as git writes it: 0o100644, 0o100755, 0o120000 (symlink), 0o160000 (submodule).
    pub mode: u32,
}

/// What meets at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictKind {
    /// Both changed the same lines of a text.
    Content,
    /// Both added different texts.
    AddAdd,
    /// One changed or renamed what the other deleted.
    ModifyDelete,
    /// Both renamed, or renamed onto each other.
    RenameRename,
    /// The content is not text.
    Binary,
    /// A symlink is involved.
    Symlink,
    /// A submodule is involved.
    Submodule,
    /// A file meets a directory, or a rename of a whole directory is unclear.
    Other,
}

/// Something git said about a merge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictMessage {
    /// Git's stable short name, such as `CONFLICT (contents)`.
    pub kind: String,
    /// The paths it is about.
    pub paths: Vec<RepoPath>,
    /// The sentence.
    pub text: String,
}

/// How one path is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// This content, with the mode that the sides agree on, or else ours.
    Content(Vec<u8>),
    /// One of the versions as it is.
    Version(Version),
    /// The path goes.
    Delete,
}

/// Why resolutions did not become a tree.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A conflicting path was left out.
    #[error("'{path}' conflicts and was given no resolution: every conflicting path needs one")]
    Unresolved {
        /// The path.
        path: RepoPath,
    },
    /// A path was given that does not conflict, or twice.
    #[error("'{path}' was given a resolution it can't have: it does not conflict, or was given two")]
    Unexpected {
        /// The path.
        path: RepoPath,
    },
    /// A conflict marker is left.
    #[error("the resolution of '{path}' still has a conflict marker in line {line}: decide that place as well")]
    MarkersLeft {
        /// The path.
        path: RepoPath,
        /// Counted from 1.
        line: usize,
    },
    /// The conflict is about directories, not about paths.
    #[error("this conflict can't be decided path by path: {said}. Give the task back to its worker on the new tip")]
    NotByPath {
        /// What git said.
        said: String,
    },
    /// Anything else.
    #[error(transparent)]
    Git(#[from] GitError),
}

const SYMLINK: u32 = 0o120_000;
const GITLINK: u32 = 0o160_000;
const EXECUTABLE: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

impl Version {
    /// Whether it is an ordinary file, executable or not.
    pub fn is_file(&self) -> bool {
        matches!(self.mode, FILE | EXECUTABLE)
    }
}

impl Conflict {
    /// The conflicting paths; for a conflict about directories, the ones that git names.
    pub fn paths(&self) -> Vec<RepoPath> {
        if !self.files.is_empty() {
            return self.files.iter().map(|file| file.path.clone()).collect();
        }
        let conflicts = self
            .messages
            .iter()
            .filter(|message| message.kind.starts_with("CONFLICT"));
        let named: BTreeSet<_> = conflicts.flat_map(|message| message.paths.iter().cloned()).collect();
        named.into_iter().collect()
    }

    pub(crate) fn from_ort(
        repository: &Repository,
        tip: &CommitId,
        theirs: &CommitId,
        found: Conflicts,
        tree_with_markers: TreeId,
    ) -> GitResult<Self> {
        let bases = merge_bases(repository, commit_oid(tip)?, commit_oid(theirs)?)?;
        let base = if let [base] = bases[..] {
            Some(commit_id(base))
        } else {
            None
        };
        let mut paths: BTreeMap<RepoPath, ConflictFile> = BTreeMap::new();
        for Stage {
            mode,
            blob,
            stage,
            path,
        } in found.stages
        {
            let file = paths.entry(path.clone()).or_insert_with(|| ConflictFile {
                path,
                kind: ConflictKind::Other,
                base: None,
                ours: None,
                theirs: None,
            });
            let version = Some(Version { blob, mode });
            match stage {
                1 => file.base = version,
                2 => file.ours = version,
                _ => file.theirs = version,
            }
        }
        let mut files: Vec<ConflictFile> = paths.into_values().collect();
        for file in &mut files {
            file.kind = kind(repository, file, &found.messages)?;
        }
        let messages = found
            .messages
            .into_iter()
            .map(|Message { paths, kind, text }| ConflictMessage { kind, paths, text });
        Ok(Self {
            tip: tip.clone(),
            theirs: theirs.clone(),
            base,
            files,
            tree_with_markers,
            messages: messages.collect(),
        })
    }
}

fn kind(repository: &Repository, file: &ConflictFile, messages: &[Message]) -> GitResult<ConflictKind> {
    let versions = || [&file.base, &file.ours, &file.theirs].into_iter().flatten();
    if versions().any(|version| version.mode == GITLINK) {
        return Ok(ConflictKind::Submodule);
    }
    if versions().any(|version| version.mode == SYMLINK) {
        return Ok(ConflictKind::Symlink);
    }
    let said: BTreeSet<&str> = messages
        .iter()
        .filter(|message| message.paths.contains(&file.path))
        .map(|message| message.kind.as_str())
        .collect();
    let says = |kinds: &[&str]| kinds.iter().any(|kind| said.contains(kind));
    if says(&[
        "CONFLICT (file/directory)",
        "CONFLICT (distinct modes)",
        "CONFLICT (directory rename suggested)",
    ]) {
        return Ok(ConflictKind::Other);
    }
    if says(&["CONFLICT (rename/rename)", "CONFLICT (rename involved in collision)"]) {
        return Ok(ConflictKind::RenameRename);
    }
    let text_kind = match (&file.base, &file.ours, &file.theirs) {
        (Some(_), Some(_), Some(_)) => ConflictKind::Content,
        (None, Some(_), Some(_)) => ConflictKind::AddAdd,
        (_, Some(_), None) | (_, None, Some(_)) => return Ok(ConflictKind::ModifyDelete),
        (_, None, None) => return Ok(ConflictKind::RenameRename),
    };
    if says(&["CONFLICT (binary)"]) {
        return Ok(ConflictKind::Binary);
    }
    for version in versions() {
        let oid = version.blob.oid()?;
        if repository
            .find_blob(oid)
            .doing(|| format!("can't read the blob {oid}"))?
            .is_binary()
        {
            return Ok(ConflictKind::Binary);
        }
    }
    Ok(text_kind)
}

impl Hub {
    /// Whether a content decides a file whole: no conflict marker is left in it that neither side has as a line.
    ///
    /// # Errors
    /// [`ResolveError::MarkersLeft`], or when a version can't be read.
    pub fn check_resolution(&self, file: &ConflictFile, content: &[u8]) -> Result<(), ResolveError> {
        self.with(|handle| refuse_markers(&handle.objects, file, content))
    }

    /// The tree of a conflict in which some paths are decided, for a worker to go on from; the others stay as git has
    /// them, and a decided one may have markers still. Not a result that may land.
    pub fn with_some_resolutions(
        &self,
        conflict: &Conflict,
        resolutions: Vec<(RepoPath, Resolution)>,
    ) -> GitResult<TreeId> {
        self.with(|handle| {
            let mut edits = BTreeMap::new();
            for (path, resolution) in resolutions {
                if let Some(file) = conflict.files.iter().find(|file| file.path == path) {
                    edits.insert(path, edit(&handle.objects, file, resolution)?);
                }
            }
            Ok(tree::apply(&handle.objects, conflict.tree_with_markers.oid()?, &edits)?.into())
        })
    }

    /// The tree in which every conflicting path is decided. Refused while one is undecided or keeps a marker.
    pub fn with_resolutions(
        &self,
        conflict: &Conflict,
        resolutions: Vec<(RepoPath, Resolution)>,
    ) -> Result<TreeId, ResolveError> {
        if conflict.files.is_empty() {
            let said = conflict
                .messages
                .iter()
                .map(|message| message.text.as_str())
                .collect::<Vec<_>>()
                .join("; ");
            return Err(ResolveError::NotByPath { said });
        }
        let mut decided = BTreeMap::new();
        for (path, resolution) in resolutions {
            let conflicts = conflict.files.iter().any(|file| file.path == path);
            if !conflicts || decided.insert(path.clone(), resolution).is_some() {
                return Err(ResolveError::Unexpected { path });
            }
        }
        self.with(|handle| {
            let repository = &handle.objects;
            let mut edits = BTreeMap::new();
            for file in &conflict.files {
                let path = file.path.clone();
                let Some(resolution) = decided.remove(&path) else {
                    return Err(ResolveError::Unresolved { path });
                };
                if let Resolution::Content(content) = &resolution {
                    refuse_markers(repository, file, content)?;
                }
                edits.insert(path, edit(repository, file, resolution)?);
            }
            Ok(tree::apply(repository, conflict.tree_with_markers.oid()?, &edits)?.into())
        })
    }
}

fn edit(repository: &Repository, file: &ConflictFile, resolution: Resolution) -> GitResult<Edit> {
    Ok(match resolution {
        Resolution::Delete => Edit::Remove,
        Resolution::Version(version) => Edit::Put {
            oid: version.blob.oid()?,
            mode: version.mode,
        },
        Resolution::Content(content) => {
            let doing = || format!("can't write the resolution of '{}'", file.path);
            Edit::Put {
                oid: repository.blob(&content).doing(doing)?,
                mode: resolved_mode(file),
            }
        }
    })
}

/// The mode that one side changed, as for contents; ours, if both did.
fn resolved_mode(file: &ConflictFile) -> u32 {
    let mode = |version: &Option<Version>| version.as_ref().map(|version| version.mode);
    let chosen = match (mode(&file.base), mode(&file.ours), mode(&file.theirs)) {
        (Some(base), Some(ours), Some(theirs)) if ours == base => theirs,
        (_, Some(ours), _) => ours,
        (_, None, Some(theirs)) => theirs,
        (base, None, None) => base.unwrap_or(FILE),
    };
    if chosen == EXECUTABLE { EXECUTABLE } else { FILE }
}

/// A line that looks like a marker is one, unless a side has that very line.
fn refuse_markers(repository: &Repository, file: &ConflictFile, content: &[u8]) -> Result<(), ResolveError> {
    let mut markers = content
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| is_marker(line))
        .peekable();
    if markers.peek().is_none() {
        return Ok(());
    }
    let mut known = BTreeSet::new();
    for version in [&file.ours, &file.theirs].into_iter().flatten() {
        let oid = version.blob.oid()?;
        let blob = repository
            .find_blob(oid)
            .doing(|| format!("can't read the blob {oid}"))?;
        known.extend(
            blob.content()
                .split(|byte| *byte == b'\n')
                .filter(|line| is_marker(line))
                .map(<[u8]>::to_vec),
        );
    }
    match markers.find(|(_, line)| !known.contains(*line)) {
        Some((index, _)) => Err(ResolveError::MarkersLeft {
            path: file.path.clone(),
            line: index + 1,
        }),
        None => Ok(()),
    }
}

fn is_marker(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    [b'<', b'|', b'>'].iter().any(|sign| {
        let length = line.iter().take_while(|byte| *byte == sign).count();
        length == 7 && matches!(line.get(7), None | Some(b' '))
    })
}
