//! The merge train: the head of a queue, each entry built on those before it, with their gates side by side.
//!
//! What passed lands in the queue's order. What failed takes everything that was built on it along: that is built
//! anew without it. So only commits land whose very tree was judged, and the history is the one that merging one at
//! a time would make.

mod candidate;

use super::{
    BranchLock, Failure, Turn, VERDICT_RETRY_LIMIT,
    bring::{Brought, Built},
    entry::{Branch, Ended, Merger},
    gate,
    gates::Gates,
};
use crate::context::{
    Context, RetryPolicy, blocking,
    tip::{self, Tip},
};
use candidate::{Candidate, Judging};
use domain::{CommitId, MergeId, RunId, gate::GateReport, run::ReasonCode};
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use store::merge::QueuedMerge;
use tokio::sync::{Notify, OwnedSemaphorePermit};

/// Entries on one train at most: so many land in one move of the branch.
const LENGTH: usize = 16;
/// The least time between two looks at the queue while gates run.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The longest.
const LOOK_AT_LEAST: Duration = Duration::from_secs(1);

/// The train of one branch.
pub(super) struct Train {
    branch: Branch,
    run: RunId,
    /// Where the branch is; `None` until it is asked.
    tip: Option<Tip>,
    /// What can't be built ahead of its turn on a certain commit: it is not tried again and again.
    behind: Option<(MergeId, CommitId)>,
    /// The queue as it was last read.
    queue: Vec<QueuedMerge>,
    /// Taken in hand, and to be built.
    hand: Vec<Merger>,
    candidates: VecDeque<Candidate>,
    /// A gate has ended.
    ended: Arc<Notify>,
}

impl Train {
    pub(super) async fn begin(
        context: &Context,
        gates: &Gates,
        run: RunId,
        lock: &Arc<BranchLock>,
    ) -> Result<Self, Failure> {
        let details = context.store.run_details(run).await?.ok_or(Failure::NotOurs)?;
        context.knows_models_of(&details).map_err(|error| Failure::Outage {
            of: "a process that has its model",
            error,
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
            behind: None,
            queue: Vec::new(),
            hand: Vec::new(),
            candidates: VecDeque::new(),
            ended: Arc::default(),
        })
    }

    /// Goes on: finishes, builds, lands, rejects or waits.
    pub(super) async fn turn(&mut self) -> Result<Turn, Failure> {
        self.look().await?;
        if let Some(intended) = self.queue.first().filter(|entry| entry.intended) {
            let merger = Merger::take(&self.branch, intended.clone());
            self.put_candidates_down(0).await;
            self.branch.recover_landing(merger).await?;
            return self.anew(Ok(Turn::Went)).await;
        }
        if self.queue.is_empty() {
            return Ok(Turn::Empty);
        }
        let tip = match self.tip.take() {
            Some(tip) => tip,
            None => self.find_tip().await?,
        };
        self.tip = Some(tip.clone());
        self.build(tip).await?;
        self.judge().await;
        if self.settle().await? {
            return Ok(Turn::Went);
        }
        self.wait().await?;
        Ok(Turn::Waited)
    }

    /// Everything is left to whoever comes next.
    pub(super) async fn put_down(mut self) {
        self.put_candidates_down(0).await;
        for merger in self.hand {
            merger.put_down();
        }
    }

    /// Reads the queue. What is gone from it, because its run or task was ended, goes from the train, too.
    async fn look(&mut self) -> Result<(), Failure> {
        let context = &self.branch.context;
        let level_s = context.settings.priority_level.as_secs_f64();
        self.queue = context.store.merge_queue(self.run, level_s, 2 * LENGTH as i64).await?;
        let there: HashSet<MergeId> = self.queue.iter().map(|entry| entry.id).collect();
        let gone = |merger: &Merger| !there.contains(&merger.entry.merge.id);
        if let Some(first) = self.candidates.iter().position(|candidate| gone(&candidate.merger)) {
            self.put_candidates_down(first).await;
        }
        let (gone, hand) = std::mem::take(&mut self.hand).into_iter().partition(gone);
        self.hand = hand;
        for merger in Vec::from_iter::<Vec<Merger>>(gone) {
            merger.put_down();
        }
        Ok(())
    }

