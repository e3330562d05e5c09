use super::{
    super::board::tests::{Script, board},
    *,
};
use domain::{
    event::Event,
    ids::{CommitId, Fence, MergeId},
    merge::MergeState,
    run::{Check, CheckSource, Reason, ReasonCode},
};

const LOOK: Look = Look {
    columns: 96,
    rows: 24,
    colour: false,
    keys: true,
};

fn in_progress() -> Board {
    let mut board = board();
    let mut script = Script::new(&mut board);
    script.work("limits-core", 1);
    script.task(
        "limits-core",
        Event::TaskCompleted {
            commit: Some(CommitId("9e1d04c".repeat(5))),
        },
    );
    script.work("limits-http", 2);
    let conflicts = vec!["src/router.rs".to_owned()];
    let (merge, state) = (MergeId(1), MergeState::Resolving);
    script.task(
        "limits-http",
        Event::MergeProgressed {
            merge,
            state,
            conflicts,
        },
    );
    script.task(
        "docs",
        Event::TaskClaimed {
            attempt: 1,
            fence: Fence(1),
        },
    );
    let (tool, summary) = ("shell".to_owned(), "cargo test".to_owned());
    script.task("docs", Event::ToolStarted { turn: 3, tool, summary });
    board
}

fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(second)
}

#[test]
fn run_in_progress() {
    let board = in_progress();
    let mut lines = header(&board, LOOK);
    lines.push(finished_task(&board, &board.tasks[0], LOOK));
    lines.extend(block(&board, at(131), LOOK));
    insta::assert_snapshot!(lines.join("\n"), @"
    Run 7f3a12bc  Add rate limiting to the public API                                   budget $5.00
    hub ready at 3f9c2ab (main)   plan v1: 4 tasks, 2 levels   check: cargo test (detected)
      ✓ limits-core  coder   landed 9e1d04c   1 attempt   1 turn                     $0.1050    3.0s

      ◆ limits-http  coder   merging: conflict in src/router.rs, resolver at work    $0.1050   2m04s
      ● docs         coder   turn 3 · shell cargo test                                         2m00s
      ○ limits-e2e   tester  waits for limits-http, docs

      active 1/4   merges 1   landed 1/4   spent $0.2100   2m11s                 q detach · c cancel
    ");
}

#[test]
fn lines_fit_the_terminal() {
    let board = in_progress();
    for columns in [40, 60, 80, 200] {
        let look = Look { columns, ..LOOK };
        for line in header(&board, look).into_iter().chain(block(&board, at(131), look)) {
            assert!(line.chars().count() <= columns.max(50), "{columns}: {line}");
        }
    }
}

#[test]
fn low_terminal_shows_tasks_in_progress() {
    let lines = block(&in_progress(), at(131), Look { rows: 6, ..LOOK });
    insta::assert_snapshot!(lines.join("\n"), @"

    ◆ limits-http  coder   merging: conflict in src/router.rs, resolver at work    $0.1050   2m04s
    … and 2 more wait

    active 1/4   merges 1   landed 1/4   spent $0.2100   2m11s                 q detach · c cancel
    ");
}

#[test]
fn returned_task_shows_its_reason_and_missing_check_is_shown() {
    let mut board = board();
    board.check = Some(Check {
        command: None,
        source: CheckSource::NotConfigured,
    });
    let mut script = Script::new(&mut board);
    script.work("docs", 1);
    script.task(
        "docs",
        Event::TaskReturned {
            reason: Reason::new(ReasonCode::Gate, "1 of 3 tests failed"),
        },
    );
    let lines: Vec<_> = header(&board, LOOK)
        .into_iter()
        .chain(block(&board, at(9), LOOK))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    Run 7f3a12bc  Add rate limiting to the public API                                   budget $5.00
    hub ready at 3f9c2ab (main)   plan v1: 4 tasks, 2 levels   unchecked: there is no check command

      ○ limits-core  coder   planned
      ○ limits-http  coder   planned
      ○ docs         coder   sent back: 1 of 3 tests failed                          $0.1050    6.0s
      ○ limits-e2e   tester  waits for limits-http, docs

      active 0/4   merges 0   landed 0/4   spent $0.1050   9.0s                  q detach · c cancel
    ");
}

#[test]
fn colour_codes_surround_marks_only() {
    let board = in_progress();
    let plain = block(&board, at(131), LOOK).join("\n");
    let coloured = block(&board, at(131), Look { colour: true, ..LOOK }).join("\n");
    let codes = [
        "\u{1b}[90m",
        "\u{1b}[34m",
        "\u{1b}[35m",
        "\u{1b}[32m",
        "\u{1b}[31m",
        "\u{1b}[0m",
    ];
    assert_eq!(codes.iter().fold(coloured, |text, code| text.replace(code, "")), plain);
}

#[test]
fn command_for_a_waiting_merge_is_shown_whole_at_any_width() {
    let mut board = board();
    let mut script = Script::new(&mut board);
    script.work("limits-http", 1);
    let conflicts = vec!["src/router.rs".to_owned()];
    let (merge, why) = (MergeId(12), "nobody decided it".to_owned());
    script.task("limits-http", Event::MergeWaiting { merge, conflicts, why });
    for columns in [20, 80, 120] {
        let lines = block(&board, at(131), Look { columns, ..LOOK });
        assert_eq!(lines.last().unwrap(), "  ! orchestrator merges show 12");
    }
    let lines = block(&board, at(131), LOOK);
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with("waits for you: conflict in src/router.rs")),
        "{lines:#?}"
    );
    let mut script = Script::new(&mut board);
    script.work("docs", 1);
    let (merge, why) = (MergeId(13), "it is asked for".to_owned());
    let conflicts = vec![];
    script.task("docs", Event::MergeWaiting { merge, conflicts, why });
    assert_eq!(block(&board, at(131), LOOK).last().unwrap(), "  ! orchestrator merges");
}
