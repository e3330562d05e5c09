//! The user's repository: the branch, and the checkout.

use super::{Delivering, Ended, StepFailure};
use crate::context::blocking;
use domain::{CommitId, delivery::DeliveryResult, integrity::IntegrityFlag};
use git::{DeliverError, Delivered, FastForward, Refused, UserAttributes, UserCommands};
use std::path::PathBuf;

/// The most flags that a sentence names.
const NAMED: usize = 3;

pub(super) async fn branch(delivering: &Delivering<'_>) -> Result<Ended, StepFailure> {
    let details = delivering.details;
    let (user, branch) = (PathBuf::from(&details.workspace_path), details.branch.clone());
    let (hub, commit) = (delivering.hub.clone(), delivering.commit.clone());
    // Since the run was prepared the path may lead elsewhere.
    let (admission, place) = (delivering.context.admission.clone(), user.clone());
    if let Err(refused) = blocking(move || admission.still_admits(&place)).await {
        let hint = refused.hint();
        return Ok(Ended::refused(format!("{refused}: {hint}; the work is in the hub")));
    }
    if let Err(refused) = checked(delivering).await? {
        return Ok(Ended::refused(refused));
    }
    let delivered = blocking(move || git::deliver_branch(&user, &hub, &commit, &branch)).await;
    let branch = format!("branch {} of {}", details.branch, details.workspace_path);
    let at = delivering.commit.short();
    Ok(match delivered {
        Ok(Delivered::Created) => Ended::new(DeliveryResult::Created, format!("{branch} was created at {at}")),
        Ok(Delivered::Updated) => Ended::new(DeliveryResult::Updated, format!("{branch} was moved forward to {at}")),
        Ok(Delivered::Already) => Ended::new(DeliveryResult::Already, format!("{branch} is at {at} already")),
        // A lock of the user's own git, or a busy disk: everything has landed, so a retry is worth it.
        Err(DeliverError::Git(error)) => return Err(error.into()),
        Err(refused) => Ended::refused(format!("{refused}; the work is in the hub")),
    })
}

/// Checks everything that the run adds again. Returns why nothing is delivered, for people.
async fn checked(delivering: &Delivering<'_>) -> Result<Result<(), String>, StepFailure> {
    let Some(base) = delivering.details.base.clone() else {
        return Ok(Ok(()));
    };
    let (hub, commit) = (delivering.hub.clone(), delivering.commit.clone());
    let user = PathBuf::from(&delivering.details.workspace_path);
    match blocking(move || hub.check(&base, &commit, &UserAttributes::of(&user)?)).await {
        Ok(()) => Ok(Ok(())),
        Err(Refused::Git(error)) => Err(error.into()),
        Err(refused) => Ok(Err(format!("{refused}; the work is in the hub"))),
    }
}

pub(super) async fn checkout(delivering: &Delivering<'_>) -> Result<Ended, StepFailure> {
    let details = delivering.details;
    let skipped = |why: &str| Ended::new(DeliveryResult::Skipped, format!("left as it is: {why}"));
    let base = match &details.base {
        Some(base) if delivering.context.settings.fast_forward => base.clone(),
        Some(_) | None => return Ok(skipped("fast-forward is off")),
    };
    let mut integrity = delivering.context.store.integrity(details.id).await?;
    if !integrity.allowed {
        let found = executed(delivering, &base).await?;
        let known = |flag: &IntegrityFlag| integrity.flags.iter().any(|known| known.title() == flag.title());
        let new: Vec<_> = found.into_iter().filter(|flag| !known(flag)).collect();
        integrity.flags.extend(new);
    }
    if !integrity.allowed && !integrity.flags.is_empty() {
        return Ok(skipped(&flagged(&integrity.flags, &details.id.short())));
    }
    let (user, commit) = (PathBuf::from(&details.workspace_path), delivering.commit.clone());
    Ok(
        match blocking(move || git::fast_forward(&user, &base, &commit)).await? {
            FastForward::Done => Ended::new(DeliveryResult::Updated, "fast-forwarded"),
            FastForward::Skipped(reason) => skipped(&reason.to_string()),
        },
    )
}

/// The files of the run that the user's tools run by themselves. A merge on another machine could not know what the user's
/// git is configured to run.
async fn executed(delivering: &Delivering<'_>, base: &CommitId) -> Result<Vec<IntegrityFlag>, StepFailure> {
    let (hub, base, commit) = (delivering.hub.clone(), base.clone(), delivering.commit.clone());
    let user = PathBuf::from(&delivering.details.workspace_path);
    let found = blocking(move || hub.executed(&base, &commit, &UserCommands::of(&user)?)).await;
    Ok(found?)
}

/// Why the checkout is not moved, and what to do.
fn flagged(flags: &[IntegrityFlag], run: &str) -> String {
    let count = match flags.len() {
        1 => "1 integrity flag".to_owned(),
        many => format!("{many} integrity flags"),
    };
    let mut named: Vec<String> = flags.iter().take(NAMED).map(IntegrityFlag::title).collect();
    if flags.len() > NAMED {
        named.push(format!("{} more", flags.len() - NAMED));
    }
    format!(
        "{count} ({}); look at the change with `orchestrator diff {run}`, then `orchestrator deliver {run} \
         --allow-integrity-flags` moves it",
        named.join(", ")
    )
}
