//! Plan: asks the director for a plan and saves its tasks.
//!
//! Safe to repeat: nothing was saved before, so another plan takes its place; the cost of the first call stays in the
//! ledger.

use super::{Failure, finish};
use crate::{
    context::{Account, Context, blocking},
    recovery::overdue,
    trace,
};
use agents::{
    director::{self, PlanOrder, RepositoryFacts},
    port::PlanProgress,
};
use async_trait::async_trait;
use domain::{
    CommitId, RunId,
    event::Event,
    input::Input,
    profile::Change,
    run::{Check, CheckSource, ReasonCode},
};
use git::RepoPath;
use globset::GlobBuilder;
use llm::ModelRef;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use store::{effect::ClaimedEffect, run::RunDetails};
use telemetry::secrets::redact;

pub(super) async fn perform(context: &Context, details: &RunDetails, effect: &ClaimedEffect) -> Result<(), Failure> {
    let base = details
        .base
        .clone()
        .ok_or_else(|| Failure::Transient("the workspace is not prepared".into()))?;
    let order = order(context, details, base).await?;
    let account = Account {
        context: context.clone(),
        run: details.id,
        task: None,
        attempt: None,
        provider_wait: None,
    };
    let progress = PlanLog {
        context: context.clone(),
        run: details.id,
    };
    let trace = trace::of_run(&details.trace);
    let models = context.models.clone();
    let asking = director::plan(&order, &models, &account, &progress, Some(&trace));
    let planned = match context.drain.run_until_cancelled(asking).await {
        None => return Err(Failure::Stopped),
        Some(Err(reason)) if reason.code == ReasonCode::Requested => return Err(Failure::Stopped),
        Some(Err(_)) if order.deadline.is_some_and(|ends| ends <= Instant::now()) => {
            return Err(Failure::Final(overdue(&details.limits)));
        }
        Some(Err(reason)) => return Err(Failure::Final(reason)),
        Some(Ok(planned)) => planned,
    };
    let changes = planned
        .plan
        .tasks
        .iter()
        .map(|task| {
            context
                .profiles
                .get(&task.profile)
                .map_or(Change::Required, |profile| profile.change)
        })
        .collect();
    let input = Input::Planned {
        plan: Box::new(planned.plan),
        repairs: planned.repairs,
        changes,
    };
    context
        .step(details.id, None, input, async |tx| finish(tx, effect).await)
        .await?;
    Ok(())
}

async fn order(context: &Context, details: &RunDetails, base: CommitId) -> Result<PlanOrder, Failure> {
    let hub = context
        .hub(&details.hub, details.id)
        .await
        .map_err(|error| Failure::Transient(error.to_string()))?;
    let at = base.clone();
    let paths = blocking(move || hub.paths(&at))
        .await
        .map_err(|error| Failure::Transient(error.to_string()))?;
    let listing = top_level(&paths);
    let paths: Vec<String> = paths.iter().map(RepoPath::to_string).collect();
    let check = details.check.clone();
    Ok(PlanOrder {
        objective: details.objective.clone(),
        repository: RepositoryFacts {
            listing,
            check: check.unwrap_or(Check {
                command: None,
                source: CheckSource::NotConfigured,
            }),
            base,
        },
        profiles: context.profiles.clone(),
        limits: details.limits.clone(),
        model: ModelRef::new(details.director.0.clone(), details.director.1.clone()),
        file_exists: Arc::new(move |wanted| exists(&paths, wanted)),
        deadline: remaining(details),
    })
}

/// The entries at the root; directories end with a slash.
fn top_level(paths: &[RepoPath]) -> Vec<String> {
    let entries: BTreeSet<String> = paths
        .iter()
        .map(|path| {
            let path = path.to_string();
            match path.split_once('/') {
                Some((directory, _)) => format!("{directory}/"),
                None => path,
            }
        })
        .collect();
    entries.into_iter().collect()
}

/// Whether a path, a directory, or anything that a glob matches is among the paths.
fn exists(paths: &[String], wanted: &str) -> bool {
    let wanted = wanted.trim_end_matches('/');
    let directory = format!("{wanted}/");
    if paths.iter().any(|path| path == wanted || path.starts_with(&directory)) {
        return true;
    }
    match GlobBuilder::new(wanted).literal_separator(true).build() {
        Ok(glob) => {
            let matcher = glob.compile_matcher();
            paths.iter().any(|path| matcher.is_match(path))
        }
        Err(_) => false,
    }
}

/// The run's deadline.
pub(super) fn remaining(details: &RunDetails) -> Option<Instant> {
    let left = (details.limits.run_s as f64 - details.age_s).max(0.0);
    Instant::now().checked_add(Duration::from_secs_f64(left))
}

/// Records the progress of planning as events.
struct PlanLog {
    context: Context,
    run: RunId,
}

#[async_trait]
impl PlanProgress for PlanLog {
    async fn asked(&self, round: u32, problems: &[String]) {
        let event = Event::PlanRequested {
            round,
            problems: problems.iter().map(|problem| redact(problem)).collect(),
        };
        match self.context.store.append(self.run, &[(None, event)]).await {
            Ok(()) => self.context.wake.progressed(),
            Err(error) => tracing::warn!(%error, "Could not record the progress of planning"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_directories_and_globs_are_found() {
        let paths = ["src/lib.rs".to_owned(), "README.md".to_owned()];
        for wanted in ["src/lib.rs", "src", "src/", "src/*.rs", "**/*.md", "src/**"] {
            assert!(exists(&paths, wanted), "{wanted}");
        }
        for wanted in ["lib.rs", "sr", "*.rs", "[", "docs/**"] {
            assert!(!exists(&paths, wanted), "{wanted}");
        }
    }
}
