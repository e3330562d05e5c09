//! The product's own worker: a loop of model turns with tools.
//!
//! ```text
//! replay the journal → while turns are left: add pending notes → ask the model → journal the answer
//!   → for each call: is it allowed? → journal its start → run it → journal its result → end of the turn
//! ```
//! The history is linear and append-only except for compaction. Every decision follows from the history, so a resumed
//! attempt continues exactly where it stopped.

mod compact;
mod conduct;
mod prompt;
mod replay;
mod stuck;
mod turn;

#[cfg(test)]
mod tests;

use crate::{
    port::Verdict,
    tools::Finish,
    worker::{BackendId, Session, WorkEnd, WorkOrder, WorkerBackend},
};
use async_trait::async_trait;
use conduct::Conduct;
use domain::{
    profile::Change,
    run::{Reason, ReasonCode},
};
use llm::{Message, Models, ToolSpec};
use std::{borrow::Cow, sync::Arc, time::Instant};

/// The backend's name in the journal.
const KIND: &str = "model_loop";
/// The payload of a turn is the assistant's [`Message`] as JSON.
const PAYLOAD_VERSION: u32 = 1;

/// The product's own backend.
#[derive(Clone)]
pub struct ModelWorker {
    models: Arc<Models>,
}

impl ModelWorker {
    /// A backend that asks these models.
    pub fn new(models: Arc<Models>) -> Self {
        Self { models }
    }
}

#[async_trait]
impl WorkerBackend for ModelWorker {
    fn id(&self) -> BackendId {
        BackendId {
            kind: Cow::Borrowed(KIND),
            version: PAYLOAD_VERSION,
        }
    }

    fn uses_provider_slots(&self) -> bool {
        true
    }

    async fn work(&self, order: &WorkOrder, session: Session<'_>) -> WorkEnd {
        match Attempt::new(order, session, &self.models).run().await {
            Ok(finish) => finish.into(),
            Err(end) => end.into(),
        }
    }
}

/// Ends an attempt without a report.
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

/// A running attempt.
struct Attempt<'a> {
    order: &'a WorkOrder,
    session: Session<'a>,
    models: &'a Models,
    /// The conversation so far.
    messages: Vec<Message>,
    tools: Vec<ToolSpec>,
    conduct: Conduct,
    /// The number of answered turns.
    turn: u32,
    /// Texts to add to the conversation before the next turn.
    notes: Vec<String>,
}

impl<'a> Attempt<'a> {
    fn new(order: &'a WorkOrder, session: Session<'a>, models: &'a Models) -> Self {
        let specs = session.toolbox.specs();
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
            session,
            models,
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

    /// Fails when the attempt was cancelled or its time is over.
    fn check_may_continue(&self) -> Result<(), Break> {
        if self.session.cancel.is_cancelled() {
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

    /// Applies the journal's verdict.
    fn apply(&mut self, verdict: Result<Verdict, String>) -> Result<(), Break> {
        match verdict {
            Ok(Verdict::Continue) => Ok(()),
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
