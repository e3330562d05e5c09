//! What is known of a run, changed by one fact at a time.

use super::words::clean;
use domain::{
    NanoDollars, RunId,
    event::Fact,
    ids::{CommitId, TaskKey},
    merge::{GateVerdict, MergeState},
    run::{Check, Reason, RunState},
    task::TaskState,
};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// One entry of a run's log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) seq: i64,
    pub(crate) at: OffsetDateTime,
    pub(crate) task: Option<TaskKey>,
    pub(crate) fact: Fact,
}

/// What a look at the run itself tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunFacts {
    pub(crate) id: RunId,
    pub(crate) objective: String,
    pub(crate) state: RunState,
    pub(crate) reason: Option<Reason>,
    pub(crate) cap: Option<NanoDollars>,
    pub(crate) spent: NanoDollars,
    /// Tasks that workers may hold at one time.
    pub(crate) slots: Option<u32>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) ended_at: Option<OffsetDateTime>,
}

/// What a look at a task tells that its facts don't.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TaskFacts {
    pub(crate) key: TaskKey,
    pub(crate) profile: String,
    pub(crate) waits_for: Vec<TaskKey>,
}

/// A run as it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Board {
    pub(crate) run: RunFacts,
    pub(crate) base: Option<(CommitId, String)>,
    pub(crate) check: Option<Check>,
    pub(crate) plan: Option<Plan>,
    pub(crate) doing: String,
    pub(crate) tasks: Vec<Task>,
    /// The last fact that was seen; what comes again changes nothing.
    pub(crate) seq: i64,
    /// Merges that are under way, by how often they were decided: for the line below.
    pub(crate) landed: usize,
}

/// The size of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) version: u32,
    pub(crate) tasks: u32,
    pub(crate) levels: u32,
}

/// A task as it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Task {
    pub(crate) key: TaskKey,
    pub(crate) profile: String,
    pub(crate) waits_for: Vec<TaskKey>,
    pub(crate) state: TaskState,
    pub(crate) attempts: u32,
    /// Turns of all attempts.
    pub(crate) turns: u32,
    /// The turn of this attempt.
    pub(crate) turn: u32,
    pub(crate) doing: String,
    pub(crate) merge: MergeState,
    pub(crate) conflicts: Vec<String>,
    pub(crate) gate: Option<Gate>,
    pub(crate) commit: Option<CommitId>,
    pub(crate) reason: Option<Reason>,
    pub(crate) cost: NanoDollars,
    pub(crate) started_at: Option<OffsetDateTime>,
    pub(crate) ended_at: Option<OffsetDateTime>,
}

/// What the gate said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) verdict: GateVerdict,
    pub(crate) passed: Option<u64>,
    pub(crate) failed: Option<u64>,
}

impl Board {
    /// A run of which nothing but itself is known.
    pub(crate) fn new(run: RunFacts) -> Self {
        Self {
            run,
            base: None,
            check: None,
            plan: None,
            doing: "the workspace is being prepared".to_owned(),
            tasks: Vec::new(),
            seq: 0,
            landed: 0,
        }
    }

    /// Takes in a look at the run. What it costs only grows, and facts may be ahead of the look.
    pub(crate) fn look(&mut self, run: RunFacts) {
        let is_over = self.run.state.is_final() && !run.state.is_final();
        let state = if is_over { self.run.state } else { run.state };
        self.run = RunFacts { state, ..run };
    }

    /// Takes in a look at the tasks, which brings the plan's order.
    pub(crate) fn look_at_tasks(&mut self, tasks: Vec<TaskFacts>) {
        let mut known: BTreeMap<TaskKey, Task> =
            self.tasks.drain(..).map(|task| (task.key.clone(), task)).collect();
        self.tasks = tasks
            .into_iter()
            .map(|facts| {
                let task = known.remove(&facts.key).unwrap_or_else(|| Task::new(facts.key));
                Task { profile: clean(&facts.profile), waits_for: facts.waits_for, ..task }
            })
            .collect();
        self.tasks.extend(known.into_values());
    }

