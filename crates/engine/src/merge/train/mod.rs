//! The merge train: the first entries of a queue, each built on those before it, with their gates side by side.
//!
//! Entries land in the queue's order when they have passed. A failed entry takes everything that was built on it with
//! it: that is built again without it. So a commit lands only if its own tree passed, and the history is the one that
//! merging one at a time would make.

mod build;
mod candidate;

use super::{
    BranchLock, Failure, Turn, VERDICT_RETRY_LIMIT, branch::Branch, build::Built, end::Ended, entry::ActiveMerge,
    gates::Gates, land::Validated,
};
use crate::context::{
    Context, RetryPolicy, blocking,
    tip::{self, Tip},
};
use candidate::{Candidate, Verdict};
use domain::{CommitId, MergeId, RunId, gate::GateReport, run::ReasonCode};
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use store::merge::QueuedMerge;
use tokio::sync::Notify;

/// Entries on one train at most: so many land in one move of the branch.
const LENGTH: usize = 16;
/// The shortest time between two reads of the queue while gates run.
const MIN_WAIT: Duration = Duration::from_millis(100);
/// The longest, after [`MIN_WAIT`].
const MAX_WAIT: Duration = Duration::from_secs(1);

/// The train of one branch.
pub(super) struct Train {
    branch: Branch,
    run: RunId,
    /// Where the branch is; `None` until it is looked up.
    tip: Option<Tip>,
    /// An entry that can't be built ahead of its turn on this commit, so that it is not tried repeatedly.
    not_ahead: Option<(MergeId, CommitId)>,
    /// The queue as it was last read.
    queue: Vec<QueuedMerge>,
    /// Claimed entries that are to be built.
    claimed: Vec<ActiveMerge>,
    /// Merge commits, each on top of the one before it that has not failed.
    candidates: VecDeque<Candidate>,
    gate_ended: Arc<Notify>,
}

/// What comes next for the head of the queue.
#[allow(clippy::large_enum_variant, reason = "one at a time")]
pub(super) enum Decision {
    /// The queue is empty.
    Stop,
    /// The first entry's landing was intended earlier: finish it.
    FinishLanding(QueuedMerge),
    /// The first entries have passed their gates: land them.
    Land(Vec<Validated>),
    /// The first entry failed its gate: send it back.
    Reject {
        active: ActiveMerge,
        built: Built,
        report: GateReport,
    },
    /// The first entry's gate came to no verdict: try again.
    Retry { active: ActiveMerge, failure: Failure },
    /// The first entry has no verdict yet.
    Wait,
}

impl Train {
    pub(super) async fn start(
        context: &Context,
        gates: &Gates,
        run: RunId,
        lock: &Arc<BranchLock>,
    ) -> Result<Self, Failure> {
        let details = context.store.run_details(run).await?.ok_or(Failure::NotOurs)?;
        context.knows_models_of(&details).map_err(|error| Failure::Outage {
            of: "a process that has its model",
            source: error.into(),
        })?;
        let hub = context.hub(&details.hub, run).await?;
        let branch = Branch {
            context: context.clone(),
            gates: gates.clone(),
            details: Arc::new(details),
            hub,
            lock: lock.clone(),
        };
        Ok(Self {
            branch,
            run,
            tip: None,
            not_ahead: None,
            queue: Vec::new(),
            claimed: Vec::new(),
            candidates: VecDeque::new(),
            gate_ended: Arc::default(),
        })
    }

    /// One turn: read the queue, build what there is capacity for, collect verdicts, act on the head of the queue.
    pub(super) async fn turn(&mut self) -> Result<Turn, Failure> {
        self.read_queue().await?;
        if self.queue.first().is_some_and(|first| !first.intended) {
            self.build().await?;
            self.collect_verdicts().await;
        }
        match self.decide() {
            Decision::Stop => Ok(Turn::Empty),
            Decision::FinishLanding(entry) => self.finish_landing(entry).await,
            Decision::Land(passed) => self.land(passed).await,
            Decision::Reject { active, built, report } => self.reject(active, built, report).await,
            Decision::Retry { active, failure } => self.retry(active, failure).await.map(|()| Turn::Advanced),
            Decision::Wait => self.wait().await,
        }
    }

    /// Leaves everything to the next process.
    pub(super) async fn release(mut self) {
        self.release_from(0).await;
        for active in self.claimed {
            active.release();
        }
    }

    /// Reads the queue. Entries that are gone from it, because their run or task ended, leave the train.
    async fn read_queue(&mut self) -> Result<(), Failure> {
        let context = &self.branch.context;
        let level_s = context.settings.priority_level.as_secs_f64();
        self.queue = context.store.merge_queue(self.run, level_s, 2 * LENGTH as i64).await?;
        let queued: HashSet<MergeId> = self.queue.iter().map(|entry| entry.id).collect();
        let is_gone = |active: &ActiveMerge| !queued.contains(&active.entry.merge.id);
        if let Some(first) = self.candidates.iter().position(|candidate| is_gone(&candidate.active)) {
            self.release_from(first).await;
        }
        let (gone, claimed): (Vec<_>, Vec<_>) = std::mem::take(&mut self.claimed).into_iter().partition(is_gone);
        self.claimed = claimed;
        gone.into_iter().for_each(ActiveMerge::release);
        Ok(())
    }

