//! Facts about the read side, over rows as the write side leaves them.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

use domain::{
    NanoDollars, RunId, TaskKey,
    merge::MergeState,
    recorded::Recorded,
    run::{CheckSource, RunState},
    task::TaskState,
};
use store::{
    testing::{self, TestDatabase},
    view::{FindRunError, RunFilter, Views},
};
use uuid::Uuid;

/// A run with two tasks: `core` has landed after a conflict, `http` waits no longer and is at work.
const RUN: &str = "
    insert into workspace (path, hub) values ('/w', 'hub') on conflict do nothing;
    insert into run (id, request, workspace, objective, director_provider, director_model, worker_provider,
        worker_model, state, limits, check_command, check_source, base, base_branch, branch, plan_version,
        max_active, event_seq, trace, deadline_at)
    values ('RUN', '{}', 1, 'Do it', 'p', 'd', 'p', 'w', 'running', '{}', 'make test', 'request', 'b0', 'main',
        'orchestrator/x', 1, 3, 3, '{}', now() + interval '1 day');
    insert into budget (run, cap, spent, reserved) values ('RUN', 1000, 300, 150);
    insert into task (id, run, key, ordinal, title, profile, change, spec, state, attempt, commit, started_at, ended_at)
        overriding system value values
        (1, 'RUN', 'core', 0, 'Core', 'coder', 'required', '{}', 'complete', 2, 'm1', now() - interval '9 s', now()),
        (2, 'RUN', 'http', 1, 'Http', 'coder', 'required', '{}', 'active', 1, null, now() - interval '5 s', null),
        (3, 'RUN', 'docs', 2, 'Docs', 'coder', 'optional', '{}', 'planned', 0, null, null, null);
    insert into dependency (parent, child) values (1, 2), (1, 3), (2, 3);
    insert into attempt (id, run, task, number, fence) overriding system value values (1, 'RUN', 2, 1, 1);
    insert into turn (attempt, number, backend, backend_version, payload, text, model, input_tokens, output_tokens, cost)
        values (1, 1, 'model_loop', 1, '{}', 'hm', 'w', 10, 5, 100), (1, 2, 'model_loop', 1, '{}', null, 'w', 10, 5, 100);
    insert into tool_call (attempt, turn, ordinal, call_id, name, arguments, summary, result, ok) values
        (1, 1, 0, 'a', 'read_file', '{}', 'src/lib.rs', 'a long text', true),
        (1, 2, 0, 'b', 'shell', '{}', 'cargo test', null, null);
    insert into model_call (run, task, role, provider, model_requested, model, state, reserved, cost, input_tokens,
        output_tokens, process, epoch, settled_at) values
        ('RUN', null, 'director', 'p', 'd', 'd', 'settled', 100, 100, 20, 7, 1, 1, now()),
        ('RUN', 2, 'worker', 'p', 'w', 'w', 'settled', 100, 200, 20, 10, 1, 1, now()),
        ('RUN', 2, 'worker', 'p', 'w', 'free', 'settled', 0, null, 5, 5, 1, 1, now()),
        ('RUN', 2, 'worker', 'p', 'w', null, 'reserved', 100, null, null, null, 1, 1, null),
        ('RUN', 2, 'worker', 'p', 'w', null, 'lost', 50, null, null, null, 1, 1, now());
    insert into merge (id, run, task, attempt, commit, state, method, round, conflicts, ended_at)
        overriding system value values
        (1, 'RUN', 1, 2, 'c1', 'landed', 'ort', 1, '[{\"path\": \"src/router.rs\"}]', now());
    insert into resolution (merge, round, path, hunk, layer, result, reason) values
        (1, 1, 'src/router.rs', 1, 'model', 'resolved', 'both are needed');
    insert into effect (run, kind, key, payload) values ('RUN', 'deliver', 'deliver:RUN', jsonb_build_object('again', false));
    insert into event (run, seq, kind, task, data) values
        ('RUN', 1, 'run_submitted', null, '{}'), ('RUN', 2, 'task_ready', 1, '{}'), ('RUN', 3, 'task_ready', 2, '{}');
";

async fn one_run() -> (TestDatabase, Views, RunId) {
    let database = testing::database().await;
    let run = RunId::new();
    let statements = RUN.replace("RUN", &run.to_string());
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(database.pool())
        .await
        .unwrap();
    let views = database.views();
    (database, views, run)
}

