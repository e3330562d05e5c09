//! Where a run's branch is in the hub, and whether it still holds what landed.

use crate::context::{Context, blocking};
use domain::{CommitId, RunId};
use git::Hub;
use std::sync::Arc;

/// A branch as it is found.
#[derive(Clone, Debug)]
pub(crate) struct Tip {
    pub(crate) commit: CommitId,
    /// In words, that somebody else moved it so that work which had landed is no longer in it.
    pub(crate) lost: Option<String>,
}

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TipError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Git(#[from] git::GitError),
}

/// Finds the branch of a run; `None` where it does not exist.
pub(crate) async fn find(context: &Context, run: RunId, hub: &Arc<Hub>) -> Result<Option<Tip>, TipError> {
    let landed = context.store.last_landed(run).await?;
    let (hub, integration) = (hub.clone(), git::refs::integration(&run));
    blocking(move || {
        let Some(commit) = hub.tip(&integration)? else {
            return Ok(None);
        };
        let lost = match landed {
            // One that is not even here is not in it: a branch comes with all that it holds.
            Some(landed) if !hub.holds(&landed, &commit)? => Some(format!(
                "the branch {integration} was moved by someone else: it is at {commit}, which does not hold {landed}, \
                 which had landed; nothing is forced. Set the branch in the hub back to it, then run again"
            )),
            Some(_) | None => None,
        };
        Ok(Some(Tip { commit, lost }))
    })
    .await
}
