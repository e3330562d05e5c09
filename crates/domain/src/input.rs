//! What happens to a run: the inputs of [`crate::transition::transition`].

use crate::{
    delivery::{DeliveryStepEnd, PushIntent},
    effect::EffectKind,
    ids::{CommitId, Fence, MergeId, TaskKey},
    merge::{Answer, MergeEnd},
    plan::PlanDocument,
    run::{Check, Reason},
    task::AttemptEnd,
};

/// Something that happened to a run or to one of its tasks.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The hub is ready and the base commit pinned.
    Prepared {
        /// Where everything starts.
        base: CommitId,
        /// The name of the branch the base was taken from.
        base_branch: String,
        /// How the merged tree is checked.
        check: Check,
    },
    /// The director's plan passed its checks.
    Planned {
        /// The plan.
        plan: Box<PlanDocument>,
        /// What the checks repaired in it.
        repairs: Vec<String>,
        /// For each task of the plan, in its order, whether an empty change is acceptable.
        changes: Vec<crate::profile::Change>,
    },
    /// Preparing, planning or delivering failed for good, or a limit of the run was reached.
    RunFailed {
        /// Why.
        reason: Reason,
    },
    /// An effect failed for good, and its failure leaves the run as it is.
    EffectFailed {
        /// The kind of effect.
        effect: EffectKind,
        /// Why.
        reason: Reason,
    },
    /// A person asked for the work to be delivered, again or for the first time.
    DeliveryRequested {
        /// Whether the checkout may be fast-forwarded although the run has integrity flags.
        allow_integrity_flags: bool,
    },
    /// A push is about to be made.
    PushIntended {
        /// Which.
        intent: PushIntent,
    },
    /// A step of the delivery came to something.
    DeliveryStepEnded {
        /// To what.
        end: DeliveryStepEnd,
    },
    /// The branch is in the user's repository.
    Delivered {
        /// The commit that was delivered.
        commit: CommitId,
        /// What was done with the user's checkout, in words.
        checkout: String,
    },
    /// The trees and outputs of the run, which has ended, are deleted.
    Expired,
    /// A person asked for the run to end.
    CancelRequested,

    /// An attempt at a task ended.
    AttemptEnded {
        /// The fence the attempt was claimed under.
        fence: Fence,
        /// How it ended.
        end: AttemptEnd,
    },
    /// The process that held the task is gone.
    ProcessLost {
        /// The fence the attempt was claimed under.
        fence: Fence,
        /// Whether a turn was finished under that fence: then the crash does not count against the task.
        progressed: bool,
    },
    /// The merge of a task's work ended.
    MergeEnded {
        /// Which merge.
        merge: MergeId,
        /// How.
        end: MergeEnd,
    },
    /// Nobody could decide a conflict: a person is asked, and the task waits.
    PersonAsked {
        /// Which merge.
        merge: MergeId,
        /// Conflicted paths.
        conflicts: Vec<String>,
        /// Why a person is asked.
        why: String,
    },
    /// The person who was asked has answered.
    PersonAnswered {
        /// Which merge.
        merge: MergeId,
        /// What.
        answer: Answer,
        /// Who, as they call themselves.
        by: String,
    },
    /// A task this one waits for will never complete.
    ParentLost {
        /// The parent.
        parent: TaskKey,
    },
    /// The task is to end because its run does.
    TaskCancelled {
        /// Whether the task's work is past the point of no return: its landing intent is written.
        landing: bool,
    },
}