/// A run without tasks.
async fn empty_run(database: &TestDatabase, id: Uuid, state: &str) {
    let statements = format!(
        "insert into workspace (path, hub) values ('/w', 'hub') on conflict do nothing;
         insert into run (id, request, workspace, objective, director_provider, director_model, worker_provider,
             worker_model, state, limits, branch, max_active, trace, deadline_at, ended_at)
         values ('{id}', '{{}}', (select min(id) from workspace), 'o', 'p', 'd', 'p', 'w', '{state}', '{{}}', 'b', 1,
             '{{}}', now(), case when '{state}' = 'complete' then now() end);
         insert into budget (run) values ('{id}');"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(database.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_run_tells_its_tasks_its_check_and_its_cost() {
    let (_database, views, run) = one_run().await;
    let detail = views.run(run).await.unwrap().unwrap();
    assert_eq!(detail.summary.state, RunState::Running);
    let tasks = detail.summary.tasks;
    assert_eq!(
        (tasks.complete, tasks.active, tasks.planned, tasks.total()),
        (1, 1, 1, 3)
    );
    assert_eq!(detail.check.as_ref().unwrap().source, CheckSource::Request);
    assert_eq!((detail.merges, detail.last_event), ((1, 1), 3));

    let cost = &detail.cost;
    assert_eq!((cost.spent, cost.cap), (NanoDollars(300), Some(NanoDollars(1000))));
    assert_eq!((cost.reserved, cost.lost), (NanoDollars(100), NanoDollars(50)));
    assert_eq!((cost.calls, cost.unpriced_calls, cost.tokens.input), (5, 1, 45));
    let worker = cost.by_role.iter().find(|line| line.name == "worker").unwrap();
    assert_eq!((worker.spent, worker.calls), (NanoDollars(200), 4));
    assert!(
        cost.by_model
            .iter()
            .any(|line| line.name == "free" && line.unpriced_calls == 1)
    );

    assert!(views.run(RunId::new()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_task_tells_what_it_does_and_what_it_waits_for() {
    let (_database, views, run) = one_run().await;
    let tasks = views.tasks(run).await.unwrap();
    let [core, http, docs] = tasks.as_slice() else {
        panic!("{tasks:?}")
    };
    assert_eq!(core.landed.as_ref().unwrap().0, "m1");
    let merge = core.merge.as_ref().unwrap();
    assert_eq!(
        (merge.state, merge.conflicts.clone()),
        (MergeState::Landed, vec!["src/router.rs".into()])
    );

    assert_eq!(
        (http.state, http.turns, http.cost),
        (TaskState::Active, 2, NanoDollars(200))
    );
    assert!(http.waits_for.is_empty() && http.depends_on == [TaskKey::from("core")]);
    let action = http.action.as_ref().unwrap();
    assert_eq!(
        (action.turn, action.tool.clone()),
        (2, Some(("shell".into(), "cargo test".into())))
    );
    assert!(http.duration_ms.unwrap() >= 5_000);

    assert_eq!(docs.waits_for, [TaskKey::from("http")]);
    assert_eq!(docs.depends_on, [TaskKey::from("core"), TaskKey::from("http")]);
    assert!(docs.action.is_none() && docs.duration_ms.is_none());
}

#[tokio::test]
async fn a_transcript_holds_every_turn_and_cuts_long_texts() {
    let (_database, views, run) = one_run().await;
    let task = views.task(run, &"http".into(), 6).await.unwrap().unwrap();
    let [attempt] = task.attempts.as_slice() else { panic!() };
    assert_eq!(attempt.turns.len(), 2);
    let call = &attempt.turns[0].calls[0];
    assert_eq!(
        (call.result.as_deref(), call.result_length, call.ok),
        (Some("a long"), 11, Some(true))
    );
    assert_eq!(attempt.turns[1].calls[0].result, None);
    assert!(views.task(run, &"absent".into(), 6).await.unwrap().is_none());
}

#[tokio::test]
async fn a_merge_tells_how_its_conflicts_were_decided() {
    let (_database, views, run) = one_run().await;
    let merges = views.merges(run).await.unwrap();
    assert_eq!(
        (merges.len(), merges[0].state, merges[0].task.0.as_str()),
        (1, MergeState::Landed, "core")
    );
    assert_eq!(merges[0].resolutions[0].layer, "model");
}

#[tokio::test]
async fn every_attempt_that_did_not_land_is_returned_with_its_number_and_reason() {
    let (database, views, run) = one_run().await;
    let statements = "
        insert into attempt (id, run, task, number, fence, finish_end, ended_at) overriding system value values
            (11, 'RUN', 1, 1, 1, '{\"end\": \"unchanged\"}', now() - interval '4 s'),
            (12, 'RUN', 1, 2, 2, '{\"end\": \"submitted\", \"commit\": \"c0\"}', now() - interval '3 s'),
            (13, 'RUN', 1, 3, 3, '{\"end\": \"failed\", \"reason\": {\"code\": \"limit\", \"message\": \"40 turns\"}}',
                now() - interval '2 s'),
            (14, 'RUN', 1, 4, 4, '{\"end\": \"submitted\", \"commit\": \"c1\"}', now()),
            (15, 'RUN', 3, 1, 1, '{\"end\": \"unchanged\"}', now()), (16, 'RUN', 3, 2, 2, '{\"end\": \"released\"}', now());
        insert into merge (id, run, task, attempt, commit, state, reason, ended_at) overriding system value values
            (7, 'RUN', 1, 2, 'c0', 'rejected', '{\"code\": \"gate\", \"message\": \"red\"}', now());";
    let statements = statements.replace("RUN", &run.to_string());
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(database.pool())
        .await
        .unwrap();
    let tasks = views.tasks(run).await.unwrap();
    let returned = tasks[0].returned.iter();
    let returned: Vec<_> = returned
        .map(|returned| {
            let merge = returned.merge.map(|merge| merge.0);
            (returned.attempt, returned.reason.message.as_str(), merge)
        })
        .collect();
    assert_eq!(returned.len(), 3, "{returned:?}");
    assert!(
        returned[0].0 == 1 && returned[0].1.contains("nothing in the tree has changed"),
        "{returned:?}"
    );
    assert_eq!(returned[1..], [(2, "red", Some(7)), (3, "40 turns", None)]);
    // An attempt that may change nothing, or goes on later, did not fail.
    assert!(tasks[2].returned.is_empty(), "{:?}", tasks[2].returned);
    let core = views.task(run, &"core".into(), 6).await.unwrap().unwrap();
    assert_eq!(core.task.returned, tasks[0].returned);
}

#[tokio::test]
async fn unreadable_gate_reports_and_feedback_are_shown_as_such() {
    let (database, views, run) = one_run().await;
    for (gate, feedback) in [("[1]", "7"), ("{\"verdict\": \"splendid\"}", "{\"reason\": 4}")] {
        let statements = format!("update merge set gate = '{gate}'; update task set feedback = '{feedback}';");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
            .execute(database.pool())
            .await
            .unwrap();
        let merges = views.merges(run).await.unwrap();
        let Some(Recorded::Unreadable { unreadable }) = &merges[0].gate else {
            panic!("{:?}", merges[0].gate)
        };
        assert!(unreadable.contains("merge.gate can't be read"), "{unreadable}");
        let core = views.task(run, &"core".into(), 6).await.unwrap().unwrap();
        let Some(Recorded::Unreadable { unreadable }) = &core.feedback else {
            panic!("{:?}", core.feedback)
        };
        assert!(unreadable.contains("task.feedback can't be read"), "{unreadable}");
    }
}

#[tokio::test]
async fn events_go_on_from_any_of_them_and_end_with_the_run() {
    let (database, views, run) = one_run().await;
    let page = views.events(run, 0, 2).await.unwrap().unwrap();
    assert_eq!(page.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(page.events[1].task, Some("core".into()));
    let rest = views.events(run, 2, 10).await.unwrap().unwrap();
    assert_eq!((rest.events.len(), rest.ended), (1, false));

    sqlx::raw_sql("update run set state = 'failed', ended_at = now(); update task set ended_at = now()")
        .execute(database.pool())
        .await
        .unwrap();
    assert!(!views.events(run, 0, 2).await.unwrap().unwrap().ended, "there is more");
    assert!(views.events(run, 2, 10).await.unwrap().unwrap().ended);
    assert!(views.events(run, 3, 10).await.unwrap().unwrap().ended);
    assert!(views.events(RunId::new(), 0, 10).await.unwrap().is_none());
}

#[tokio::test]
async fn runs_are_paged_newest_first_and_filtered_by_state() {
    let database = testing::database().await;
    let mut made = Vec::new();
    for index in 0..5 {
        let id = Uuid::now_v7();
        empty_run(&database, id, if index == 2 { "complete" } else { "planning" }).await;
        made.push(RunId(id));
    }
    made.reverse();
    let views = database.views();
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = views
            .runs(RunFilter {
                state: None,
                before,
                limit: 2,
            })
            .await
            .unwrap();
        seen.extend(page.runs.iter().map(|run| run.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, made);
    let filter = RunFilter {
        state: Some(RunState::Complete),
        before: None,
        limit: 10,
    };
    let complete = views.runs(filter).await.unwrap();
    assert_eq!((complete.runs.len(), complete.runs[0].id), (1, made[2]));
}

#[tokio::test]
async fn a_run_is_found_by_its_last_digits_unless_several_end_so() {
    let database = testing::database().await;
    let views = database.views();
    let [one, other] = [
        "01890000-0000-7000-8000-00001234abcd",
        "01890000-0000-7000-8000-00011234abcd",
    ];
    for id in [one, other] {
        empty_run(&database, id.parse().unwrap(), "planning").await;
    }
    let found = views.find_run("00001234ABCD").await.unwrap();
    assert_eq!(found.to_string(), one);
    assert_eq!(views.find_run(other).await.unwrap().to_string(), other);
    let error = views.find_run("1234abcd").await.unwrap_err();
    assert!(
        matches!(&error, FindRunError::Ambiguous { candidates, .. } if candidates.len() == 2),
        "{error}"
    );
    assert!(matches!(
        views.find_run("ffff0000").await,
        Err(FindRunError::NotFound(_))
    ));
    assert!(matches!(views.find_run("%").await, Err(FindRunError::Malformed(_))));
}