    /// Builds what there is a place for, each on the last that has not failed.
    async fn build(&mut self, tip: Tip) -> Result<(), Failure> {
        self.put_astray_down(&tip.commit).await;
        self.take().await?;
        while self.candidates.len() < LENGTH {
            let Some(next) = self.next() else {
                return Ok(());
            };
            let (ahead, onto) = (!self.candidates.is_empty(), self.top(&tip.commit));
            let on = Some((self.hand[next].entry.merge.id, onto.clone()));
            if ahead && self.behind == on {
                return Ok(());
            }
            let Some(permit) = self.permit(ahead) else {
                return Ok(());
            };
            let mut merger = self.hand.swap_remove(next);
            let lost = tip.lost.clone().map(|why| Ended::error(ReasonCode::Moved, why, false));
            let brought = match lost.or_else(|| merger.poison()) {
                Some(ended) if !ahead => Ok(Brought::Ended(ended)),
                Some(_) => Ok(Brought::NotAhead),
                None => merger.bring(&onto, ahead).await,
            };
            match brought {
                Ok(Brought::Built(built)) => self.start_gate(merger, built, permit),
                Ok(Brought::Ended(ended)) => {
                    let over = merger.entry.merge.id;
                    self.branch.finish(vec![(merger, ended)]).await?;
                    self.queue.retain(|entry| entry.id != over);
                }
                Ok(Brought::NotAhead) => {
                    self.behind = on;
                    self.hand.push(merger);
                    return Ok(());
                }
                Err(Failure::Outage { error, .. } | Failure::Transient(error)) if ahead => {
                    tracing::debug!(error, "what can't be built ahead of its turn is built in its turn");
                    self.behind = on;
                    self.hand.push(merger);
                    return Ok(());
                }
                Err(failure) => return self.stumble(merger, failure).await,
            }
        }
        Ok(())
    }

    /// Takes what has a place on the train, and is not on it, in hand.
    async fn take(&mut self) -> Result<(), Failure> {
        let free = LENGTH - self.candidates.len();
        let places = match self.branch.is_gated() {
            true => usize::from(self.candidates.is_empty()) + self.branch.gates.ahead.available_permits(),
            false => free,
        };
        let places = places.min(free).saturating_sub(self.hand.len());
        let known: HashSet<MergeId> = self
            .candidates
            .iter()
            .map(|candidate| &candidate.merger)
            .chain(&self.hand)
            .map(|merger| merger.entry.merge.id)
            .collect();
        let fresh = self.queue.iter().filter(|entry| !known.contains(&entry.id));
        let fresh: Vec<QueuedMerge> = fresh.take(places).cloned().collect();
        if !fresh.is_empty() {
            self.hand.extend(self.branch.take(fresh).await?);
        }
        Ok(())
    }

    /// The place in hand of what comes first in the queue.
    fn next(&self) -> Option<usize> {
        let place = |entry: &QueuedMerge| self.hand.iter().position(|merger| merger.entry.merge.id == entry.id);
        self.queue.iter().find_map(place)
    }

    /// What the next is built on.
    fn top(&self, tip: &CommitId) -> CommitId {
        let standing = |candidate: &&Candidate| !candidate.failed();
        let last = self.candidates.iter().rev().find(standing);
        last.map_or_else(|| tip.clone(), |candidate| candidate.built.merged.clone())
    }

    /// The right to run one more gate: the first of a train always has it, one ahead of its turn only while cores are
    /// free, and a merge without a check needs none. `None`: not now.
    fn permit(&self, ahead: bool) -> Option<Option<OwnedSemaphorePermit>> {
        if !ahead || !self.branch.is_gated() {
            return Some(None);
        }
        self.branch.gates.ahead.clone().try_acquire_owned().ok().map(Some)
    }

    fn start_gate(&mut self, merger: Merger, mut built: Built, permit: Option<OwnedSemaphorePermit>) {
        let cancel = self.branch.context.drain.child_token();
        let (entry, own) = (merger.entry.clone(), cancel.clone());
        let (tip, commit) = (built.tip.clone(), built.merged.clone());
        let (ended, in_turn) = (self.ended.clone(), permit.is_none());
        let gate = match built.unchecked.take() {
            Some(report) => {
                gate::tell(&report, Duration::ZERO);
                Judging::Done(Ok(report))
            }
            None => Judging::Running(tokio::spawn(async move {
                let judged = gate::judge_in_turn(&entry, &tip, &commit, &own, in_turn).await;
                ended.notify_one();
                judged
            })),
        };
        self.candidates.push_back(Candidate {
            merger,
            built,
            gate,
            cancel,
            _permit: permit,
        });
    }

    /// Takes note of the verdicts that are there. What stands on a failure is built anew.
    async fn judge(&mut self) {
        let mut place = 0;
        while let Some(candidate) = self.candidates.get_mut(place) {
            if candidate.settle_if_ended().await && candidate.failed() {
                self.put_candidates_down(place + 1).await;
            }
            place += 1;
        }
    }

