//! The journal of an attempt, in the database and the hub.

use crate::context::{Context, HeldTask, RetryPolicy, blocking};
use agents::{
    port::{Call, CallResult, Journal, Turn, Verdict},
    worker::BackendId,
};
use async_trait::async_trait;
use domain::{CommitId, TaskKey, event::Event, plan::first_line};
use git::{GitError, Hub, SnapshotError, SnapshotRequest, TreeLimits};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use store::attempt::{BackendRow, CallRow, Held, ResultRow, TurnRow, Writer};
use telemetry::secrets::{redact, redact_json};
use tokio_util::sync::CancellationToken;

/// The length of a call's summary in the log.
const SUMMARY_CHARACTERS: usize = 120;
/// Retries of a snapshot whose reference moved meanwhile.
const SNAPSHOT_RETRIES: u32 = 3;

/// The journal of one attempt. Each write names the attempt's fence; a stale fence stops the worker.
pub(crate) struct AttemptJournal {
    pub(crate) context: Context,
    pub(crate) writer: Writer,
    /// The backend that reads the payloads.
    pub(crate) backend: BackendId,
    pub(crate) key: TaskKey,
    pub(crate) number: u32,
    pub(crate) hub: Arc<Hub>,
    pub(crate) worktree: PathBuf,
    pub(crate) base: CommitId,
    pub(crate) limits: TreeLimits,
    pub(crate) cancel: CancellationToken,
    /// Whether a call that may change the tree has started since the last snapshot.
    pub(crate) changed: AtomicBool,
    /// Whether the agent has answered since this process claimed the task.
    pub(crate) answered: AtomicBool,
}

impl AttemptJournal {
    /// Writes, retrying while the database is unavailable. Returns whether to continue.
    async fn write<Written>(&self, write: impl FnMut() -> Written) -> Result<Verdict, String>
    where
        Written: Future<Output = Result<Held, store::Error>>,
    {
        match RetryPolicy::until(&self.cancel).run(write).await {
            _ if self.cancel.is_cancelled() => Ok(Verdict::Stop),
            Ok(Held::Yes) => {
                self.context.wake.progressed();
                Ok(Verdict::Continue)
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

    /// Commits the tree under the attempt's ref. A process that held the task before may still write there; neither commit
    /// is lost, and the database decides which one counts.
    pub(crate) async fn snapshot(&self, turn: u32) -> Result<CommitId, SnapshotError> {
        let task = HeldTask {
            run: self.writer.run,
            task: self.writer.task,
            fence: self.writer.fence,
        };
        let retry = || RetryPolicy::until(&self.cancel).shown_at(&self.context, task);
        let snapshot = || retry().run(|| self.take_snapshot(turn));
        for _ in 0..SNAPSHOT_RETRIES {
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
    async fn turn_answered(&self, turn: &Turn) -> Result<Verdict, String> {
        self.answered.store(true, Ordering::Relaxed);
        let row = TurnRow {
            number: turn.number,
            backend: BackendRow {
                kind: self.backend.kind.clone().into_owned(),
                version: self.backend.version,
            },
            payload: redact_json(&turn.payload),
            text: turn.text.as_deref().map(redact),
            model: turn.model.clone(),
            input_tokens: turn.usage.input as i64,
            output_tokens: turn.usage.output as i64,
            cost: turn.cost,
        };
        let tools = turn.tools.iter();
        let event = Event::TurnAnswered {
            attempt: self.number,
            turn: turn.number,
            tools: tools.map(|tool| first_line(tool, SUMMARY_CHARACTERS)).collect(),
            cost: turn.cost,
        };
        let store = &self.context.store;
        self.write(|| store.record_turn(self.writer, &row, event.clone())).await
    }

    async fn call_started(&self, turn: u32, call: &Call) -> Result<Verdict, String> {
        let summary = redact(&first_line(&call.summary, SUMMARY_CHARACTERS));
        let name = redact(&first_line(&call.tool, SUMMARY_CHARACTERS));
        let row = CallRow {
            turn,
            call_id: call.id.clone(),
            name: name.clone(),
            arguments: redact(&call.arguments),
            summary: summary.clone(),
        };
        if call.may_change_tree {
            self.changed.store(true, Ordering::Relaxed);
        }
        let event = Event::ToolStarted {
            turn,
            tool: name,
            summary,
        };
        let store = &self.context.store;
        self.write(|| store.record_call(self.writer, &row, event.clone())).await
    }

    async fn call_ended(&self, turn: u32, call_id: &str, result: &CallResult) -> Result<Verdict, String> {
        // A result is recorded together with the snapshot of its changes, so that a resumed attempt finds the tree that
        // its history describes.
        let snapshot = match self.snapshot_of_changes(turn).await {
            Ok(snapshot) => snapshot,
            // Reported to the agent at the end of the turn.
            Err(SnapshotError::Refused(_)) => None,
            Err(SnapshotError::Git(error)) => return Err(error.to_string()),
        };
        let content = redact(&result.content);
        let row = ResultRow {
            call_id,
            content: &content,
            ok: result.ok,
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
            // The agent can fix what makes its worktree unrecordable.
            Err(SnapshotError::Refused(refusal)) => Ok(Verdict::Message(format!(
                "Your worktree can't be recorded as it is: {refusal}. Fix this before anything else."
            ))),
            Err(SnapshotError::Git(error)) => Err(error.to_string()),
        }
    }
}