    /// Notes the verdicts of ended gates. What is built on a failure is built again.
    async fn collect_verdicts(&mut self) {
        let mut index = 0;
        while let Some(candidate) = self.candidates.get_mut(index) {
            if candidate.collect_verdict().await && candidate.failed() {
                self.release_from(index + 1).await;
            }
            index += 1;
        }
    }

    fn decide(&mut self) -> Decision {
        match self.queue.first() {
            None => return Decision::Stop,
            Some(first) if first.intended => return Decision::FinishLanding(first.clone()),
            Some(_) => {}
        }
        let passed = self.candidates.iter().take_while(|candidate| candidate.passed());
        let passed = passed.count();
        if passed > 0 {
            let passed = self.candidates.drain(..passed);
            return Decision::Land(passed.filter_map(Candidate::validated).collect());
        }
        let Some(first) = self.candidates.pop_front() else {
            return Decision::Wait;
        };
        match first.verdict {
            Verdict::Reached(Ok(report)) => Decision::Reject {
                active: first.active,
                built: first.built,
                report,
            },
            Verdict::Reached(Err(failure)) => Decision::Retry {
                active: first.active,
                failure,
            },
            Verdict::Pending(_) => {
                self.candidates.push_front(first);
                Decision::Wait
            }
        }
    }

    /// Finishes a landing whose intent was written, by this process before an error or by one that crashed.
    async fn finish_landing(&mut self, entry: QueuedMerge) -> Result<Turn, Failure> {
        let active = ActiveMerge::start(&self.branch, entry);
        self.release_from(0).await;
        self.branch.recover_landing(active).await?;
        self.forget_built().await;
        Ok(Turn::Advanced)
    }

    async fn land(&mut self, passed: Vec<Validated>) -> Result<Turn, Failure> {
        match self.branch.land(passed).await {
            Ok(Some(commit)) => self.tip = Some(Tip { commit, lost: None }),
            // The branch is not where it was expected: nothing that was built on it is valid.
            Ok(None) => self.forget_built().await,
            Err(failure) => {
                self.forget_built().await;
                return Err(failure);
            }
        }
        Ok(Turn::Advanced)
    }

    /// Sends work back that failed the gate. Its merge commit keeps a reference, for people to look at.
    async fn reject(&mut self, active: ActiveMerge, built: Built, report: GateReport) -> Result<Turn, Failure> {
        let (hub, merged) = (self.branch.hub.clone(), built.merged);
        let reference = git::refs::candidate(&self.run, &active.entry.merge.key, &merged);
        RetryPolicy::until(&self.branch.context.drain)
            .within(VERDICT_RETRY_LIMIT)
            .run(|| {
                let (hub, reference, merged) = (hub.clone(), reference.clone(), merged.clone());
                blocking(move || hub.pin(&reference, &merged))
            })
            .await?;
        let ended = active
            .entry
            .rejected(ReasonCode::Gate, &report.sentence(), built.conflicted)
            .with_gate(&report);
        let ended = active.or_ask_person(ended).await?;
        self.branch.finish(vec![(active, ended)]).await?;
        Ok(Turn::Advanced)
    }

    /// Handles a failure at the head of the train: it is tried again, or it ends the entry at the limit.
    async fn retry(&mut self, mut active: ActiveMerge, failure: Failure) -> Result<(), Failure> {
        self.release_from(0).await;
        let failure = match failure {
            Failure::Transient(error) => {
                active.failed();
                if let Some(ended) = active.count_failure(&error.to_string()).await? {
                    return self.finish(active, ended).await;
                }
                Failure::Counted(error)
            }
            other => other,
        };
        self.claimed.push(active);
        Err(failure)
    }

    /// Ends an entry that is not on the train.
    async fn finish(&mut self, active: ActiveMerge, ended: Ended) -> Result<(), Failure> {
        let over = active.entry.merge.id;
        self.branch.finish(vec![(active, ended)]).await?;
        self.queue.retain(|entry| entry.id != over);
        Ok(())
    }

    /// Forgets what was built, and where the branch was.
    async fn forget_built(&mut self) {
        self.release_from(0).await;
        self.tip = None;
    }

    /// Stops the gates from an index on, and keeps their entries claimed.
    async fn release_from(&mut self, index: usize) {
        let index = index.min(self.candidates.len());
        let released: Vec<Candidate> = self.candidates.drain(index..).collect();
        for candidate in &released {
            candidate.cancel.cancel();
        }
        for candidate in released {
            if let Verdict::Pending(gate) = candidate.verdict {
                // Waited for, because its checkout is gone then; its result is not needed.
                drop(gate.await);
            }
            self.claimed.push(candidate.active);
        }
    }

    /// Waits until a gate ends, or there may be more to build.
    async fn wait(&mut self) -> Result<Turn, Failure> {
        let mut work = self.branch.context.wake.watch_work();
        let changed = async {
            tokio::time::sleep(MIN_WAIT).await;
            drop(tokio::time::timeout(MAX_WAIT, work.changed()).await);
        };
        tokio::select! {
            () = self.gate_ended.notified() => Ok(Turn::Waited),
            () = changed => Ok(Turn::Waited),
            () = self.branch.context.drain.cancelled() => Err(Failure::Stopped),
        }
    }

    async fn find_tip(&self) -> Result<Tip, Failure> {
        let found = tip::find(&self.branch.context, self.run, &self.branch.hub).await?;
        found.ok_or_else(|| Failure::transient("the run's branch is missing from the hub"))
    }
}
