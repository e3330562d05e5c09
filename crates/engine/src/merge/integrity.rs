//! What a merge brings that weakens what decides about it, or that runs by itself elsewhere.
//!
//! A merge commit is compared with the commit it was merged onto: everything before that was compared when it landed.

use super::{Failure, entry::Entry};
use crate::{engine::blocking, user_git};
use domain::{CommitId, integrity::IntegrityFlag};
use git::{GitError, Hub};

/// A way to find flags in what a merge commit changes on its tip.
type Detector = fn(&Hub, tip: &CommitId, merged: &CommitId) -> Result<Vec<IntegrityFlag>, GitError>;

/// What is asked of every merge, with a check or without.
const DETECTORS: [Detector; 0] = [];

/// What a merge commit brings, by its tree alone.
pub(super) async fn of_tree(entry: &Entry, tip: &CommitId, merged: &CommitId) -> Result<Vec<IntegrityFlag>, Failure> {
    let (hub, tip, merged) = (entry.hub.clone(), tip.clone(), merged.clone());
    let (engine, facts) = (entry.engine.clone(), entry.facts.clone());
    let found = blocking(move || {
        let mut flags = Vec::new();
        for detector in DETECTORS {
            flags.extend(detector(&hub, &tip, &merged)?);
        }
        flags.extend(hub.executed(&tip, &merged, &user_git::commands(&engine.parts, &facts))?);
        Ok::<_, GitError>(flags)
    });
    Ok(found.await?)
}