    /// Whether tasks are known to exist that no look has shown yet.
    pub(crate) fn wants_tasks(&self) -> bool {
        let planned = self.plan.map_or(0, |plan| plan.tasks as usize);
        self.tasks.len() < planned || self.tasks.iter().any(|task| task.profile.is_empty())
    }

    /// Takes in the next fact. One that was seen before changes nothing.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        if entry.seq <= self.seq {
            return;
        }
        self.seq = entry.seq;
        match &entry.task {
            Some(key) => {
                let key = key.clone();
                let index = self.tasks.iter().position(|task| task.key == key).unwrap_or_else(|| {
                    self.tasks.push(Task::new(key));
                    self.tasks.len() - 1
                });
                self.tasks[index].apply(entry.at, &entry.fact);
            }
            None => self.apply_to_run(entry.at, &entry.fact),
        }
        self.landed = self.tasks.iter().filter(|task| task.state == TaskState::Complete).count();
    }

    /// Tasks in this state.
    pub(crate) fn count(&self, state: TaskState) -> usize {
        self.tasks.iter().filter(|task| task.state == state).count()
    }

    /// How many tasks there will be, as far as is known.
    pub(crate) fn total(&self) -> usize {
        self.tasks.len().max(self.plan.map_or(0, |plan| plan.tasks as usize))
    }

    fn apply_to_run(&mut self, at: OffsetDateTime, fact: &Fact) {
        match fact {
            Fact::RunSubmitted { .. } => {}
            Fact::WorkspacePrepared { base, base_branch, check } => {
                self.base = Some((base.clone(), clean(base_branch)));
                self.check = Some(check.clone());
                self.doing = "the director plans".to_owned();
            }
            Fact::PlanAsked { round, .. } => {
                self.doing = match round {
                    0 | 1 => "the director plans".to_owned(),
                    _ => format!("the director mends its plan, round {round}"),
                };
            }
            Fact::PlanSaved { version, tasks, levels, .. } => {
                self.plan = Some(Plan { version: *version, tasks: *tasks, levels: *levels });
                self.run.state = RunState::Running;
                self.doing.clear();
            }
            Fact::ModelRetried { why, wait_ms } => {
                self.doing = format!("the model makes us wait {wait_ms} ms: {}", clean(why));
            }
            Fact::RunDelivering => {
                self.run.state = RunState::Delivering;
                self.doing = "the branch is being handed over".to_owned();
            }
            Fact::RunCompleted { .. } => self.end(at, RunState::Complete, None),
            Fact::RunFailed { reason } => self.end(at, RunState::Failed, Some(reason.clone())),
            Fact::RunCancelled => self.end(at, RunState::Cancelled, None),
            // Facts of tasks; without one there is nothing to change.
            Fact::TaskReady
            | Fact::TaskClaimed { .. }
            | Fact::TurnAnswered { .. }
            | Fact::ToolStarted { .. }
            | Fact::AttemptEnded { .. }
            | Fact::MergeQueued { .. }
            | Fact::MergeMoved { .. }
            | Fact::ConflictDecided { .. }
            | Fact::GateFinished { .. }
            | Fact::LandingIntended { .. }
            | Fact::MergeEnded { .. }
            | Fact::TaskCompleted { .. }
            | Fact::TaskReturned { .. }
            | Fact::TaskFailed { .. }
            | Fact::TaskCancelled { .. }
            | Fact::TaskRecovered { .. } => {}
        }
    }

    fn end(&mut self, at: OffsetDateTime, state: RunState, reason: Option<Reason>) {
        self.run.state = state;
        self.run.ended_at = Some(at);
        self.run.reason = reason;
        self.doing.clear();
    }
}

impl Task {
    fn new(key: TaskKey) -> Self {
        Self {
            key,
            profile: String::new(),
            waits_for: Vec::new(),
            state: TaskState::Planned,
            attempts: 0,
            turns: 0,
            turn: 0,
            doing: String::new(),
            merge: MergeState::Queued,
            conflicts: Vec::new(),
            gate: None,
            commit: None,
            reason: None,
            cost: NanoDollars::ZERO,
            started_at: None,
            ended_at: None,
        }
    }

