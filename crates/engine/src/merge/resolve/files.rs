//! The files of a conflict, with what git and the log know about them.

use super::ConflictResolver;
use crate::{context::blocking, merge::Failure};
use agents::resolver::Format;
use domain::CommitId;
use git::{Conflict, ConflictFile, ConflictKind, ConflictedText, GitError, Hub, RepoPath, Version};
use store::merge::LandedWork;

/// Bytes of each side's diff of the file.
const DIFF_BYTES: usize = 16 << 10;

/// A conflicting file.
pub(super) struct OpenFile {
    pub(super) file: ConflictFile,
    /// The path as text.
    pub(super) path: String,
    /// The hunks of a text that both sides changed, or why there are none.
    pub(super) text: Result<OpenText, String>,
    /// The tasks that changed this file in the branch, a line for each.
    pub(super) ours_intent: String,
}

/// A text that both sides changed.
pub(super) struct OpenText {
    pub(super) hunks: ConflictedText,
    /// The format that every version parses as.
    format: Option<Format>,
    /// The diffs of the branch and of the work.
    pub(super) diffs: [String; 2],
}

impl OpenText {
    /// Whether a content parses, where every version does.
    pub(super) fn parses(&self, content: &[u8]) -> Result<(), String> {
        let Some(format) = self.format else {
            return Ok(());
        };
        let text = std::str::from_utf8(content).map_err(|_| "the result is not UTF-8 text".to_owned())?;
        format.check(text)
    }
}

impl ConflictResolver<'_> {
    /// Reads every file of the conflict.
    pub(super) async fn read(&self) -> Result<Vec<OpenFile>, Failure> {
        let details = &self.active.entry.branch.details;
        let landed = self.active.entry.branch.context.store.landed_work(details.id).await?;
        let (hub, conflict, begun) = (
            self.active.entry.branch.hub.clone(),
            self.conflict.clone(),
            details.base.clone(),
        );
        let most = self.settings.file_bytes;
        let read = blocking(move || {
            let brought = landed.into_iter().map(|work| Ok((hub.brought(&work.commit)?, work)));
            let brought = brought.collect::<Result<Vec<_>, GitError>>()?;
            let open = |file| open(&hub, &conflict, file, &brought, begun.as_ref(), most);
            conflict.files.iter().map(open).collect::<Result<Vec<_>, GitError>>()
        });
        Ok(read.await?)
    }
}

fn open(
    hub: &Hub,
    conflict: &Conflict,
    file: &ConflictFile,
    landed: &[(Vec<RepoPath>, LandedWork)],
    begun: Option<&CommitId>,
    most: usize,
) -> Result<OpenFile, GitError> {
    let ours = landed.iter().filter(|(paths, _)| paths.contains(&file.path));
    let ours_intent = ours
        .map(|(_, work)| format!("{} ({}): {}\n", work.key, work.title, work.instructions))
        .collect();
    let text = match file.kind {
        ConflictKind::Content => open_text(hub, conflict, file, begun, most)?,
        ConflictKind::AddAdd
        | ConflictKind::ModifyDelete
        | ConflictKind::RenameRename
        | ConflictKind::Binary
        | ConflictKind::Symlink
        | ConflictKind::Submodule
        | ConflictKind::Other => Err("it is not about lines".to_owned()),
    };
    Ok(OpenFile {
        path: file.path.to_string(),
        file: file.clone(),
        text,
        ours_intent,
    })
}

fn open_text(
    hub: &Hub,
    conflict: &Conflict,
    file: &ConflictFile,
    begun: Option<&CommitId>,
    most: usize,
) -> Result<Result<OpenText, String>, GitError> {
    for version in [&file.base, &file.ours, &file.theirs].into_iter().flatten() {
        let size = hub.blob_size(&version.blob)?;
        if size > most {
            return Ok(Err(format!(
                "a version has {size} bytes, more than merge.file_bytes = {most}"
            )));
        }
    }
    let hunks = match hub.hunks(conflict, file) {
        Ok(hunks) => hunks,
        Err(git::HunkError::Git(error)) => return Err(error),
        Err(why) => return Ok(Err(why.to_string())),
    };
    let read = |version: &Option<Version>| version.as_ref().map(|version| hub.read_blob(&version.blob)).transpose();
    let versions = [read(&file.base)?, read(&file.ours)?, read(&file.theirs)?];
    let texts: Option<Vec<&str>> = versions
        .iter()
        .flatten()
        .map(|bytes| std::str::from_utf8(bytes).ok())
        .collect();
    let diff = |side| match conflict.base.as_ref().or(begun) {
        Some(base) => hub.file_diff(base, side, &file.path, DIFF_BYTES).unwrap_or_default(),
        None => String::new(),
    };
    Ok(Ok(OpenText {
        hunks,
        format: texts.and_then(|texts| Format::of(&file.path.to_string(), &texts)),
        diffs: [diff(&conflict.tip), diff(&conflict.theirs)],
    }))
}
