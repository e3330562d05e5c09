//! The ports that models and agents write through, on the database: the ledger, the journal, the plan's progress.

use crate::{
    engine::Engine,
    patience::{Waiting, patiently},
};
use agents::{
    port::{Journal, PlanProgress, Verdict},
    tools::Tool,
};
use async_trait::async_trait;
use domain::{CommitId, RunId, TaskId, TaskKey, event::Fact, plan::first_line};
use git::{GitError, Hub, SnapshotError, SnapshotRequest, TreeLimits};
use llm::{CallId, CallOutcome, CallStatus, Ledger, Message, PlannedCall, Refusal, Reply, ToolCall};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use store::{
    attempt::{Held, IntentRow, ResultRow, TurnRow, Writer},
    ledger::{Reservation, Reserved, Settlement},
};
use telemetry::secrets::{redact, redact_json};
use tokio_util::sync::CancellationToken;

/// How much of a tool's arguments the log shows.
const SUMMARY_CHARACTERS: usize = 120;
/// How often a snapshot is taken again because its reference was moved meanwhile.
const SNAPSHOT_TRIES: u32 = 3;

/// On whose account calls are made.
pub(crate) struct Account {
    pub(crate) engine: Engine,
    pub(crate) run: RunId,
    pub(crate) task: Option<TaskId>,
    pub(crate) attempt: Option<i64>,
}

#[async_trait]
impl Ledger for Account {
    async fn reserve(&self, call: &PlannedCall) -> Result<CallId, Refusal> {
        let asked = call.upper_bound.unwrap_or_default();
        let reservation = Reservation {
            run: self.run,
            task: self.task,
            attempt: self.attempt,
            role: call.role.as_str(),
            provider: call.provider.clone(),
            model: call.model.clone(),
            upper_bound: asked,
        };
        let parts = &self.engine.parts;
        match patiently(&parts.drain, || parts.store.reserve(parts.holder, &reservation)).await {
            Ok(Reserved::Yes(call)) => Ok(CallId(call)),
            Ok(Reserved::OverCap(spending)) => Err(Refusal::Budget {
                limit: spending.cap.unwrap_or_default(),
                spent: spending.spent,
                reserved: spending.reserved,
                asked,
            }),
            Ok(Reserved::Ended) => Err(Refusal::Stopped("the run has ended".into())),
            Err(error) => Err(Refusal::Store(error.to_string())),
        }
    }

    async fn settle(&self, call: CallId, outcome: &CallOutcome) -> Result<(), String> {
        let (store, drain) = (&self.engine.parts.store, &self.engine.parts.drain);
        if outcome.status == CallStatus::Lost {
            let error = outcome.error.as_deref().map(redact).unwrap_or_default();
            let (requests, duration_ms) = (outcome.attempts as i32, outcome.duration.as_millis() as i64);
            let lost = patiently(drain, || store.lose_call(call.0, &error, requests, duration_ms)).await;
            return lost.map_err(|error| error.to_string());
        }
        let settlement = Settlement {
            status: outcome.status.as_str().to_owned(),
            model: Some(outcome.model.clone()),
            cost: outcome.cost,
            tokens: outcome
                .usage
                .map(|usage| [usage.input, usage.output, usage.cached, usage.reasoning].map(|tokens| tokens as i64)),
            requests: outcome.attempts as i32,
            duration_ms: outcome.duration.as_millis() as i64,
            first_token_ms: outcome.time_to_first_token.map(|time| time.as_millis() as i64),
            error: outcome.error.as_deref().map(redact),
        };
        patiently(drain, || store.settle(call.0, &settlement))
            .await
            .map_err(|error| error.to_string())
    }

    fn retrying(&self, _call: CallId, why: &'static str, wait: Duration) {
        if self.task.is_some() && why == "rate_limited" {
            telemetry::task::blocked("rate_limit", wait);
        }
        let fact = Fact::ModelRetried {
            why: why.to_owned(),
            wait_ms: wait.as_millis() as u64,
        };
        let (engine, run, task) = (self.engine.clone(), self.run, self.task);
        // Beside the call: what is shown must not hold up what is done.
        tokio::spawn(async move {
            match engine.parts.store.append(run, &[(task, fact)]).await {
                Ok(()) => engine.parts.wake.told(),
                Err(error) => tracing::debug!(%error, "a retry was not shown"),
            }
        });
    }
}

/// The journal of one attempt. Each write names the attempt's fence; a stale one stops the worker.
pub(crate) struct AttemptJournal {
    pub(crate) engine: Engine,
    pub(crate) writer: Writer,
    pub(crate) key: TaskKey,
    pub(crate) number: u32,
    pub(crate) hub: Arc<Hub>,
    pub(crate) worktree: PathBuf,
    pub(crate) base: CommitId,
    pub(crate) limits: TreeLimits,
    pub(crate) cancel: CancellationToken,
    /// Whether a tool that can change the tree has run since the last snapshot.
    pub(crate) changed: AtomicBool,
    /// Whether the model has answered in this life of the attempt.
    pub(crate) answered: AtomicBool,
}

