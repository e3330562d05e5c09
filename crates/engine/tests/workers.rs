//! Worker backends, and their waits for a slot of the provider.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

#[allow(unused_imports, reason = "other tests use more of the harness")]
mod harness;

use agents::{
    port::{Call, CallResult, Turn, Verdict},
    tools::Finish,
    worker::{BackendId, Session, WorkEnd, WorkOrder, WorkerBackend},
};
use async_trait::async_trait;
use domain::{
    NanoDollars, RunId,
    run::{Reason, ReasonCode, RunState},
    task::TaskState,
};
use engine::{LimitOverrides, ModelRef, NewRun, view::TaskView};
use harness::{Harness, Parts, TIMEOUT, done, file, git, plan};
use llm::{CallOutcome, CallStatus, CostRole, PlannedCall, Usage};
use serde_json::{Value, json};
use sim_llm::{Fault, Rule, Scenario};
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

const COST: NanoDollars = NanoDollars(700);

/// An external agent: a program in the repository. `agent.sh <step>` prints what the agent says and the command that it
/// wants to run; without a command it has finished.
const AGENT: &str = r#"case $1 in
1) echo "I write one."; echo "run: echo one > src/one.txt" ;;
2) echo "I wait."; echo "run: touch started; until [ -e go ]; do sleep 0.02; done; rm started go; cat src/one.txt > src/two.txt" ;;
*) echo "Both files are written." ;;
esac
"#;

/// Runs the agent, a process in the sandbox for each step.
struct ScriptWorker;

#[async_trait]
impl WorkerBackend for ScriptWorker {
    fn id(&self) -> BackendId {
        BackendId {
            kind: "script".into(),
            version: 1,
        }
    }

    async fn work(&self, order: &WorkOrder, session: Session<'_>) -> WorkEnd {
        match self.steps(order, &session).await {
            Ok(summary) => {
                let report = json!({"outcome": "done", "summary": summary});
                WorkEnd::from(serde_json::from_value::<Finish>(report).unwrap())
            }
            Err(end) => end,
        }
    }
}

impl ScriptWorker {
    async fn steps(&self, order: &WorkOrder, session: &Session<'_>) -> Result<String, WorkEnd> {
        let mut step = 0;
        if let Some(last) = order.resume.last() {
            step = last.number;
            // The worktree is as it was before a command without a result: it runs again.
            if last.calls.iter().all(|call| call.result.is_none()) {
                run(step, last.payload["run"].as_str().unwrap(), session).await?;
            }
        }
        loop {
            step += 1;
            let (said, command) = ask(step, session).await?;
            let turn = Turn {
                number: step,
                model: "agent.sh".into(),
                text: Some(said.clone()),
                tools: command.iter().map(|_| "run".to_owned()).collect(),
                usage: usage(),
                cost: Some(COST),
                payload: json!({"run": command}),
            };
            obey(session.journal.turn_answered(&turn).await)?;
            let Some(command) = command else {
                obey(session.journal.turn_ended(step).await)?;
                return Ok(said);
            };
            run(step, &command, session).await?;
        }
    }
}

fn usage() -> Usage {
    Usage {
        input: 20,
        output: 10,
        ..Usage::default()
    }
}

/// One paid step of the agent: what it says and the command it wants to run.
async fn ask(step: u32, session: &Session<'_>) -> Result<(String, Option<String>), WorkEnd> {
    let planned = PlannedCall {
        provider: "script".into(),
        model: "agent.sh".into(),
        role: CostRole::Worker,
        upper_bound: Some(NanoDollars(1_000)),
        input_estimate: 20,
        max_output: 100,
    };
    let call = match session.ledger.reserve(&planned).await {
        Ok(call) => call,
        Err(refusal) => return Err(WorkEnd::GaveUp(Reason::new(ReasonCode::Budget, refusal.to_string()))),
    };
    let said = shell(&format!("sh agent.sh {step}"), session).await?;
    let outcome = CallOutcome {
        status: CallStatus::Answered,
        usage: Some(usage()),
        cost: Some(COST),
        model: "agent.sh".into(),
        attempts: 1,
        duration: Duration::from_millis(1),
        error: None,
        time_to_first_token: None,
    };
    session.ledger.settle(call, &outcome).await.unwrap();
    let mut lines = said.content.lines();
    let text = lines.next().unwrap().to_owned();
    let command = lines.next().and_then(|line| line.strip_prefix("run: "));
    Ok((text, command.map(str::to_owned)))
}

async fn run(step: u32, command: &str, session: &Session<'_>) -> Result<(), WorkEnd> {
    let call = Call {
        id: format!("step-{step}"),
        tool: "run".into(),
        arguments: command.to_owned(),
        summary: command.to_owned(),
        may_change_tree: true,
    };
    obey(session.journal.call_started(step, &call).await)?;
    let result = shell(command, session).await?;
    obey(session.journal.call_ended(step, &call.id, &result).await)?;
    obey(session.journal.turn_ended(step).await)
}