    fn apply(&mut self, at: OffsetDateTime, fact: &Fact) {
        match fact {
            Fact::TaskReady => self.state = TaskState::Ready,
            Fact::TaskClaimed { attempt, .. } => {
                self.state = TaskState::Active;
                // A recovered attempt goes on where it was.
                if self.attempts != *attempt {
                    self.turn = 0;
                }
                self.attempts = *attempt;
                self.doing = "starts".to_owned();
                self.started_at.get_or_insert(at);
            }
            Fact::TurnAnswered { turn, tools, cost, .. } => {
                self.turn = *turn;
                self.turns += 1;
                self.cost += cost.unwrap_or(NanoDollars::ZERO);
                self.doing = tools.first().map_or_else(|| "answers".to_owned(), |tool| clean(tool));
            }
            Fact::ToolStarted { turn, tool, summary } => {
                self.turn = *turn;
                self.doing = tool_words(tool, summary);
            }
            Fact::ModelRetried { why, wait_ms } => {
                self.doing = format!("the model makes it wait {wait_ms} ms: {}", clean(why));
            }
            Fact::AttemptEnded { .. } => self.doing = "its work is being saved".to_owned(),
            Fact::MergeQueued { .. } => {
                self.state = TaskState::Merging;
                self.merge = MergeState::Queued;
                self.conflicts.clear();
            }
            Fact::MergeMoved { state, conflicts, .. } => {
                self.merge = *state;
                if !conflicts.is_empty() {
                    self.conflicts = conflicts.iter().map(|path| clean(path)).collect();
                }
            }
            Fact::GateFinished { verdict, passed, failed, .. } => {
                self.gate = Some(Gate { verdict: *verdict, passed: *passed, failed: *failed });
            }
            Fact::ConflictDecided { .. } | Fact::LandingIntended { .. } | Fact::MergeEnded { .. } => {}
            Fact::TaskCompleted { commit } => {
                self.commit = commit.clone();
                self.end(at, TaskState::Complete, None);
            }
            Fact::TaskReturned { reason } => {
                self.state = TaskState::Ready;
                self.reason = Some(reason.clone());
            }
            Fact::TaskRecovered { .. } => self.state = TaskState::Ready,
            Fact::TaskFailed { reason } => self.end(at, TaskState::Failed, Some(reason.clone())),
            Fact::TaskCancelled { reason } => self.end(at, TaskState::Cancelled, Some(reason.clone())),
            // Facts of the run, which name no task.
            Fact::RunSubmitted { .. }
            | Fact::WorkspacePrepared { .. }
            | Fact::PlanAsked { .. }
            | Fact::PlanSaved { .. }
            | Fact::RunDelivering
            | Fact::RunCompleted { .. }
            | Fact::RunFailed { .. }
            | Fact::RunCancelled => {}
        }
    }

    fn end(&mut self, at: OffsetDateTime, state: TaskState, reason: Option<Reason>) {
        self.state = state;
        self.reason = reason;
        self.ended_at = Some(at);
    }
}