impl AttemptJournal {
    /// Writes, however long the database is away, and says whether to go on.
    async fn write<Written>(&self, write: impl FnMut() -> Written) -> Result<Verdict, String>
    where
        Written: Future<Output = Result<Held, store::Error>>,
    {
        match patiently(&self.cancel, write).await {
            _ if self.cancel.is_cancelled() => Ok(Verdict::Stop),
            Ok(Held::Yes) => {
                self.engine.parts.wake.told();
                Ok(Verdict::GoOn)
            }
            Ok(Held::No) => Ok(Verdict::Stop),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The snapshot of the tree, if it may have changed since the last one.
    async fn snapshot_of_changes(&self, turn: u32) -> Result<Option<CommitId>, SnapshotError> {
        if !self.changed.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let commit = self.snapshot(turn).await?;
        self.changed.store(false, Ordering::Relaxed);
        Ok(Some(commit))
    }

    /// Keeps the tree as it is under the attempt's ref. Should whoever held the task before still write there, too,
    /// one of the two is later: neither's commit is lost, and which of them counts is in the database.
    pub(crate) async fn snapshot(&self, turn: u32) -> Result<CommitId, SnapshotError> {
        let writer = Waiting {
            run: self.writer.run,
            task: self.writer.task,
            fence: self.writer.fence,
        };
        let parts = &self.engine.parts;
        let snapshot = || parts.patiently_shown(writer, &self.cancel, || self.take_snapshot(turn));
        for _ in 0..SNAPSHOT_TRIES {
            match snapshot().await {
                Err(SnapshotError::Git(GitError::Moved { .. })) => {}
                done => return done,
            }
        }
        snapshot().await
    }

    async fn take_snapshot(&self, turn: u32) -> Result<CommitId, SnapshotError> {
        let (hub, worktree, base, limits) = (
            self.hub.clone(),
            self.worktree.clone(),
            self.base.clone(),
            self.limits.clone(),
        );
        let reference = git::refs::attempt(&self.writer.run, &self.key, i64::from(self.number));
        let message = format!("{} attempt {} turn {turn}", self.key, self.number);
        let stamp = self.engine.parts.stamp(message);
        let taken = crate::engine::blocking(move || {
            hub.snapshot(&SnapshotRequest {
                worktree: &worktree,
                base: &base,
                reference: &reference,
                stamp: &stamp,
                limits: &limits,
            })
        })
        .await?;
        Ok(taken.commit)
    }
}

#[async_trait]
impl Journal for AttemptJournal {
    async fn turn_answered(&self, turn: u32, answer: &Reply, assistant: &Message) -> Result<Verdict, String> {
        self.answered.store(true, Ordering::Relaxed);
        let message = serde_json::to_value(assistant).map_err(|error| error.to_string())?;
        let row = TurnRow {
            number: turn,
            assistant: redact_json(&message),
            model: answer.model.clone(),
            input_tokens: answer.usage.input as i64,
            output_tokens: answer.usage.output as i64,
            cost: answer.cost,
        };
        let tools = answer
            .tool_calls
            .iter()
            .map(|call| first_line(&call.name, SUMMARY_CHARACTERS))
            .collect();
        let fact = Fact::TurnAnswered {
            attempt: self.number,
            turn,
            tools,
            cost: answer.cost,
        };
        let store = &self.engine.parts.store;
        self.write(|| store.record_turn(self.writer, &row, fact.clone())).await
    }

    async fn tool_intent(&self, turn: u32, call: &ToolCall, summary: &str) -> Result<Verdict, String> {
        let summary = redact(&first_line(summary, SUMMARY_CHARACTERS));
        let name = redact(&first_line(&call.name, SUMMARY_CHARACTERS));
        let row = IntentRow {
            turn,
            call_id: call.id.clone(),
            name: name.clone(),
            arguments: redact(&call.arguments),
            summary: summary.clone(),
        };
        if Tool::named(&call.name).is_some_and(Tool::changes) {
            self.changed.store(true, Ordering::Relaxed);
        }
        let fact = Fact::ToolStarted {
            turn,
            tool: name,
            summary,
        };
        let store = &self.engine.parts.store;
        self.write(|| store.record_intent(self.writer, &row, fact.clone()))
            .await
    }

    async fn tool_result(&self, turn: u32, call_id: &str, content: &str, ok: bool) -> Result<Verdict, String> {
        // What a recorded result says was done is in the snapshot that is recorded with it: whoever goes on with the
        // attempt finds the tree as the history tells it.
        let snapshot = match self.snapshot_of_changes(turn).await {
            Ok(snapshot) => snapshot,
            // The worker is told at the end of the turn.
            Err(SnapshotError::Refused(_)) => None,
            Err(SnapshotError::Git(error)) => return Err(error.to_string()),
        };
        let content = redact(content);
        let row = ResultRow {
            call_id,
            content: &content,
            ok,
        };
        let store = &self.engine.parts.store;
        self.write(|| store.record_result(self.writer, turn, &row, snapshot.as_ref()))
            .await
    }

    async fn turn_ended(&self, turn: u32) -> Result<Verdict, String> {
        let store = &self.engine.parts.store;
        match self.snapshot_of_changes(turn).await {
            Ok(snapshot) => {
                self.write(|| store.end_turn(self.writer, turn, snapshot.as_ref()))
                    .await
            }
            // What the worker left there can't be kept; it can mend that, so it is told.
            Err(SnapshotError::Refused(refusal)) => Ok(Verdict::Message(format!(
                "Your worktree can't be recorded as it is: {refusal}. Mend this before anything else."
            ))),
            Err(SnapshotError::Git(error)) => Err(error.to_string()),
        }
    }
}

/// Where planning tells how it gets on.
pub(crate) struct PlanLog {
    pub(crate) engine: Engine,
    pub(crate) run: RunId,
}

#[async_trait]
impl PlanProgress for PlanLog {
    async fn asked(&self, round: u32, problems: &[String]) {
        let fact = Fact::PlanAsked {
            round,
            problems: problems.iter().map(|problem| redact(problem)).collect(),
        };
        match self.engine.parts.store.append(self.run, &[(None, fact)]).await {
            Ok(()) => self.engine.parts.wake.told(),
            Err(error) => tracing::warn!(%error, "the progress of planning could not be recorded"),
        }
    }
}
