//! Merges that wait for a person.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod harness;

use domain::{
    MergeId, RunId,
    gate::GateVerdict,
    merge::{Choice, MergeState},
    run::RunState,
    task::TaskState,
};
use engine::{AnswerError, LimitOverrides, view::TaskView};
use harness::{Harness, done, file, git, plan, report};
use serde_json::json;
use sim_llm::{Rule, Scenario};
use std::path::{Path, PathBuf};

const CHECK: &str = "! grep -rq broken src";
const TEXT: &str = "one\n\n\n\n\n\n\n\ntwo\n";
const PATH: &str = "src/a.txt";

/// Two tasks that change the same line, and a resolver that declines.
fn conflict() -> Vec<Rule> {
    let edit = |key: &str, new: &str| {
        Rule::worker(key)
            .attempt(1)
            .call("edit_file", json!({"path": PATH, "old": "two\n", "new": new}))
            .call("finish", done())
    };
    let decline = json!({"decision": "decline", "text": "", "reason": "they exclude each other", "dropped_lines": []});
    vec![
        edit("left", "two left\n"),
        edit("right", "two right\n"),
        Rule::resolver("*").json(&decline),
    ]
}

fn two() -> Scenario {
    let mut rules = vec![Rule::director().json(&plan(&[("left", &[]), ("right", &[])]))];
    rules.extend(conflict());
    Scenario::from_rules(rules)
}

/// A third task changes another line, when it is let go.
fn three(more: Vec<Rule>) -> Scenario {
    let held = "while [ ! -e go ]; do sleep 0.05; done; rm go; sed -i 's/^one$/ONE/' src/a.txt";
    let mut rules = vec![
        Rule::director().json(&plan(&[("left", &[]), ("right", &[]), ("later", &[])])),
        Rule::worker("later").turn(1).call("shell", json!({"command": held})),
        Rule::worker("later").turn(2).call("finish", done()),
    ];
    rules.extend(conflict());
    rules.extend(more);
    Scenario::from_rules(rules)
}

async fn begin(harness: &Harness) -> (PathBuf, RunId) {
    let repository = harness.repository(&[(PATH, TEXT)]);
    // A task has one try: a conflict that goes back to a worker would fail it.
    let limits = LimitOverrides {
        failures: Some(1),
        ..LimitOverrides::default()
    };
    let run = harness.submit_with(&repository, Some(CHECK), limits).await.unwrap();
    (repository, run.id)
}

/// Waits until a task is as it should be.
async fn task_that(harness: &Harness, run: RunId, wanted: impl Fn(&TaskView) -> bool) -> TaskView {
    let found = async {
        loop {
            let tasks = harness.engine.views().tasks(run).await.unwrap();
            if let Some(task) = tasks.into_iter().find(|task| wanted(task)) {
                return task;
            }
            harness.engine.changed(run, i64::MAX).await;
        }
    };
    match tokio::time::timeout(harness::TIMEOUT, found).await {
        Ok(task) => task,
        Err(_) => panic!("no task came to it; the log:\n{}", harness.log(run).await),
    }
}

/// Waits until a merge has asked a person so many times.
async fn asked(harness: &Harness, run: RunId, times: usize) -> MergeId {
    loop {
        let waiting = |task: &TaskView| {
            task.merge
                .as_ref()
                .is_some_and(|merge| merge.state == MergeState::Waiting)
        };
        let task = task_that(harness, run, waiting).await;
        assert_eq!(task.state, TaskState::Merging);
        if harness.log(run).await.matches(" merge_waiting ").count() >= times {
            return task.merge.unwrap().id;
        }
        harness.engine.changed(run, i64::MAX).await;
    }
}

/// Lets the third task go on, and waits for it to land.
async fn let_go(harness: &Harness, run: RunId) {
    let at_work = |task: &TaskView| {
        let tool = task.action.as_ref().and_then(|action| action.tool.as_ref());
        task.key.0 == "later" && tool.is_some()
    };
    task_that(harness, run, at_work).await;
    let mut open = vec![harness.directory.path().join("data")];
    while let Some(directory) = open.pop() {
        let is_tree = directory.join(PATH).is_file() && directory.to_string_lossy().contains("later");
        if is_tree {
            std::fs::write(directory.join("go"), "").unwrap();
        }
        let inside = std::fs::read_dir(&directory).into_iter().flatten().flatten();
        open.extend(
            inside
                .map(|entry| entry.path())
                .filter(|path| path.is_dir() && !is_tree),
        );
    }
    task_that(harness, run, |task| {
        task.key.0 == "later" && task.state == TaskState::Complete
    })
    .await;
}

fn content(text: &str) -> Vec<(String, Option<Choice>)> {
    vec![(PATH.to_owned(), Some(Choice::Content(text.as_bytes().to_vec())))]
}

fn landed(repository: &Path, run: RunId) -> String {
    git(repository, &["show", &format!("orchestrator/{}:{PATH}", run.short())])
}

