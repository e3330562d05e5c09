//! The user's repository: the branch, and the checkout.

use super::{Delivering, Ended, Trouble};
use crate::context::blocking;
use domain::{CommitId, delivery::DeliveryResult, integrity::IntegrityFlag};
use git::{DeliverError, Delivered, FastForward, Refused, UserAttributes, UserCommands};
use std::path::PathBuf;

/// So many flags are named in a sentence.
const NAMED: usize = 3;

pub(super) async fn branch(delivering: &Delivering<'_>) -> Result<Ended, Trouble> {
    let details = delivering.details;
    let (user, branch) = (PathBuf::from(&details.workspace_path), details.branch.clone());
    let (hub, commit) = (delivering.hub.clone(), delivering.commit.clone());
    // Since it was prepared its path may have come to lead elsewhere.
    let (admission, place) = (delivering.context.admission.clone(), user.clone());
    if let Err(refused) = blocking(move || admission.still_admits(&place)).await {
        let hint = refused.hint();
        return Ok(Ended::refused(format!("{refused}: {hint}; the work is in the hub")));
    }
    if let Err(refused) = checked(delivering).await? {
        return Ok(Ended::refused(refused));
    }
    let delivered = blocking(move || git::deliver_branch(&user, &hub, &commit, &branch)).await;
    let place = format!("branch {} of {}", details.branch, details.workspace_path);
    let at = delivering.commit.short();
    Ok(match delivered {
        Ok(Delivered::Created) => Ended::new(DeliveryResult::Created, format!("{place} is made at {at}")),
        Ok(Delivered::Updated) => Ended::new(DeliveryResult::Updated, format!("{place} went forward to {at}")),
        Ok(Delivered::Already) => Ended::new(DeliveryResult::Already, format!("{place} is at {at} already")),
        // A lock that the user's own git holds for a moment, a busy disk: everything has landed, so it is worth waiting.
        Err(DeliverError::Git(error)) => return Err(error.into()),
        Err(refused) => Ended::refused(format!("{refused}; the work is in the hub")),
    })
}

/// Looks at all that the run adds once more, whatever landed it; in words, why nothing is delivered.
async fn checked(delivering: &Delivering<'_>) -> Result<Result<(), String>, Trouble> {
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

pub(super) async fn checkout(delivering: &Delivering<'_>) -> Result<Ended, Trouble> {
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

/// What the run as a whole adds or changes that the user's tools run by themselves: where a merge was made on another
/// machine, nobody knew there what the user's git is configured to run.
async fn executed(delivering: &Delivering<'_>, base: &CommitId) -> Result<Vec<IntegrityFlag>, Trouble> {
    let (hub, base, commit) = (delivering.hub.clone(), base.clone(), delivering.commit.clone());
    let user = PathBuf::from(&delivering.details.workspace_path);
    let found = blocking(move || hub.executed(&base, &commit, &UserCommands::of(&user)?)).await;
    Ok(found?)
}

/// Why a checkout is not moved, with the way out.
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
