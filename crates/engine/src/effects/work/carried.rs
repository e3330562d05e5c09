//! What an earlier try left, carried over onto a newer tip for the worker to go on from. What the layers decided of a
//! conflict stays decided; only what they left open stands between markers.

use crate::settings::{Generation, MergeSettings};
use domain::CommitId;
use git::{Conflict, ConflictFile, ConflictKind, GitError, Hub, MergeOutcome, Resolution, TreeId};
use store::resolution::DecidedHunk;

/// A tree to go on from. Not a result that may land.
pub(super) struct Carried {
    pub(super) tree: TreeId,
    /// Paths with something between markers, or that conflict otherwise.
    pub(super) open: Vec<String>,
}

/// Brings the work of `previous` onto `tip`.
pub(super) fn carry(
    hub: &Hub,
    tip: &CommitId,
    previous: &CommitId,
    decided: &[DecidedHunk],
    settings: &MergeSettings,
) -> Result<Carried, GitError> {
    let whole = |tree| Carried { tree, open: Vec::new() };
    match hub.merge(tip, previous)? {
        MergeOutcome::AlreadyMerged => hub.tree_of(tip).map(whole),
        MergeOutcome::Clean(clean) => Ok(whole(clean.tree)),
        MergeOutcome::NoMergeBase => Err(GitError::Unrelated {
            tip: tip.clone(),
            theirs: previous.clone(),
        }),
        MergeOutcome::Conflicted(conflict) => {
            let (mut resolved, mut open) = (Vec::new(), Vec::new());
            for file in &conflict.files {
                let stands = stand(hub, &conflict, file, decided, settings);
                if !matches!(stands, Some(Stands::Decided(_))) {
                    open.push(file.path.to_string());
                }
                match stands {
                    Some(Stands::Decided(resolution)) => resolved.push((file.path.clone(), resolution)),
                    Some(Stands::InPart(text)) => {
                        resolved.push((file.path.clone(), Resolution::Content(text.into_bytes())));
                    }
                    None => {}
                }
            }
            // Where git has no files for its conflict, all stays as it has it.
            if conflict.files.is_empty() {
                open = conflict.paths().iter().map(ToString::to_string).collect();
            }
            let tree = hub.with_some_resolutions(&conflict, resolved)?;
            Ok(Carried { tree, open })
        }
    }
}

/// How far a file is decided.
enum Stands {
    Decided(Resolution),
    /// The rest is between markers.
    InPart(String),
}

/// What is known of a file; `None`: nothing, or it can't be read as text.
fn stand(
    hub: &Hub,
    conflict: &Conflict,
    file: &ConflictFile,
    decided: &[DecidedHunk],
    settings: &MergeSettings,
) -> Option<Stands> {
    let path = file.path.to_string();
    if let Some(rule) = settings.rule_for(&path) {
        return match (&rule.how, &file.ours) {
            (Generation::Union, _) => {
                let joined = hub.union(file).ok()??;
                Some(Stands::Decided(Resolution::Content(joined)))
            }
            // It is made anew when everything else is decided; until then the branch's is one that tools can read.
            (Generation::Command(_), Some(ours)) => Some(Stands::Decided(Resolution::Version(ours.clone()))),
            (Generation::Command(_), None) => None,
        };
    }
    if file.kind != ConflictKind::Content {
        return None;
    }
    let text = hub.hunks(conflict, file).ok()?;
    let known: Vec<Option<&str>> = text
        .hunks()
        .map(|hunk| {
            let same = |decided: &&DecidedHunk| {
                decided.path == path && decided.texts == [&*hunk.base, &*hunk.ours, &*hunk.theirs]
            };
            decided.iter().find(same).map(|decided| decided.text.as_str())
        })
        .collect();
    if known.iter().all(Option::is_none) {
        return None;
    }
    let put_in = text.partly(&known).ok()?;
    Some(match known.iter().all(Option::is_some) {
        true => Stands::Decided(Resolution::Content(put_in.into_bytes())),
        false => Stands::InPart(put_in),
    })
}
