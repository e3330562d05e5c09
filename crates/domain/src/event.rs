//! What is recorded: the entries of a run's log, which the stream, the pages and the command line read.
//!
//! [`crate::transition::transition`] takes an [`Input`](crate::input::Input) and gives the [`Event`]s that it causes.

use crate::{
    delivery::{DeliveryStepEnd, PushIntent},
    gate::GateVerdict,
    ids::{CommitId, Fence, MergeId},
    integrity::IntegrityFlag,
    merge::{MergeEnd, MergeState},
    money::NanoDollars,
    run::{Check, Reason},
    task::{AttemptEnd, Outcome},
};
use serde::{Deserialize, Serialize};

/// One entry of a run's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Event {
    /// The run was accepted.
    RunSubmitted {
        /// What was asked for.
        objective: String,
    },
    /// The hub is ready.
    WorkspacePrepared {
        /// Where everything starts.
        base: CommitId,
        /// The branch the base was taken from.
        base_branch: String,
        /// How the merged tree is checked.
        check: Check,
    },
    /// The director's model was asked for a plan, or for a repair of one.
    PlanRequested {
        /// 1 for the first time.
        round: u32,
        /// What was wrong with the round before.
        problems: Vec<String>,
    },
    /// The plan is saved and its tasks exist.
    PlanSaved {
        /// 1 for the first plan.
        version: u32,
        /// How many tasks it has.
        tasks: u32,
        /// How many tasks the longest chain has.
        levels: u32,
        /// What the checks repaired.
        repairs: Vec<String>,
    },
    /// A task can be claimed.
    TaskReady,
    /// A worker took the task.
    TaskClaimed {
        /// Which try, from 1.
        attempt: u32,
        /// The fence it was claimed under.
        fence: Fence,
    },
    /// A turn of the worker's model was answered.
    TurnAnswered {
        /// Which try.
        attempt: u32,
        /// Which turn of it, from 1.
        turn: u32,
        /// The tools it asked for, with what they are to do, in a few words each.
        tools: Vec<String>,
        /// What the call cost; `None` for an unpriced model.
        cost: Option<NanoDollars>,
    },
    /// A tool is about to run.
    ToolStarted {
        /// Which turn.
        turn: u32,
        /// The tool.
        tool: String,
        /// What it is to do, in a few words.
        summary: String,
    },
    /// The model's provider made the caller wait.
    ModelRetried {
        /// Why: `rate_limited`, `server_error`, …
        why: String,
        /// Milliseconds until the next try.
        wait_ms: u64,
    },
    /// A task can't go on without something that is away, or can again.
    TaskBlocked {
        /// What is away, in a few words; `None`: nothing any more.
        on: Option<String>,
    },
    /// An attempt ended.
    AttemptEnded {
        /// Which try.
        attempt: u32,
        /// How.
        end: AttemptEnd,
        /// What the worker said of it.
        outcome: Option<Outcome>,
    },
    /// Finished work is pinned and waits to be merged.
    MergeQueued {
        /// The frozen commit.
        commit: CommitId,
    },
    /// The merge moved on.
    MergeProgressed {
        /// Which merge.
        merge: MergeId,
        /// To which step.
        state: MergeState,
        /// Conflicted paths, where there are any.
        conflicts: Vec<String>,
    },
    /// One conflict was decided.
    ConflictDecided {
        /// Which merge.
        merge: MergeId,
        /// The path.
        path: String,
        /// Which layer decided.
        layer: String,
        /// `resolved` or `declined`.
        result: String,
        /// The reason given.
        reason: String,
    },
    /// The gate ran on a merged tree.
    GateFinished {
        /// Which merge.
        merge: MergeId,
        /// What it said.
        verdict: GateVerdict,
        /// Tests that passed, where the output tells.
        passed: Option<u64>,
        /// Tests that failed, where the output tells.
        failed: Option<u64>,
        /// Tests that failed in one run of the check and passed in another, on the same tree.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        flaky: Vec<String>,
        /// Milliseconds it took.
        duration_ms: u64,
    },
    /// What a merge brought weakens what decides about it, or runs by itself elsewhere.
    IntegrityFlagged {
        /// Which merge.
        merge: MergeId,
        /// What was found.
        flag: IntegrityFlag,
    },
    /// Nobody could decide a conflict: the merge is out of the queue until a person does.
    MergeWaiting {
        /// Which merge.
        merge: MergeId,
        /// Conflicted paths.
        conflicts: Vec<String>,
        /// Why a person is asked.
        why: String,
    },
    /// A person decided conflicts of a merge that waited; it is in the queue again.
    MergeDecided {
        /// Which merge.
        merge: MergeId,
        /// The paths that were decided.
        paths: Vec<String>,
        /// Who decided, as they call themselves.
        by: String,
    },
    /// The merge is about to move the branch; from here on it is finished by whoever recovers.
    LandingIntended {
        /// Which merge.
        merge: MergeId,
        /// The commit to land.
        commit: CommitId,
    },
    /// The merge ended.
    MergeEnded {
        /// Which merge.
        merge: MergeId,
        /// How.
        end: MergeEnd,
    },
    /// The task is complete.
    TaskCompleted {
        /// The commit that brought it; `None` where nothing had to change.
        commit: Option<CommitId>,
    },
    /// The task goes back to be tried again.
    TaskReturned {
        /// Why.
        reason: Reason,
    },
    /// The task failed for good.
    TaskFailed {
        /// Why.
        reason: Reason,
    },
    /// The task will not be done.
    TaskCancelled {
        /// Why.
        reason: Reason,
    },
    /// The process under an attempt was lost; the task can be claimed again.
    TaskRecovered {
        /// How often that has happened to this task.
        crashes: u32,
    },
    /// Everything has landed.
    RunDelivering,
    /// A person asked for the work to be handed over, once more or at last.
    DeliveryRequested {
        /// Whether the checkout may be fast-forwarded although the run has integrity flags.
        #[serde(default)]
        allow_integrity_flags: bool,
    },
    /// A push is about to be made.
    PushIntended(PushIntent),
    /// A step of the delivery came to something.
    DeliveryStepEnded(DeliveryStepEnd),
    /// The branch is in the user's repository.
    RunCompleted {
        /// The commit that was delivered.
        commit: CommitId,
        /// What was done with the user's checkout, in words.
        checkout: String,
    },
    /// Work outside the database failed for good; the run stays as it is.
    EffectFailed {
        /// The kind of effect: `deliver`.
        effect: String,
        /// Why.
        reason: Reason,
    },
    /// The run ended without its objective.
    RunFailed {
        /// Why.
        reason: Reason,
    },
    /// The trees and outputs of the run are given up.
    RunExpired,
    /// The run was ended by a person.
    RunCancelled,
}

impl Event {
    /// The stable name of this kind of event, as its `kind` field has it.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}