/// `shell cargo test`; the summary often begins with the tool's name itself.
fn tool_words(tool: &str, summary: &str) -> String {
    let (tool, summary) = (clean(tool), clean(summary));
    if summary.is_empty() || summary.starts_with(&tool) {
        return if summary.is_empty() { tool } else { summary };
    }
    format!("{tool} {summary}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use domain::{
        ids::{Fence, MergeId},
        run::{CheckSource, ReasonCode},
    };

    pub(crate) fn board() -> Board {
        let mut board = Board::new(RunFacts {
            id: "019a0000-0000-7000-8000-00007f3a12bc".parse().unwrap(),
            objective: "Add rate limiting to the public API".to_owned(),
            state: RunState::Planning,
            reason: None,
            cap: NanoDollars::from_dollars(5.0),
            spent: NanoDollars::ZERO,
            slots: Some(4),
            created_at: OffsetDateTime::UNIX_EPOCH,
            ended_at: None,
        });
        let facts = |key: &str, profile: &str, waits_for: &[&str]| TaskFacts {
            key: key.into(),
            profile: profile.to_owned(),
            waits_for: waits_for.iter().map(|key| (*key).into()).collect(),
        };
        let mut script = Script::new(&mut board);
        script.run(Fact::WorkspacePrepared {
            base: CommitId("3f9c2ab0000000000000000000000000000000ff".to_owned()),
            base_branch: "main".to_owned(),
            check: Check { command: Some("cargo test".to_owned()), source: CheckSource::Detected },
        });
        script.run(Fact::PlanSaved { version: 1, tasks: 4, levels: 2, repairs: vec![] });
        board.look_at_tasks(vec![
            facts("limits-core", "coder", &[]),
            facts("limits-http", "coder", &[]),
            facts("docs", "coder", &[]),
            facts("limits-e2e", "tester", &["limits-http", "docs"]),
        ]);
        board
    }

    /// Facts a second apart.
    pub(crate) struct Script<'board>(pub(crate) &'board mut Board);

    impl<'board> Script<'board> {
        pub(crate) fn new(board: &'board mut Board) -> Self {
            Self(board)
        }

        fn add(&mut self, task: Option<&str>, fact: Fact) {
            let seq = self.0.seq + 1;
            let at = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seq);
            self.0.apply(&Entry { seq, at, task: task.map(Into::into), fact });
        }

        pub(crate) fn run(&mut self, fact: Fact) {
            self.add(None, fact);
        }

        pub(crate) fn task(&mut self, key: &str, fact: Fact) {
            self.add(Some(key), fact);
        }

        /// Claimed, one turn, work handed in.
        pub(crate) fn work(&mut self, key: &str, attempt: u32) {
            self.task(key, Fact::TaskClaimed { attempt, fence: Fence(i64::from(attempt)) });
            let tools = vec!["edit src/lib.rs".to_owned()];
            let cost = NanoDollars::from_dollars(0.105);
            self.task(key, Fact::TurnAnswered { attempt, turn: 1, tools, cost });
            self.task(key, Fact::MergeQueued { commit: CommitId("ab".repeat(20)) });
        }
    }

    #[test]
    fn a_fact_that_comes_again_changes_nothing() {
        let mut board = board();
        Script::new(&mut board).work("docs", 1);
        let before = board.clone();
        let fact = Fact::TurnAnswered { attempt: 1, turn: 1, tools: vec![], cost: NanoDollars::from_dollars(1.0) };
        let entry = Entry { seq: 2, at: OffsetDateTime::UNIX_EPOCH, task: Some("docs".into()), fact };
        board.apply(&entry);
        assert_eq!(board, before);
    }

    #[test]
    fn a_task_that_went_back_is_ready_with_its_reason_and_keeps_its_cost() {
        let mut board = board();
        let mut script = Script::new(&mut board);
        script.work("docs", 1);
        let reason = Reason::new(ReasonCode::Gate, "1 of 3 tests failed");
        script.task("docs", Fact::TaskReturned { reason: reason.clone() });
        let docs = board.tasks.iter().find(|task| task.key.0 == "docs").unwrap();
        assert_eq!((docs.state, docs.reason.as_ref()), (TaskState::Ready, Some(&reason)));
        assert_eq!(docs.cost, NanoDollars::from_dollars(0.105).unwrap());
    }

    #[test]
    fn facts_of_tasks_that_were_never_looked_at_are_kept() {
        let mut board = Board::new(board().run);
        let fact = Fact::MergeMoved { merge: MergeId(1), state: MergeState::Merging, conflicts: vec![] };
        Script::new(&mut board).task("new", fact);
        assert!(board.wants_tasks());
        assert_eq!(board.tasks.len(), 1);
    }

    #[test]
    fn a_late_look_does_not_reopen_a_run_that_ended() {
        let mut board = board();
        let early = board.run.clone();
        Script::new(&mut board).run(Fact::RunCancelled);
        board.look(early);
        assert_eq!(board.run.state, RunState::Cancelled);
    }
}