async fn shell(command: &str, session: &Session<'_>) -> Result<CallResult, WorkEnd> {
    let arguments = json!({"command": command}).to_string();
    let done = session.toolbox.call("shell", &arguments, session.cancel, session.trace);
    let done = done.await;
    match session.cancel.is_cancelled() {
        true => Err(WorkEnd::Stopped),
        false => Ok(CallResult {
            content: done.content,
            ok: done.ok,
        }),
    }
}

#[allow(clippy::result_large_err, reason = "once for each step of a test")]
fn obey(verdict: Result<Verdict, String>) -> Result<(), WorkEnd> {
    match verdict {
        Ok(Verdict::Continue | Verdict::Message(_)) => Ok(()),
        Ok(Verdict::Stop) => Err(WorkEnd::Stopped),
        Err(problem) => Err(WorkEnd::Failed(Reason::new(ReasonCode::Internal, problem))),
    }
}

async fn open() -> Harness {
    let scenario = Scenario::from_rules(vec![Rule::director().json(&plan(&[("only", &[])]))]);
    let parts = Parts {
        worker: Some(Arc::new(ScriptWorker)),
        ..Parts::default()
    };
    Harness::open_with_parts(scenario, |_| (), parts).await
}

fn repository(harness: &Harness) -> PathBuf {
    harness.repository(&[("agent.sh", AGENT), ("src/zero.txt", "zero\n")])
}

