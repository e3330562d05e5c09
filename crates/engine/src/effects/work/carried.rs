//! Carries the work of an earlier attempt over onto a newer tip, for the worker to continue. Hunks that the layers decided
//! stay decided; only open hunks have conflict markers.

use crate::settings::{Generation, MergeSettings};
use domain::CommitId;
use git::{Conflict, ConflictFile, ConflictKind, GitError, Hub, MergeOutcome, Resolution, TreeId};
use store::resolution::DecidedHunk;

/// A tree to continue from. It must not land.
pub(super) struct Carried {
    pub(super) tree: TreeId,
    /// Paths with conflict markers or another conflict.
    pub(super) open: Vec<String>,
}

/// Merges the work of `previous` onto `tip`.
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
                let state = state_of(hub, &conflict, file, decided, settings);
                if !matches!(state, Some(State::Decided(_))) {
                    open.push(file.path.to_string());
                }
                match state {
                    Some(State::Decided(resolution)) => resolved.push((file.path.clone(), resolution)),
                    Some(State::InPart(text)) => {
                        resolved.push((file.path.clone(), Resolution::Content(text.into_bytes())));
                    }
                    None => {}
                }
            }
            // Without files in the conflict, git's own result stays.
            if conflict.files.is_empty() {
                open = conflict.paths().iter().map(ToString::to_string).collect();
            }
            let tree = hub.with_some_resolutions(&conflict, resolved)?;
            Ok(Carried { tree, open })
        }
    }
}

/// How much of a file is decided.
enum State {
    Decided(Resolution),
    /// The rest has conflict markers.
    InPart(String),
}

/// The state of a file; `None` if nothing is decided or it can't be read as text.
fn state_of(
    hub: &Hub,
    conflict: &Conflict,
    file: &ConflictFile,
    decided: &[DecidedHunk],
    settings: &MergeSettings,
) -> Option<State> {
    let path = file.path.to_string();
    if let Some(rule) = settings.rule_for(&path) {
        return match (&rule.how, &file.ours) {
            (Generation::Union, _) => {
                let joined = hub.union(file).ok()??;
                Some(State::Decided(Resolution::Content(joined)))
            }
            // It is regenerated when everything else is decided; until then the branch's version is readable for tools.
            (Generation::Command(_), Some(ours)) => Some(State::Decided(Resolution::Version(ours.clone()))),
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
        true => State::Decided(Resolution::Content(put_in.into_bytes())),
        false => State::InPart(put_in),
    })
}