#[tokio::test(flavor = "multi_thread")]
async fn open_conflict_waits_for_a_person_and_lands_with_the_answer() {
    let mut harness = Harness::open(two()).await;
    let (repository, run) = begin(&harness).await;
    let merge = asked(&harness, run, 1).await;
    let (of, view) = harness.engine.views().merge(merge).await.unwrap().unwrap();
    assert_eq!(of, run);
    assert!(view.reason.unwrap().message.contains("they exclude each other"));

    harness.reopen().await;
    assert_eq!(asked(&harness, run, 1).await, merge, "a restart keeps it");
    let conflict = harness.engine.open_conflict(merge).await.unwrap();
    let [file] = conflict.files.as_slice() else {
        panic!("{conflict:?}")
    };
    assert_eq!(
        (file.path.as_str(), file.kind.as_str(), file.hunks.len()),
        (PATH, "content", 1)
    );
    assert_eq!(file.hunks[0].base, "two\n");
    let marked = file.marked.clone().unwrap();

    // What can't be used is refused, and changes nothing.
    let answer = async |choices, seen: Option<&str>| {
        harness
            .engine
            .resolve_merge(merge, choices, seen, "")
            .await
            .unwrap_err()
    };
    assert!(
        matches!(answer(content(&marked), None).await, AnswerError::Invalid { value, message, .. }
        if value == PATH && message.contains("line 9"))
    );
    let foreign = vec![("src/b.txt".to_owned(), Some(Choice::Ours))];
    assert!(
        matches!(answer(foreign, None).await, AnswerError::Invalid { value, hint, .. }
        if value == "src/b.txt" && hint.contains(PATH))
    );
    assert!(matches!(answer(Vec::new(), None).await, AnswerError::Invalid { .. }));
    assert!(matches!(
        answer(content("x\n"), Some("0")).await,
        AnswerError::Changed(_)
    ));
    let unknown = harness.engine.give_merge_up(MergeId(4711), "no", "").await.unwrap_err();
    assert!(matches!(unknown, AnswerError::Unknown(MergeId(4711))));
    assert!(harness.log(run).await.find("merge_decided").is_none());

    let text = TEXT.replace("two\n", "two left\ntwo right\n");
    let tip = view.tip.unwrap().0;
    harness
        .engine
        .resolve_merge(merge, content(&text), Some(&tip), "Ann")
        .await
        .unwrap();
    assert_eq!(harness.end(run).await, (RunState::Complete, String::new()));
    assert_eq!(landed(&repository, run), text.trim());
    let calls = harness.calls_for("left") + harness.calls_for("right");
    assert_eq!(calls, 3, "two workers and a resolver were asked once each");
    let (_, view) = harness.engine.views().merge(merge).await.unwrap().unwrap();
    let decided: Vec<_> = view
        .resolutions
        .iter()
        .map(|one| (one.layer.as_str(), one.result.as_str()))
        .collect();
    assert_eq!(decided, [("model", "declined"), ("person", "resolved")]);
    assert!(view.resolutions[0].earlier && !view.resolutions[1].earlier);
    assert!(view.resolutions[1].reason.starts_with("Ann decided"), "{view:?}");
    let again = harness
        .engine
        .resolve_merge(merge, content(&text), None, "")
        .await
        .unwrap_err();
    assert!(matches!(
        again,
        AnswerError::NotWaiting {
            state: MergeState::Landed,
            ..
        }
    ));
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_goes_on_and_an_answer_for_another_conflict_is_refused() {
    let harness = Harness::open(three(Vec::new())).await;
    let (repository, run) = begin(&harness).await;
    let merge = asked(&harness, run, 1).await;
    let_go(&harness, run).await;
    // The branch has moved, and with it what the work meets there.
    harness
        .engine
        .resolve_merge(merge, content("mine\n"), None, "Ann")
        .await
        .unwrap();
    assert_eq!(asked(&harness, run, 2).await, merge);
    let (_, view) = harness.engine.views().merge(merge).await.unwrap().unwrap();
    let why = view.reason.unwrap().message;
    assert!(why.contains("the branch has moved") && why.contains(PATH), "{why}");
    let conflict = harness.engine.open_conflict(merge).await.unwrap();
    assert!(conflict.files[0].answer.is_none());

    let ours = vec![(PATH.to_owned(), Some(Choice::Ours))];
    harness.engine.resolve_merge(merge, ours, None, "Ann").await.unwrap();
    assert_eq!(harness.end(run).await, (RunState::Complete, String::new()));
    let text = landed(&repository, run);
    assert!(
        text.starts_with("ONE\n") && (text.ends_with("two left") || text.ends_with("two right")),
        "{text}"
    );
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_that_fails_the_gate_is_asked_again_and_may_be_sent_back_with_a_note() {
    let fix = Rule::worker("*")
        .attempt(2)
        .contains("keep both lines")
        .call(
            "write_file",
            file(PATH, &TEXT.replace("two\n", "two left\ntwo right\n")),
        )
        .call("finish", done());
    let harness = Harness::open(three(vec![fix])).await;
    let (repository, run) = begin(&harness).await;
    let merge = asked(&harness, run, 1).await;
    harness
        .engine
        .resolve_merge(merge, content("broken\n"), None, "Ann")
        .await
        .unwrap();
    assert_eq!(asked(&harness, run, 2).await, merge);
    let (_, view) = harness.engine.views().merge(merge).await.unwrap().unwrap();
    let why = view.reason.clone().unwrap().message;
    assert!(
        why.contains("does not pass") && why.contains("grep -rq broken"),
        "{why}"
    );
    assert_eq!(report(&view).verdict, GateVerdict::Failed);
    // Left to the layers, the answer is withdrawn: it is not put in again, and the resolver declines once more.
    let answered = harness
        .engine
        .open_conflict(merge)
        .await
        .unwrap()
        .files
        .remove(0)
        .answer;
    assert!(answered.is_some());
    let to_layers = vec![(PATH.to_owned(), None)];
    harness
        .engine
        .resolve_merge(merge, to_layers, None, "Ann")
        .await
        .unwrap();
    assert_eq!(asked(&harness, run, 3).await, merge);
    let (_, view) = harness.engine.views().merge(merge).await.unwrap().unwrap();
    let why = view.reason.unwrap().message;
    assert!(why.contains("they exclude each other"), "{why}");
    let rows = view.resolutions.iter();
    let told: Vec<_> = rows
        .map(|row| (row.layer.as_str(), row.result.as_str(), row.earlier))
        .collect();
    let history = [
        ("model", "declined", true),
        ("person", "resolved", true),
        ("model", "declined", false),
    ];
    assert_eq!(told, history);

    let empty = harness.engine.send_merge_back(merge, " ", "Ann").await.unwrap_err();
    assert!(matches!(empty, AnswerError::Invalid { field: "note", .. }));
    harness
        .engine
        .send_merge_back(merge, "keep both lines", "Ann")
        .await
        .unwrap();
    let_go(&harness, run).await;
    assert_eq!(harness.end(run).await, (RunState::Complete, String::new()));
    let text = landed(&repository, run);
    assert!(text.contains("two left\ntwo right"), "{text}");
    harness.assert_requests_were_sound();
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_work_fails_its_task_with_the_given_reason() {
    let harness = Harness::open(two()).await;
    let (_, run) = begin(&harness).await;
    let merge = asked(&harness, run, 1).await;
    harness
        .engine
        .give_merge_up(merge, "not worth it", "Ann")
        .await
        .unwrap();
    let (state, reason) = harness.end(run).await;
    assert_eq!(state, RunState::Failed);
    assert!(reason.contains("Ann gave the work up: not worth it"), "{reason}");
    harness.assert_rows_agree().await;
    // Once the trees of its run are given up, the merge can still be looked at.
    sqlx::query("update run set expired_at = now() where id = $1")
        .bind(run.0)
        .execute(harness.database.pool())
        .await
        .unwrap();
    let conflict = harness.engine.open_conflict(merge).await.unwrap();
    assert!(conflict.files.is_empty() && conflict.gone.unwrap().contains("given up on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn run_can_be_cancelled_while_its_merge_waits() {
    let harness = Harness::open_with(two(), |settings| settings.limits.failures = 1).await;
    let repository = harness.repository(&[(PATH, TEXT)]);
    let run = harness.submit(&repository, None).await.id;
    let merge = asked(&harness, run, 1).await;
    harness.engine.cancel(run).await.unwrap();
    assert_eq!(harness.end(run).await.0, RunState::Cancelled);
    let late = harness
        .engine
        .resolve_merge(merge, content("mine\n"), None, "")
        .await
        .unwrap_err();
    assert!(
        matches!(
            late,
            AnswerError::NotWaiting {
                state: MergeState::Rejected,
                ..
            }
        ),
        "{late}"
    );
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn persons_decision_is_remembered_by_hunk() {
    let harness = Harness::open(two()).await;
    let (repository, run) = begin(&harness).await;
    let base = git(&repository, &["rev-parse", "HEAD"]);
    let merge = asked(&harness, run, 1).await;
    let text = TEXT.replace("two\n", "two left\ntwo right\n");
    let answer = harness.engine.resolve_merge(merge, content(&text), None, "Ann");
    answer.await.unwrap();
    assert_eq!(harness.end(run).await, (RunState::Complete, String::new()));
    // The same again: nobody is asked.
    git(&repository, &["reset", "-q", "--hard", &base]);
    let limits = LimitOverrides {
        failures: Some(1),
        ..LimitOverrides::default()
    };
    let again = harness.submit_with(&repository, Some(CHECK), limits).await.unwrap().id;
    assert_eq!(harness.end(again).await, (RunState::Complete, String::new()));
    assert_eq!(landed(&repository, again), text.trim());
    let reasons: Vec<(String, String)> =
        sqlx::query_as("select r.layer, r.reason from resolution r join merge m on m.id = r.merge where m.run = $1")
            .bind(again.0)
            .fetch_all(harness.database.pool())
            .await
            .unwrap();
    let [(layer, reason)] = reasons.as_slice() else {
        panic!("{reasons:?}")
    };
    assert_eq!(layer, "remembered");
    assert!(reason.contains(&format!("in run {}", run.short())), "{reason}");
    harness.assert_rows_agree().await;
}
