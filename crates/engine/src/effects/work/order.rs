//! The worker's order: its task, the results before it, and what is journaled already.

use super::{super::plan::remaining, Broken, attempt::Attempt, broken};
use crate::context::blocking;
use agents::{
    port::CallResult,
    worker::{Feedback, HandOff, JournaledCall, JournaledTurn, WorkOrder},
};
use domain::{
    plan::PlanDocument,
    recorded::Recorded,
    run::{Check, CheckSource},
};
use git::RepoPath;
use llm::ModelRef;
use std::time::{Duration, Instant};
use store::attempt::ReplayedTurn;

impl Attempt<'_> {
    /// Everything the worker needs to know.
    pub(super) async fn order(&self) -> Result<WorkOrder, Broken> {
        let store = &self.context.store;
        let plan = store.plan(self.claimed.run).await.map_err(broken)?.unwrap_or_default();
        let spec = &self.task.spec;
        let attempt_ends = Instant::now() + Duration::from_secs(self.details.limits.attempt_s);
        Ok(WorkOrder {
            run: self.claimed.run.short(),
            task: self.claimed.key.clone(),
            attempt: self.claimed.attempt,
            title: self.task.title.clone(),
            instructions: spec.instructions.clone(),
            acceptance: spec.acceptance.clone(),
            gate: self.details.check.clone().unwrap_or(Check {
                command: None,
                source: CheckSource::NotConfigured,
            }),
            check: spec.check.clone(),
            objective: self.details.objective.clone(),
            interfaces: interfaces(&plan, spec),
            hand_offs: self.hand_offs().await?,
            feedback: self.task.feedback.as_ref().map(for_worker),
            paths: spec.paths.clone(),
            base: self.base.clone(),
            conflicted: self.conflicted.clone(),
            profile: self.profile.clone(),
            model: ModelRef::new(self.details.worker.0.clone(), self.details.worker.1.clone()),
            limits: self.details.limits.clone(),
            resume: self.journaled.iter().cloned().map(journaled).collect(),
            deadline: remaining(&self.details).map_or(attempt_ends, |run_ends| run_ends.min(attempt_ends)),
        })
    }

    async fn hand_offs(&self) -> Result<Vec<HandOff>, Broken> {
        let parents = self.context.store.parents(self.claimed.task).await.map_err(broken)?;
        let hub = self.hub.clone();
        blocking(move || {
            parents
                .into_iter()
                .map(|parent| {
                    let paths = parent
                        .commit
                        .as_ref()
                        .map_or_else(|| Ok(Vec::new()), |commit| hub.brought(commit));
                    let summary = parent
                        .finish
                        .as_ref()
                        .and_then(|finish| finish["summary"].as_str().map(str::to_owned));
                    Ok(HandOff {
                        key: parent.key,
                        title: parent.title,
                        commit: parent.commit,
                        summary: summary.unwrap_or_default(),
                        paths: paths.map_err(broken)?.iter().map(RepoPath::to_string).collect(),
                    })
                })
                .collect()
        })
        .await
    }
}

fn interfaces(plan: &PlanDocument, spec: &domain::plan::PlannedTask) -> Vec<domain::plan::Interface> {
    let concerns = |id: &String| spec.provides.contains(id) || spec.needs.contains(id);
    plan.interfaces
        .iter()
        .filter(|interface| concerns(&interface.id))
        .cloned()
        .collect()
}

fn journaled(turn: ReplayedTurn) -> JournaledTurn {
    let calls = turn.calls.into_iter().map(|call| JournaledCall {
        id: call.id,
        result: call.result.map(|(content, ok)| CallResult { content, ok }),
    });
    JournaledTurn {
        number: turn.number,
        payload: turn.payload,
        calls: calls.collect(),
    }
}

/// The stored feedback as the worker reads it.
fn for_worker(feedback: &Recorded<domain::feedback::Feedback>) -> Feedback {
    match feedback {
        Recorded::Read(feedback) => Feedback {
            attempt: feedback.attempt,
            reason: feedback.reason.clone(),
            output: feedback
                .gate
                .as_ref()
                .map(|gate| gate.output.clone())
                .unwrap_or_default(),
        },
        Recorded::Unreadable { unreadable } => Feedback {
            attempt: 0,
            reason: unreadable.clone(),
            output: String::new(),
        },
    }
}
