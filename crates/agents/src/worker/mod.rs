//! The worker: one attempt at a task, a loop of model turns with tools in a worktree of its own.
//!
//! ```text
//! replay what is journaled → while there are turns left: say what is to be said → ask → journal the answer
//!   → for each call: may it run? → journal the intent → run → journal the result → end of the turn
//! ```
//! One linear history, append-only but for compaction. Everything it decides by itself follows from the history,
//! so an attempt that is resumed stands where it stood.

mod compact;
mod conduct;
mod order;
mod prompt;
mod replay;
mod stuck;
mod turn;

#[cfg(test)]
mod tests;

pub use order::{Feedback, HandOff, JournaledTurn, WorkOrder};

use crate::{
    port::{Journal, Verdict},
    tools::{Finish, ToolBox},
};
use conduct::Conduct;
use domain::{
    profile::Change,
    run::{Reason, ReasonCode},
    task::Outcome,
};
use llm::{Ledger, Message, Models, ToolSpec};
use sandbox::CancellationToken;
use std::time::Instant;
use telemetry::TraceContext;

/// What an attempt works with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// The tools, held to the attempt's worktree.
    pub toolbox: &'a ToolBox,
    /// The models.
    pub models: &'a Models,
    /// Where calls are paid for.
    pub ledger: &'a dyn Ledger,
    /// Where everything is written down.
    pub journal: &'a dyn Journal,
    /// Ends the attempt at once.
    pub cancel: &'a CancellationToken,
    /// The span of the attempt, under which turns hang.
    pub trace: Option<&'a TraceContext>,
}

/// How an attempt ended, as far as the worker can tell. The tree and the gate decide what it is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkEnd {
    /// The worker says it is done, or partly done.
    Finished(Finish),
    /// It did not get there; another attempt may.
    Failed(Reason),
    /// Another attempt would not get there either.
    GaveUp(Reason),
    /// It was stopped from outside: cancelled, drained or fenced off.
    Stopped,
}

/// Does an attempt, or goes on with one that was interrupted.
pub async fn work(order: &WorkOrder, means: Means<'_>) -> WorkEnd {
    match Attempt::new(order, means).run().await {
        Ok(finish) => judged(finish),
        Err(end) => end.into(),
    }
}

/// What the worker's own word means for the attempt.
fn judged(finish: Finish) -> WorkEnd {
    let reason = |word: &str| {
        let text = format!("the worker says the task is {word}: {}", finish.summary);
        Reason::new(ReasonCode::Worker, text)
    };
    match finish.outcome {
        Outcome::Done | Outcome::Partial => WorkEnd::Finished(finish),
        Outcome::Blocked => WorkEnd::Failed(reason("blocked")),
        Outcome::Impossible => WorkEnd::GaveUp(reason("impossible")),
    }
}

/// What ends an attempt without a report.
#[derive(Debug)]
enum Break {
    Failed(Reason),
    GaveUp(Reason),
    Stopped,
}

impl From<Break> for WorkEnd {
    fn from(end: Break) -> Self {
        match end {
            Break::Failed(reason) => Self::Failed(reason),
            Break::GaveUp(reason) => Self::GaveUp(reason),
            Break::Stopped => Self::Stopped,
        }
    }
}

/// An attempt under way.
struct Attempt<'a> {
    order: &'a WorkOrder,
    means: Means<'a>,
    /// The conversation so far.
    messages: Vec<Message>,
    tools: Vec<ToolSpec>,
    conduct: Conduct,
    /// Turns that were answered.
    turn: u32,
    /// What is to be said to the model before its next turn.
    notes: Vec<String>,
}

impl<'a> Attempt<'a> {
    fn new(order: &'a WorkOrder, means: Means<'a>) -> Self {
        let specs = means.toolbox.specs();
        let tools: Vec<ToolSpec> = specs
            .into_iter()
            .map(|spec| ToolSpec {
                name: spec.name.to_owned(),
                description: spec.description.to_owned(),
                parameters: spec.parameters,
            })
            .collect();
        let names = tools.iter().map(|tool| tool.name.clone()).collect();
        let must_change = order.profile.change == Change::Required;
        Self {
            order,
            means,
            messages: vec![
                Message::system(prompt::system(&order.profile)),
                Message::user(prompt::user(order)),
            ],
            tools,
            conduct: Conduct::new(names, must_change),
            turn: 0,
            notes: Vec::new(),
        }
    }

    async fn run(mut self) -> Result<Finish, Break> {
        if let Some(finish) = self.replay().await? {
            return Ok(finish);
        }
        let limit = self.turn_limit();
        while self.turn < limit {
            if let Some(finish) = self.next_turn(limit).await? {
                return Ok(finish);
            }
        }
        Err(failed(
            ReasonCode::Limit,
            format!("the attempt used its {limit} turns without finishing (limit turns = {limit})"),
        ))
    }

    fn turn_limit(&self) -> u32 {
        let limit = self.order.limits.turns;
        self.order.profile.turns.map_or(limit, |own| own.min(limit)).max(1)
    }

    /// Ends the attempt where it was cancelled or has had its time.
    fn may_go_on(&self) -> Result<(), Break> {
        if self.means.cancel.is_cancelled() {
            return Err(Break::Stopped);
        }
        if Instant::now() >= self.order.deadline {
            let limit = self.order.limits.attempt_s;
            return Err(failed(
                ReasonCode::Limit,
                format!("the attempt took longer than it may (limit attempt_s = {limit})"),
            ));
        }
        Ok(())
    }

    /// Does what the journal says.
    fn heed(&mut self, verdict: Result<Verdict, String>) -> Result<(), Break> {
        match verdict {
            Ok(Verdict::GoOn) => Ok(()),
            Ok(Verdict::Stop) => Err(Break::Stopped),
            Ok(Verdict::Message(text)) => {
                self.notes.push(text);
                Ok(())
            }
            Err(problem) => Err(failed(
                ReasonCode::Internal,
                format!("the attempt could not be journaled: {problem}"),
            )),
        }
    }
}

fn failed(code: ReasonCode, message: impl Into<String>) -> Break {
    Break::Failed(Reason::new(code, message))
}
