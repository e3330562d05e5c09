//! The journal of an attempt, on the database and in the hub.

use crate::context::{Context, Waiting, blocking, retry_outages};
use agents::{
    port::{Journal, Verdict},
    tools::Tool,
};
use async_trait::async_trait;
use domain::{CommitId, TaskKey, event::Event, plan::first_line};
use git::{GitError, Hub, SnapshotError, SnapshotRequest, TreeLimits};
use llm::{Message, Reply, ToolCall};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use store::attempt::{Held, IntentRow, ResultRow, TurnRow, Writer};
use telemetry::secrets::{redact, redact_json};
use tokio_util::sync::CancellationToken;

/// How much of a tool's arguments the log shows.
const SUMMARY_CHARACTERS: usize = 120;
/// How often a snapshot is taken again because its reference was moved meanwhile.
const SNAPSHOT_TRIES: u32 = 3;

/// The journal of one attempt. Each write names the attempt's fence; a stale one stops the worker.
pub(crate) struct AttemptJournal {
    pub(crate) context: Context,
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
        match retry_outages(&self.cancel, write).await {
            _ if self.cancel.is_cancelled() => Ok(Verdict::Stop),
            Ok(Held::Yes) => {
                self.context.wake.told();
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
        let context = &self.context;
        let snapshot = || context.retry_outages_shown(writer, &self.cancel, || self.take_snapshot(turn));
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
        let stamp = self.context.stamp(message);
        let taken = blocking(move || {
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
        let event = Event::TurnAnswered {
            attempt: self.number,
            turn,
            tools,
            cost: answer.cost,
        };
        let store = &self.context.store;
        self.write(|| store.record_turn(self.writer, &row, event.clone())).await
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
        let event = Event::ToolStarted {
            turn,
            tool: name,
            summary,
        };
        let store = &self.context.store;
        self.write(|| store.record_intent(self.writer, &row, event.clone()))
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
        let store = &self.context.store;
        self.write(|| store.record_result(self.writer, turn, &row, snapshot.as_ref()))
            .await
    }

    async fn turn_ended(&self, turn: u32) -> Result<Verdict, String> {
        let store = &self.context.store;
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
