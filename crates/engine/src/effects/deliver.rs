//! Deliver: the run's branch is put into the user's repository, and a clean checkout on the base is moved along.
//!
//! Twice: the branch points there already, and a checkout that was moved is no longer on the base.

use super::{Failure, finish};
use crate::engine::{Engine, blocking};
use domain::{
    event::Event,
    run::{Reason, ReasonCode},
};
use git::FastForward;
use std::path::PathBuf;
use store::{effect::ClaimedEffect, run::RunFacts};

pub(super) async fn perform(engine: &Engine, facts: &RunFacts, effect: &ClaimedEffect) -> Result<(), Failure> {
    let hub = engine
        .parts
        .hub(&facts.hub)
        .await
        .map_err(|error| Failure::Passing(error.to_string()))?;
    let integration = git::refs::integration(&facts.id);
    let (user, branch) = (PathBuf::from(&facts.workspace_path), facts.branch.clone());
    let base = facts.base.clone();
    let may_move_checkout = engine.parts.settings.fast_forward;
    let undelivered = |error: &dyn std::fmt::Display| {
        Failure::Final(Reason::new(
            ReasonCode::Delivery,
            format!(
                "the branch {} could not be delivered: {error}; the work is in the hub",
                facts.branch
            ),
        ))
    };
    let own = hub.clone();
    let tip = blocking(move || own.tip(&integration))
        .await
        .map_err(|error| Failure::Passing(error.to_string()))?
        .ok_or_else(|| undelivered(&"the integration branch is gone"))?;
    let commit = tip.clone();
    let delivered = blocking(move || -> Result<String, git::DeliverError> {
        git::deliver_branch(&user, &hub, &tip, &branch)?;
        Ok(match base {
            Some(base) if may_move_checkout => match git::fast_forward(&user, &base, &tip)? {
                FastForward::Done => "fast-forwarded".to_owned(),
                FastForward::Skipped(reason) => format!("left as it is: {reason}"),
            },
            _ => "left as it is: fast-forward is off".to_owned(),
        })
    })
    .await;
    let checkout = delivered.map_err(|error| match error {
        // A lock that the user's own git holds for a moment, a busy disk: everything has landed, so it is worth waiting.
        git::DeliverError::Git(error) => Failure::Passing(error.to_string()),
        refused => undelivered(&refused),
    })?;
    engine
        .step(facts.id, None, Event::Delivered { commit, checkout }, async |tx| {
            finish(tx, effect).await
        })
        .await?;
    Ok(())
}
