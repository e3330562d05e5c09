//! The remote. Its expected state is recorded before the push, so that after a crash an own push can be distinguished from
//! somebody else's.

use super::{Delivering, Ended, StepFailure};
use crate::context::blocking;
use domain::{
    delivery::{DeliveryResult, PushIntent},
    input::Input,
};
use git::{PushError, PushRejection, Pushed, Remote};

pub(super) async fn push(delivering: &mut Delivering<'_>) -> Result<Ended, StepFailure> {
    let settings = delivering.context.delivery(&delivering.details.workspace_path);
    let Some(to) = settings.and_then(|settings| settings.push.clone()) else {
        return Ok(Ended::new(DeliveryResult::Skipped, "no remote is configured"));
    };
    let branch = to.branch(&delivering.details.id, &delivering.details.branch);
    let intent = match intend(delivering, &to.remote, &branch).await {
        Ok(intent) => intent,
        Err(Asked::Refused(error)) => return Ok(Ended::refused(error.to_string())),
        Err(Asked::StepFailure(trouble)) => return Err(trouble),
    };
    let (hub, remote, name) = (delivering.hub.clone(), to.remote.clone(), branch.clone());
    let wanted = intent.clone();
    let pushing = blocking(move || hub.push(&remote, &name, wanted.expected.as_ref(), &wanted.commit));
    let pushed = delivering.unless_stopped(pushing).await?;
    let branch_at = format!("branch {branch} of {}", to.remote.address());
    let at = intent.commit.short();
    match pushed.map_err(sort) {
        Ok(Pushed::Created) => Ok(Ended::new(
            DeliveryResult::Created,
            format!("{branch_at} was created at {at}"),
        )),
        Ok(Pushed::Updated) => Ok(Ended::new(
            DeliveryResult::Updated,
            format!("{branch_at} was moved forward to {at}"),
        )),
        Ok(Pushed::Already) => Ok(Ended::new(
            DeliveryResult::Already,
            format!("{branch_at} is at {at} already"),
        )),
        Ok(Pushed::Rejected(rejection)) => Ok(Ended::refused(rejected(&branch_at, &rejection))),
        Err(Asked::Refused(error)) => Ok(Ended::refused(error.to_string())),
        Err(Asked::StepFailure(trouble)) => Err(trouble),
    }
}

/// Why the push to a remote failed.
enum Asked {
    Refused(PushError),
    StepFailure(StepFailure),
}

impl<T: Into<StepFailure>> From<T> for Asked {
    fn from(trouble: T) -> Self {
        Self::StepFailure(trouble.into())
    }
}

fn sort(error: PushError) -> Asked {
    match error {
        refused @ (PushError::BadAddress { .. } | PushError::BadBranch { .. }) => Asked::Refused(refused),
        transient @ (PushError::Unreachable { .. } | PushError::Git(_)) => {
            Asked::StepFailure(StepFailure::Transient(transient.to_string()))
        }
    }
}

/// The push whose outcome is unknown, or a new one on the remote's present state.
async fn intend(delivering: &mut Delivering<'_>, remote: &Remote, branch: &str) -> Result<PushIntent, Asked> {
    let unfinished = delivering.so_far.push_intent.clone().filter(|intent| {
        intent.address == remote.address() && intent.branch == branch && intent.commit == delivering.commit
    });
    if let Some(intent) = unfinished {
        return Ok(intent);
    }
    let (hub, own, name) = (delivering.hub.clone(), remote.clone(), branch.to_owned());
    let asking = blocking(move || hub.remote_tip(&own, &name));
    let intent = PushIntent {
        address: remote.address().to_owned(),
        branch: branch.to_owned(),
        expected: delivering.unless_stopped(asking).await?.map_err(sort)?,
        commit: delivering.commit.clone(),
    };
    let input = Input::PushIntended { intent: intent.clone() };
    delivering.tell(input).await?;
    delivering.so_far.push_intent = Some(intent.clone());
    Ok(intent)
}

/// What moved, and what to do.
fn rejected(place: &str, rejection: &PushRejection) -> String {
    let way_out = "nothing was changed there: take that work into account, or name another delivery.push.branch";
    match rejection {
        PushRejection::Moved { expected, found } => {
            let was = expected.as_ref().map_or("did not exist".to_owned(), |commit| {
                format!("was at {}", commit.short())
            });
            let is = found
                .as_ref()
                .map_or("is gone".to_owned(), |commit| format!("is at {}", commit.short()));
            format!("{place} {was} when this push started and {is} now: someone else moved it meanwhile; {way_out}")
        }
        PushRejection::NotForward { found } => format!(
            "{place} is at {}, which this run's work does not contain: someone else pushed there; {way_out}",
            found.short()
        ),
        PushRejection::ByRemote { said } => format!("the remote refused {place}: {said}"),
    }
}
