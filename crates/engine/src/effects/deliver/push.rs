//! The remote: what is expected there is recorded before the push, so that a crash between push and record is told
//! from somebody else's push.

use super::{Delivering, Ended, Trouble};
use crate::context::blocking;
use domain::{
    delivery::{DeliveryResult, PushIntent},
    input::Input,
};
use git::{PushError, PushRejection, Pushed, Remote};

pub(super) async fn push(delivering: &mut Delivering<'_>) -> Result<Ended, Trouble> {
    let settings = delivering.context.delivery(&delivering.details.workspace_path);
    let Some(to) = settings.and_then(|settings| settings.push.clone()) else {
        return Ok(Ended::new(DeliveryResult::Skipped, "no remote is configured"));
    };
    let branch = to.branch(&delivering.details.id, &delivering.details.branch);
    let intent = match intend(delivering, &to.remote, &branch).await {
        Ok(intent) => intent,
        Err(Asked::Refused(error)) => return Ok(Ended::refused(error.to_string())),
        Err(Asked::Trouble(trouble)) => return Err(trouble),
    };
    let (hub, remote, name) = (delivering.hub.clone(), to.remote.clone(), branch.clone());
    let wanted = intent.clone();
    let pushing = blocking(move || hub.push(&remote, &name, wanted.expected.as_ref(), &wanted.commit));
    let pushed = delivering.unless_stopped(pushing).await?;
    let place = format!("branch {branch} of {}", to.remote.address());
    let at = intent.commit.short();
    match pushed.map_err(sort) {
        Ok(Pushed::Created) => Ok(Ended::new(DeliveryResult::Created, format!("{place} is made at {at}"))),
        Ok(Pushed::Updated) => Ok(Ended::new(
            DeliveryResult::Updated,
            format!("{place} went forward to {at}"),
        )),
        Ok(Pushed::Already) => Ok(Ended::new(
            DeliveryResult::Already,
            format!("{place} is at {at} already"),
        )),
        Ok(Pushed::Rejected(rejection)) => Ok(Ended::refused(rejected(&place, &rejection))),
        Err(Asked::Refused(error)) => Ok(Ended::refused(error.to_string())),
        Err(Asked::Trouble(trouble)) => Err(trouble),
    }
}

/// Why a remote gave no answer that could be used.
enum Asked {
    Refused(PushError),
    Trouble(Trouble),
}

impl<T: Into<Trouble>> From<T> for Asked {
    fn from(trouble: T) -> Self {
        Self::Trouble(trouble.into())
    }
}

fn sort(error: PushError) -> Asked {
    match error {
        refused @ (PushError::BadAddress { .. } | PushError::BadBranch { .. }) => Asked::Refused(refused),
        transient @ (PushError::Unreachable { .. } | PushError::Git(_)) => {
            Asked::Trouble(Trouble::Transient(transient.to_string()))
        }
    }
}

/// The push that was begun and whose outcome is not known, or a new one on what the remote has now.
async fn intend(delivering: &mut Delivering<'_>, remote: &Remote, branch: &str) -> Result<PushIntent, Asked> {
    let begun = delivering.so_far.push_intent.clone().filter(|intent| {
        intent.address == remote.address() && intent.branch == branch && intent.commit == delivering.commit
    });
    if let Some(intent) = begun {
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

/// Who moved what, and what to do.
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
            format!("{place} {was} when this push began and {is} now: someone else moved it meanwhile; {way_out}")
        }
        PushRejection::NotForward { found } => format!(
            "{place} is at {}, which this run's work does not contain: someone else pushed there; {way_out}",
            found.short()
        ),
        PushRejection::ByRemote { said } => format!("the remote refused {place}: {said}"),
    }
}
