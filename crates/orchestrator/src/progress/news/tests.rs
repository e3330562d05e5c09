use super::*;
use domain::{
    delivery::{DeliveryResult, DeliveryStep, DeliveryStepEnd},
    gate::GateVerdict,
    ids::{CommitId, Fence, MergeId},
    run::{Reason, ReasonCode},
};
use time::OffsetDateTime;

fn entry(task: Option<&str>, event: Event) -> Entry {
    Entry {
        seq: 1,
        at: OffsetDateTime::UNIX_EPOCH,
        task: task.map(Into::into),
        event,
    }
}

fn line(task: Option<&str>, event: Event) -> String {
    news(&entry(task, event), &Invocation::default()).expect("an event that is news")
}

#[test]
fn failed_gate_shows_number_of_failed_and_flaky_tests() {
    let gate = Event::GateFinished {
        merge: MergeId(1),
        verdict: GateVerdict::Failed,
        passed: Some(2),
        failed: Some(1),
        flaky: vec!["shaky".into()],
        duration_ms: 5,
    };
    assert_eq!(
        line(Some("docs"), gate),
        "docs: gate failed, 1 of 3 tests failed; flaky: shaky"
    );
}

#[test]
fn returned_task_shows_its_reason_on_one_line() {
    let reason = Reason::new(ReasonCode::Gate, "the gate\nfailed");
    assert_eq!(
        line(Some("docs"), Event::TaskReturned { reason }),
        "docs: sent back: the gate failed"
    );
}

#[test]
fn waits_are_shown_in_readable_units() {
    let (why, wait_ms) = ("rate_limited".to_owned(), 83_413);
    assert_eq!(
        line(Some("docs"), Event::ModelRetried { why, wait_ms }),
        "docs: model call failed (rate limited); next try in 1m23s"
    );
}

/// What a person reads while a run fails for a reason, and is delivered: no text comes twice.
#[test]
fn no_long_text_is_repeated_in_the_lines_after_it() {
    let why = "the gate failed: 1 of 12 tests, of which the output is in the report";
    let reason = || Reason::new(ReasonCode::Gate, why);
    let commit = || CommitId("ab".repeat(20));
    let checkout = "main was fast-forwarded to 3f9c2ab, with 4 files changed";
    let events = [
        (
            Some("docs"),
            Event::AttemptEnded {
                attempt: 1,
                end: AttemptEnd::Failed { reason: reason() },
                outcome: None,
            },
        ),
        (Some("docs"), Event::TaskReturned { reason: reason() }),
        (
            Some("docs"),
            Event::MergeEnded {
                merge: MergeId(1),
                end: MergeEnd::Rejected { reason: reason() },
            },
        ),
        (
            None,
            Event::DeliveryStepEnded(DeliveryStepEnd {
                step: DeliveryStep::Checkout,
                result: DeliveryResult::Updated,
                commit: commit(),
                said: checkout.to_owned(),
                url: None,
            }),
        ),
        (
            None,
            Event::RunCompleted {
                commit: commit(),
                checkout: checkout.to_owned(),
            },
        ),
    ];
    let lines: Vec<String> = events
        .into_iter()
        .filter_map(|(task, event)| news(&entry(task, event), &Invocation::default()))
        .collect();
    for text in [why, checkout] {
        let found = lines.iter().filter(|line| line.contains(text)).count();
        assert_eq!(found, 1, "{text}: {lines:#?}");
    }
}

#[test]
fn log_line_of_an_inner_step_reads_as_a_sentence() {
    let moved = |state| Event::MergeProgressed {
        merge: MergeId(1),
        state,
        conflicts: vec![],
    };
    for (event, expected) in [
        (Event::TaskReady, "docs: ready"),
        (moved(MergeState::Merging), "docs: merging"),
        (moved(MergeState::Queued), "docs: the merge is in the queue again"),
        (
            Event::LandingIntended {
                merge: MergeId(1),
                commit: CommitId("9e1d04c0".repeat(5)),
            },
            "docs: landing 9e1d04c",
        ),
        (
            Event::TaskClaimed {
                attempt: 2,
                fence: Fence(3),
            },
            "docs: attempt 2 starts",
        ),
    ] {
        let entry = entry(Some("docs"), event);
        assert_eq!(log_line(&entry, &Invocation::default()), expected);
    }
}