/// Waits until the agent's second command runs, and returns its worktree.
async fn second_step(harness: &Harness, but: Option<&Path>) -> PathBuf {
    let directory = harness.directory.path().join("data/worktrees").canonicalize().unwrap();
    let found = async {
        loop {
            let trees = std::fs::read_dir(&directory)
                .unwrap()
                .map(|entry| entry.unwrap().path());
            let mut running = trees.filter(|tree| Some(tree.as_path()) != but && tree.join("started").exists());
            if let Some(tree) = running.next() {
                return tree;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, found).await.unwrap()
}

async fn number(harness: &Harness, query: &'static str) -> i64 {
    let query = sqlx::query_scalar(query);
    query.fetch_one(harness.database.pool()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn external_agent_is_journaled_metered_and_resumed_after_a_restart() {
    let mut harness = open().await;
    let repository = repository(&harness);
    let run = harness.submit(&repository, None).await.id;
    let before = second_step(&harness, None).await;
    harness.reopen().await;
    let tree = second_step(&harness, Some(&before)).await;
    assert!(tree.join("src/one.txt").exists(), "the first step is in the snapshot");
    std::fs::write(tree.join("go"), "").unwrap();
    assert_eq!(harness.end(run).await, (RunState::Complete, String::new()));

    let landed = git(
        &repository,
        &["show", &format!("orchestrator/{}:src/two.txt", run.short())],
    );
    assert_eq!(landed, "one");
    let turns: Vec<(i32, String, i32, String, Value)> =
        sqlx::query_as("select number, backend, backend_version, text, payload from turn order by number")
            .fetch_all(harness.database.pool())
            .await
            .unwrap();
    let texts: Vec<&str> = turns.iter().map(|turn| turn.3.as_str()).collect();
    assert_eq!(texts, ["I write one.", "I wait.", "Both files are written."]);
    assert!(turns.iter().all(|turn| (turn.1.as_str(), turn.2) == ("script", 1)));
    assert_eq!(turns[0].4, json!({"run": "echo one > src/one.txt"}));
    let calls = "select count(*) from tool_call where ok and result is not null";
    assert_eq!(number(&harness, calls).await, 2);
    // Each step was paid once, although the process restarted in the second.
    let paid = "select count(*) from model_call where provider = 'script' and state = 'settled' and cost = 700";
    assert_eq!(number(&harness, paid).await, 3);
    assert_eq!(number(&harness, "select count(*) from attempt").await, 1);
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempt_of_an_unknown_backend_version_is_followed_by_a_new_attempt_from_its_snapshot() {
    let mut harness = open().await;
    let repository = repository(&harness);
    let run = harness.submit(&repository, None).await.id;
    let before = second_step(&harness, None).await;
    sqlx::query("update turn set backend_version = 9")
        .execute(harness.database.pool())
        .await
        .unwrap();
    harness.reopen().await;
    let tree = second_step(&harness, Some(&before)).await;
    assert!(tree.join("src/one.txt").exists(), "the work so far is kept");
    std::fs::write(tree.join("go"), "").unwrap();
    assert_eq!(harness.end(run).await, (RunState::Complete, String::new()));
    let log = harness.log(run).await;
    let reason =
        "attempt 1 was started by the worker backend script (version 9), which script (version 1) can't resume";
    assert!(log.contains(reason), "{log}");
    assert_eq!(number(&harness, "select count(*) from attempt").await, 2);
}

const WAIT: &str = "a free slot of provider scripted";

/// A provider with one slot, on which the first call of a worker hangs, and two worker slots.
async fn one_provider_slot() -> Harness {
    let write = |key: &str| {
        Rule::worker(key)
            .call("write_file", file(&format!("src/{key}.txt"), "text\n"))
            .call("finish", done())
    };
    let scenario = Scenario::from_rules(vec![
        Rule::director()
            .contains("objective-a")
            .json(&plan(&[("a-one", &[]), ("a-two", &[])])),
        Rule::director()
            .contains("objective-b")
            .json(&plan(&[("b-one", &[]), ("b-two", &[])])),
        Rule::director()
            .contains("objective-c")
            .json(&plan(&[("c-one", &[]), ("c-two", &["c-one"])])),
        write("c-one"),
        write("c-two"),
        Rule::worker("*").times(1).fault(Fault::Hang),
        write("a-one"),
        write("a-two"),
        write("b-one"),
        write("b-two"),
    ]);
    let parts = Parts {
        provider_slots: NonZeroUsize::new(1),
        ..Parts::default()
    };
    Harness::open_with_parts(scenario, |settings| settings.slots = 2, parts).await
}

/// A run whose director does not take the provider's slot.
async fn submit(harness: &Harness, workspace: &Path, objective: &str, worker: &str) -> RunId {
    let request = NewRun {
        objective: objective.to_owned(),
        director: Some(ModelRef::new("unlimited", "scripted")),
        worker: Some(ModelRef::new(worker, "scripted")),
        ..Harness::request(workspace, None, LimitOverrides::default())
    };
    harness.engine.submit(request).await.unwrap().id
}

/// Waits until a run's tasks are as they should be.
async fn tasks_that(harness: &Harness, run: RunId, wanted: impl Fn(&[TaskView]) -> bool) -> Vec<TaskView> {
    let found = async {
        loop {
            let tasks = harness.engine.views().tasks(run).await.unwrap();
            if wanted(&tasks) {
                return tasks;
            }
            harness.engine.changed(run, i64::MAX).await;
        }
    };
    match tokio::time::timeout(TIMEOUT, found).await {
        Ok(tasks) => tasks,
        Err(_) => panic!("the tasks did not come to it; the log:\n{}", harness.log(run).await),
    }
}

fn waiting(tasks: &[TaskView], state: TaskState) -> usize {
    let waits = |task: &&TaskView| task.state == state && task.blocked_on.as_deref() == Some(WAIT);
    tasks.iter().filter(waits).count()
}

fn worktrees(harness: &Harness, run: RunId) -> usize {
    let own = run.0.simple().to_string();
    let entries = std::fs::read_dir(harness.directory.path().join("data/worktrees")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&own)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn task_that_waits_for_its_provider_shows_it_and_holds_neither_worktree_nor_worker_slot() {
    let mut harness = one_provider_slot().await;
    let repository = repository(&harness);
    let a = submit(&harness, &repository, "objective-a", "scripted").await;
    // Both tasks are claimed; one has the provider's slot.
    tasks_that(&harness, a, |tasks| waiting(tasks, TaskState::Active) == 1).await;
    assert_eq!(worktrees(&harness, a), 1);
    // The tasks of another run are not claimed for a provider that is full. One of them would be next.
    let b = submit(&harness, &repository, "objective-b", "scripted").await;
    tasks_that(&harness, b, |tasks| waiting(tasks, TaskState::Ready) == 1).await;
    assert_eq!(worktrees(&harness, b), 0);
    // The worker slot of the task that waits is used for another provider.
    let c = submit(&harness, &repository, "objective-c", "unlimited").await;
    assert_eq!(harness.end(c).await, (RunState::Complete, String::new()));
    assert_eq!(worktrees(&harness, a), 1);
    tasks_that(&harness, a, |tasks| waiting(tasks, TaskState::Active) == 1).await;

    // A restart stops the call that hangs, and the waiting tasks are claimed again.
    harness.reopen().await;
    for run in [a, b] {
        assert_eq!(harness.end(run).await, (RunState::Complete, String::new()));
        let tasks = tasks_that(&harness, run, |_| true).await;
        assert!(
            tasks
                .iter()
                .all(|task| (task.failures, task.blocked_on.as_deref()) == (0, None))
        );
    }
    assert_eq!(
        number(&harness, "select count(*) from attempt where number > 1").await,
        0
    );
    harness.assert_rows_agree().await;
    harness.assert_requests_were_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn task_that_waits_for_its_provider_can_be_cancelled_and_leaves_its_slot_to_others() {
    let harness = one_provider_slot().await;
    let repository = repository(&harness);
    let a = submit(&harness, &repository, "objective-a", "scripted").await;
    tasks_that(&harness, a, |tasks| waiting(tasks, TaskState::Active) == 1).await;
    let b = submit(&harness, &repository, "objective-b", "scripted").await;
    tasks_that(&harness, b, |tasks| waiting(tasks, TaskState::Ready) == 1).await;
    harness.engine.cancel(a).await.unwrap();
    assert_eq!(harness.end(a).await.0, RunState::Cancelled);
    assert_eq!(harness.end(b).await, (RunState::Complete, String::new()));
    harness.assert_rows_agree().await;
}
