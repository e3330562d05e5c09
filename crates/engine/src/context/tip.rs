//! Finds a run's branch in the hub, and checks that it still contains what landed.

use crate::context::{Context, blocking};
use domain::{CommitId, RunId};
use git::Hub;
use std::sync::Arc;

/// The state of a branch.
#[derive(Clone, Debug)]
pub(crate) struct Tip {
    pub(crate) commit: CommitId,
    /// Why landed work is missing from it, for people: somebody else moved it.
    pub(crate) lost: Option<String>,
}

/// Why the state is unknown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TipError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Git(#[from] git::GitError),
}

/// Finds the branch of a run; `None` if it does not exist.
pub(crate) async fn find(context: &Context, run: RunId, hub: &Arc<Hub>) -> Result<Option<Tip>, TipError> {
    let landed = context.store.last_landed(run).await?;
    let (hub, integration) = (hub.clone(), git::refs::integration(&run));
    blocking(move || {
        let Some(commit) = hub.tip(&integration)? else {
            return Ok(None);
        };
        let lost = match landed {
            // A commit that the hub does not have can't be in the branch.
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
