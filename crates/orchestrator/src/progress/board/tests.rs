use super::*;
use domain::{
    ids::{Fence, MergeId},
    merge::MergeState,
    run::{CheckSource, ReasonCode},
};

pub(crate) fn board() -> Board {
    let mut board = Board::new(
        RunDetails {
            id: "019a0000-0000-7000-8000-00007f3a12bc".parse().unwrap(),
            objective: "Add rate limiting to the public API".to_owned(),
            state: RunState::Planning,
            reason: None,
            cap: NanoDollars::from_dollars(5.0),
            spent: NanoDollars::ZERO,
            slots: Some(4),
            created_at: OffsetDateTime::UNIX_EPOCH,
            ended_at: None,
        },
        Invocation::default(),
    );
    let events = |key: &str, profile: &str, waits_for: &[&str]| TaskDetails {
        key: key.into(),
        profile: profile.to_owned(),
        waits_for: waits_for.iter().map(|key| (*key).into()).collect(),
    };
    let mut script = Script::new(&mut board);
    script.run(Event::WorkspacePrepared {
        base: CommitId("3f9c2ab0000000000000000000000000000000ff".to_owned()),
        base_branch: "main".to_owned(),
        check: Check {
            command: Some("cargo test".to_owned()),
            source: CheckSource::Detected,
        },
    });
    script.run(Event::PlanSaved {
        version: 1,
        tasks: 4,
        levels: 2,
        repairs: vec![],
    });
    board.look_at_tasks(vec![
        events("limits-core", "coder", &[]),
        events("limits-http", "coder", &[]),
        events("docs", "coder", &[]),
        events("limits-e2e", "tester", &["limits-http", "docs"]),
    ]);
    board
}

/// Events, a second apart.
pub(crate) struct Script<'board>(pub(crate) &'board mut Board);

impl<'board> Script<'board> {
    pub(crate) fn new(board: &'board mut Board) -> Self {
        Self(board)
    }

    fn add(&mut self, task: Option<&str>, event: Event) {
        let seq = self.0.seq + 1;
        let at = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seq);
        self.0.apply(&Entry {
            seq,
            at,
            task: task.map(Into::into),
            event,
        });
    }

    pub(crate) fn run(&mut self, event: Event) {
        self.add(None, event);
    }

    pub(crate) fn task(&mut self, key: &str, event: Event) {
        self.add(Some(key), event);
    }

    /// Claimed, one turn, work submitted.
    pub(crate) fn work(&mut self, key: &str, attempt: u32) {
        self.task(
            key,
            Event::TaskClaimed {
                attempt,
                fence: Fence(i64::from(attempt)),
            },
        );
        let tools = vec!["edit src/lib.rs".to_owned()];
        let cost = NanoDollars::from_dollars(0.105);
        self.task(
            key,
            Event::TurnAnswered {
                attempt,
                turn: 1,
                tools,
                cost,
            },
        );
        self.task(
            key,
            Event::MergeQueued {
                commit: CommitId("ab".repeat(20)),
            },
        );
    }
}

#[test]
fn repeated_event_changes_nothing() {
    let mut board = board();
    Script::new(&mut board).work("docs", 1);
    let before = board.clone();
    let event = Event::TurnAnswered {
        attempt: 1,
        turn: 1,
        tools: vec![],
        cost: NanoDollars::from_dollars(1.0),
    };
    let entry = Entry {
        seq: 2,
        at: OffsetDateTime::UNIX_EPOCH,
        task: Some("docs".into()),
        event,
    };
    board.apply(&entry);
    assert_eq!(board, before);
}

#[test]
fn returned_task_is_ready_with_its_reason_and_cost() {
    let mut board = board();
    let mut script = Script::new(&mut board);
    script.work("docs", 1);
    let reason = Reason::new(ReasonCode::Gate, "1 of 3 tests failed");
    script.task("docs", Event::TaskReturned { reason: reason.clone() });
    let docs = board.tasks.iter().find(|task| task.key.0 == "docs").unwrap();
    assert_eq!((docs.state, docs.reason.as_ref()), (TaskState::Ready, Some(&reason)));
    assert_eq!(docs.cost, NanoDollars::from_dollars(0.105).unwrap());
}

#[test]
fn event_of_an_unknown_task_adds_it() {
    let mut board = Board::new(board().run, Invocation::default());
    let event = Event::MergeProgressed {
        merge: MergeId(1),
        state: MergeState::Merging,
        conflicts: vec![],
    };
    Script::new(&mut board).task("new", event);
    assert!(board.wants_tasks());
    assert_eq!(board.tasks.len(), 1);
}

#[test]
fn late_answer_does_not_reopen_a_run() {
    let mut board = board();
    let early = board.run.clone();
    Script::new(&mut board).run(Event::RunCancelled);
    board.look(early);
    assert_eq!(board.run.state, RunState::Cancelled);
}
