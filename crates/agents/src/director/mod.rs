//! The director: turns an objective into a checked plan.

mod prompt;

#[cfg(test)]
mod tests;

use crate::{
    conversation::{answered, say},
    failure::Failure,
    port::PlanProgress,
    profile::Profiles,
    schema,
};
use domain::{
    CommitId,
    limits::RunLimits,
    plan::PlanDocument,
    plan_check::{self, Checked, Context, Problem},
    profile::Change,
    run::{Check, Reason, ReasonCode},
};
use llm::{CostRole, Error, Ledger, Message, ModelRef, Models, Request};
use serde_json::Value;
use std::{sync::Arc, time::Instant};
use telemetry::{
    TraceContext,
    span::{self, SpanKind},
};

/// How many times longer than a worker's answer a plan may be.
const PLAN_LENGTH_FACTOR: u32 = 4;
/// The most problems that are reported to the model at once.
const PROBLEMS_TOLD: usize = 20;

/// The objective to plan, and the facts about it.
#[derive(Clone)]
pub struct PlanOrder {
    /// The user's objective.
    pub objective: String,
    /// Facts about the repository.
    pub repository: RepositoryFacts,
    /// The worker profiles.
    pub profiles: Arc<Profiles>,
    /// The limits of the plan and its repairs.
    pub limits: RunLimits,
    /// The model to ask.
    pub model: ModelRef,
    /// Whether a path, or anything that a glob matches, is in the base commit's tree.
    pub file_exists: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// The deadline of planning.
    pub deadline: Option<Instant>,
}

/// Facts about the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// The entries at the root; directories end with a slash.
    pub listing: Vec<String>,
    /// The check command of the gate.
    pub check: Check,
    /// The base commit.
    pub base: CommitId,
}

/// A valid plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The plan.
    pub plan: PlanDocument,
    /// The repairs, or why it is not the model's own plan.
    pub repairs: Vec<String>,
    /// The number of model calls.
    pub rounds: u32,
}

/// Asks the director's model for a plan until one passes its checks.
///
/// An invalid plan goes back with its problems, at most `limits.plan_repairs` times; after that a plan with one task for the
/// whole objective is returned.
///
/// # Errors
/// The reason why there is no plan: the model can't be called, or none of its answers was a plan at all.
pub async fn plan(
    order: &PlanOrder,
    models: &Models,
    ledger: &dyn Ledger,
    progress: &dyn PlanProgress,
    trace: Option<&TraceContext>,
) -> Result<Planned, Reason> {
    let mut span = trace.map(|trace| span::child(trace, SpanKind::Plan));
    let context = span.as_ref().map(span::SpanGuard::context);
    let planned = Rounds::new(order).run(models, ledger, progress, context.as_ref()).await;
    if let (Err(reason), Some(span)) = (&planned, &mut span) {
        span.fail(reason.code.as_str());
    }
    planned
}

/// The conversation so far.
struct Rounds<'a> {
    order: &'a PlanOrder,
    request: Request,
    asked: u32,
    problems: Vec<String>,
    /// Whether any answer was a plan, even an invalid one.
    was_plan: bool,
}

impl<'a> Rounds<'a> {
    fn new(order: &'a PlanOrder) -> Self {
        let messages = vec![Message::system(prompt::SYSTEM), Message::user(prompt::user(order))];
        let limit = order.limits.output_tokens;
        Self {
            order,
            request: Request {
                schema: Some(schema::strict::<PlanDocument>("plan")),
                max_output_tokens: limit.saturating_mul(PLAN_LENGTH_FACTOR),
                deadline: order.deadline,
                ..Request::new(order.model.clone(), CostRole::Director, messages)
            },
            asked: 0,
            problems: Vec::new(),
            was_plan: false,
        }
    }

    async fn run(
        mut self,
        models: &Models,
        ledger: &dyn Ledger,
        progress: &dyn PlanProgress,
        trace: Option<&TraceContext>,
    ) -> Result<Planned, Reason> {
        while self.asked <= self.order.limits.plan_repairs {
            progress.asked(self.asked + 1, &self.problems).await;
            match models.structured(&self.request, ledger, trace).await {
                Ok(answer) => {
                    self.asked += if answer.repaired.is_empty() { 1 } else { 2 };
                    match judge(&answer.value, self.order) {
                        Ok(checked) => return Ok(self.planned(checked)),
                        Err(problems) => self.send_back(&answer.value, &problems),
                    }
                }
                Err(error) => self.garbled(&error)?,
            }
        }
        if self.was_plan {
            self.single_task()
        } else {
            Err(Reason::new(
                ReasonCode::Plan,
                format!(
                    "{} gave no plan in {} answers: {}; choose another director model",
                    self.order.model,
                    self.asked,
                    self.problems.join("; ")
                ),
            ))
        }
    }

    fn planned(&self, checked: Checked) -> Planned {
        Planned {
            plan: checked.plan,
            repairs: checked.repairs,
            rounds: self.asked,
        }
    }

    fn send_back(&mut self, answer: &Value, problems: &[Problem]) {
        self.was_plan = true;
        self.problems = problems.iter().map(Problem::to_string).collect();
        let messages = &mut self.request.messages;
        answered(messages, answer.to_string());
        let told = self.problems.iter().take(PROBLEMS_TOLD);
        say(messages, &prompt::refused(told));
    }

    /// Handles an answer that is not a plan document. Other failures end the planning.
    fn garbled(&mut self, error: &Error) -> Result<(), Reason> {
        match Failure::of(error) {
            Failure::Unusable(problem) => {
                // An answer of the wrong shape was returned once already.
                let was_repaired = matches!(error, Error::Invalid { .. });
                self.asked += if was_repaired { 2 } else { 1 };
                say(&mut self.request.messages, &prompt::refused(std::iter::once(&problem)));
                self.problems = vec![problem];
                Ok(())
            }
            failure => Err(failure.into_reason()),
        }
    }

    /// A plan with one task for the whole objective, used when no plan of the model was valid.
    fn single_task(self) -> Result<Planned, Reason> {
        let order = self.order;
        let able = |profile: &&str| {
            let known = order.profiles.get(profile);
            known.is_some_and(|profile| profile.change == Change::Required)
        };
        let names = order.profiles.names();
        let profile = std::iter::once("coder")
            .chain(names.iter().map(String::as_str))
            .find(able)
            .ok_or_else(|| Reason::new(ReasonCode::Plan, "no profile of a worker makes changes"))?;
        let why = format!(
            "one task carries the objective: no plan passed its checks in {} answers; the last one's problems: {}",
            self.asked,
            self.problems.join("; ")
        );
        let mut plan = PlanDocument::single(&order.objective, profile, &why);
        if plan.tasks.iter().any(|task| task.title.is_empty()) {
            return Err(Reason::new(ReasonCode::Plan, "the objective is empty"));
        }
        plan.tasks.truncate(1);
        Ok(Planned {
            plan,
            repairs: vec![why],
            rounds: self.asked,
        })
    }
}

/// Checks a plan document.
fn judge(document: &Value, order: &PlanOrder) -> Result<Checked, Vec<Problem>> {
    let plan: PlanDocument = serde_path_to_error::deserialize(document).map_err(|error| {
        let pointer = pointer(error.path());
        let message = error.into_inner().to_string();
        vec![Problem { pointer, message }]
    })?;
    let profiles = order.profiles.names();
    plan_check::check(
        plan,
        &Context {
            profiles: &profiles,
            limits: &order.limits,
            file_exists: order.file_exists.as_ref(),
        },
    )
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => "/?".to_owned(),
        })
        .collect()
}