    /// Lands what passed at the head of the train, or sends its first back. `false` when there is nothing to do yet.
    async fn settle(&mut self) -> Result<bool, Failure> {
        let passed = self
            .candidates
            .iter()
            .take_while(|candidate| candidate.passed())
            .count();
        if passed > 0 {
            let landing = self
                .candidates
                .drain(..passed)
                .filter_map(Candidate::validated)
                .collect();
            return match self.branch.land(landing).await {
                Ok(Some(tip)) => {
                    self.tip = Some(Tip {
                        commit: tip,
                        lost: None,
                    });
                    Ok(true)
                }
                // The branch is not where it was thought to be, or its place is unknown: nothing built stands.
                Ok(None) => self.anew(Ok(true)).await,
                Err(failure) => self.anew(Err(failure)).await,
            };
        }
        match self.candidates.front().map(|first| &first.gate) {
            None | Some(Judging::Running(_)) => Ok(false),
            Some(Judging::Done(_)) => {
                let Some(Candidate {
                    merger, built, gate, ..
                }) = self.candidates.pop_front()
                else {
                    return Ok(false);
                };
                match gate {
                    Judging::Done(Ok(report)) => self.reject(merger, built, report).await,
                    Judging::Done(Err(failure)) => self.stumble(merger, failure).await.map(|()| true),
                    Judging::Running(_) => Ok(false),
                }
            }
        }
    }

    /// Sends work back that the gate refused. Its merge commit stays for people to look at.
    async fn reject(&mut self, merger: Merger, built: Built, report: GateReport) -> Result<bool, Failure> {
        let (hub, merged) = (self.branch.hub.clone(), built.merged);
        let reference = git::refs::candidate(&self.run, &merger.entry.merge.key, &merged);
        let stop = self.branch.context.drain.clone();
        RetryPolicy::until(&stop)
            .within(VERDICT_RETRY_LIMIT)
            .run(|| {
                let (hub, reference, merged) = (hub.clone(), reference.clone(), merged.clone());
                blocking(move || hub.pin(&reference, &merged))
            })
            .await?;
        let ended = merger
            .entry
            .rejected(ReasonCode::Gate, &report.sentence(), built.conflicted)
            .with_gate(&report);
        let ended = merger.refused(ended).await?;
        self.branch.finish(vec![(merger, ended)]).await?;
        Ok(true)
    }

    /// A failure at the head of the train: it is tried again, or it ends the entry when it has had its tries.
    async fn stumble(&mut self, mut merger: Merger, failure: Failure) -> Result<(), Failure> {
        self.put_candidates_down(0).await;
        let failure = match failure {
            Failure::Transient(error) => {
                merger.failed();
                if let Some(ended) = merger.tries_used(&error).await? {
                    let over = merger.entry.merge.id;
                    self.branch.finish(vec![(merger, ended)]).await?;
                    self.queue.retain(|entry| entry.id != over);
                    return Ok(());
                }
                Failure::Counted(error)
            }
            other => other,
        };
        self.hand.push(merger);
        Err(failure)
    }

    /// Forgets what was built, and where the branch was.
    async fn anew<T>(&mut self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        self.put_candidates_down(0).await;
        self.tip = None;
        outcome
    }

    /// Puts down what does not stand on the branch, or on what goes before it, any more.
    async fn put_astray_down(&mut self, tip: &CommitId) {
        let mut onto = tip;
        let mut astray = None;
        for (place, candidate) in self.candidates.iter().enumerate() {
            if candidate.built.tip != *onto {
                astray = Some(place);
                break;
            }
            if !candidate.failed() {
                onto = &candidate.built.merged;
            }
        }
        if let Some(place) = astray {
            self.put_candidates_down(place).await;
        }
    }

    async fn find_tip(&self) -> Result<Tip, Failure> {
        let found = tip::find(&self.branch.context, self.run, &self.branch.hub).await?;
        found.ok_or_else(|| Failure::Transient("the run's branch is gone from the hub".to_owned()))
    }

    /// Ends the gates from a place on, and keeps their entries in hand.
    async fn put_candidates_down(&mut self, from: usize) {
        let from = from.min(self.candidates.len());
        let behind: Vec<Candidate> = self.candidates.drain(from..).collect();
        for candidate in &behind {
            candidate.cancel.cancel();
        }
        for candidate in behind {
            if let Judging::Running(gate) = candidate.gate {
                // Its checkout is gone when it has ended; what it found out is of no use any more.
                drop(gate.await);
            }
            self.hand.push(candidate.merger);
        }
    }

    /// Until a gate ends, or there may be more to build.
    async fn wait(&mut self) -> Result<(), Failure> {
        let mut tick = self.branch.context.wake.watch_work();
        let drain = self.branch.context.drain.clone();
        let changed = async {
            tokio::time::sleep(LOOK_EVERY).await;
            drop(tokio::time::timeout(LOOK_AT_LEAST, tick.changed()).await);
        };
        tokio::select! {
            () = self.ended.notified() => Ok(()),
            () = changed => Ok(()),
            () = drain.cancelled() => Err(Failure::Stopped),
        }
    }
}
