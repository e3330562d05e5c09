//! Databases of older versions: read commands name the difference, a start updates the schema and keeps the rows.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

use domain::{
    RunId,
    effect::{Effect, EffectKind},
    run::ReasonCode,
    task::AttemptEnd,
};
use sqlx::migrate::Migrator;
use std::{str::FromStr, time::Duration};
use store::{
    Error, Store,
    connect::{Access, Database, MIGRATIONS, OpenError, PoolSettings},
    testing::{self, TestDatabase},
};

const RUN: &str = "0198f1de-0000-7000-8000-000000000001";

/// A complete run with one task, as the first versions wrote it.
const ROWS: &str = r#"
    insert into workspace (path, hub) values ('/w', 'w.git');
    insert into run (id, request, workspace, objective, director_provider, director_model, worker_provider,
        worker_model, state, reason, limits, branch, max_active, trace, deadline_at, check_asked, ended_at)
    values ('0198f1de-0000-7000-8000-000000000001', '{}', 1, 'Do it', 'p', 'd', 'p', 'w', 'complete',
        '{"code": "asked", "message": "cancelled on request"}', '{}', 'b', 1, '{}', now(), 'make test', now());
    insert into budget (run) values ('0198f1de-0000-7000-8000-000000000001');
    insert into task (run, key, ordinal, title, profile, change, spec, state) values
        ('0198f1de-0000-7000-8000-000000000001', 'core', 0, 'Core', 'coder', 'required', '{}', 'merging');
    insert into attempt (run, task, number, fence, finish_end) values
        ('0198f1de-0000-7000-8000-000000000001', 1, 1, 1,
         '{"end": "gave_up", "reason": {"code": "budget", "message": "m"}}');
    insert into merge (run, task, attempt, commit, state, how, begun) values
        ('0198f1de-0000-7000-8000-000000000001', 1, 1, 'c', 'queued', 'ort', 2);
    insert into answer (merge, path, attempt, decision, by) values (1, 'a.rs', 1, 'ours', 'Ann');
    insert into effect (run, kind, key) values ('0198f1de-0000-7000-8000-000000000001', 'deliver', 'deliver:1');
    insert into event (run, seq, kind, task, data) values
        ('0198f1de-0000-7000-8000-000000000001', 1, 'plan_asked', null, '{"kind": "plan_asked", "round": 1, "problems": []}'),
        ('0198f1de-0000-7000-8000-000000000001', 2, 'merge_moved', 1,
         '{"kind": "merge_moved", "merge": 1, "state": "merging", "conflicts": []}'),
        ('0198f1de-0000-7000-8000-000000000001', 3, 'attempt_ended', 1,
         '{"kind": "attempt_ended", "attempt": 1, "end": {"end": "gave_up", "reason": {"code": "asked", "message": "m"}}, "outcome": null}');
    update run set event_seq = 3;
"#;

/// A database whose schema ends with a migration.
async fn older(newest: i64) -> TestDatabase {
    let database = testing::database().await;
    sqlx::raw_sql("drop schema public cascade; create schema public")
        .execute(database.pool())
        .await
        .unwrap();
    let migrations: Vec<_> = MIGRATIONS.iter().filter(|one| one.version <= newest).cloned().collect();
    let migrator = Migrator {
        migrations: migrations.into(),
        ..Migrator::DEFAULT
    };
    migrator.run(database.pool()).await.unwrap();
    database
}

async fn migrations_in(database: &TestDatabase) -> i64 {
    sqlx::query_scalar("select count(*) from _sqlx_migrations")
        .fetch_one(database.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn read_command_on_older_schema_names_both_schemas_and_the_way_out() {
    let versions: Vec<i64> = MIGRATIONS.iter().map(|one| one.version).collect();
    let (known, older_ones) = versions.split_last().unwrap();
    for version in older_ones {
        let database = older(*version).await;
        let before = migrations_in(&database).await;
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let opened = Store::open_existing(Database::Url(database.url()), &PoolSettings::default(), access).await;
            let error = opened.unwrap_err();
            assert!(
                matches!(error, OpenError::Older { found, known: ours, .. } if found == *version && ours == *known),
                "{error}"
            );
            assert!(error.to_string().contains("orchestrator serve"), "{error}");
        }
        assert_eq!(migrations_in(&database).await, before);
    }
}

#[tokio::test]
async fn schema_with_a_gap_is_older() {
    let database = testing::database().await;
    let gap = MIGRATIONS.iter().nth(1).unwrap().version;
    sqlx::query("delete from _sqlx_migrations where version = $1")
        .bind(gap)
        .execute(database.pool())
        .await
        .unwrap();
    let opened = Store::open_existing(
        Database::Url(database.url()),
        &PoolSettings::default(),
        Access::ReadOnly,
    )
    .await;
    assert!(matches!(opened, Err(OpenError::Older { found, .. }) if found < gap));
}

#[tokio::test]
async fn queries_on_older_schema_fail_with_the_reason() {
    let database = older(5).await;
    let store = database.store();
    let holder = store
        .register_process("p", "test", Duration::from_secs(60))
        .await
        .unwrap();
    let claimed = store.claim_effect(holder, &[], &EffectKind::ALL, None).await;
    let listed = store.views().merge_lines(None, 10).await;
    for error in [claimed.unwrap_err(), listed.unwrap_err()] {
        assert!(matches!(error, Error::Schema(_)), "{error}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn update_keeps_rows_under_their_new_names() {
    let database = older(5).await;
    sqlx::raw_sql(ROWS).execute(database.pool()).await.unwrap();
    let store = Store::open(Database::Url(database.url()), &PoolSettings::default())
        .await
        .unwrap();
    let run = RunId::from_str(RUN).unwrap();
    let holder = store
        .register_process("p", "test", Duration::from_secs(60))
        .await
        .unwrap();

    let claimed = store
        .claim_effect(holder, &[], &EffectKind::ALL, None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        claimed.effect,
        Effect::Deliver { again: true },
        "the run was complete before"
    );
    let details = store.run_details(run).await.unwrap().unwrap();
    assert_eq!(details.check_requested.as_deref(), Some("make test"));
    let views = store.views();
    let summary = views.run_summary(run).await.unwrap().unwrap();
    assert_eq!(summary.reason.unwrap().code, ReasonCode::Requested);
    let merges = views.merges(run).await.unwrap();
    assert_eq!(merges[0].method.as_deref(), Some("ort"));
    let answers = store.person_answers(merges[0].id).await.unwrap();
    assert_eq!((answers[0].path.as_str(), answers[0].by.as_str()), ("a.rs", "Ann"));
    let task = views.task(run, &"core".into(), 100).await.unwrap().unwrap();
    assert!(
        matches!(task.attempts[0].end, Some(AttemptEnd::Unrecoverable { .. })),
        "{task:?}"
    );

    let events = views.events(run, 0, 10).await.unwrap().unwrap().events;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["plan_requested", "merge_progressed", "attempt_ended"]);
    for event in events {
        let read: domain::event::Event = serde_json::from_value(event.data).unwrap();
        assert_eq!(read.kind(), event.kind);
    }
    store.close().await;
}
