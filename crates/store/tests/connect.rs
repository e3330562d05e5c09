//! Facts about coming to a database.

use sqlx::AssertSqlSafe;
use std::time::Duration;
use store::{
    Store,
    connect::{Database, OpenError, PoolSettings, Route},
    testing,
};

fn settings() -> PoolSettings {
    PoolSettings {
        process_name: "facts".into(),
        acquire_timeout: Duration::from_secs(5),
        ..PoolSettings::default()
    }
}

#[tokio::test]
async fn an_empty_database_is_migrated_once_by_many_at_once() {
    let database = testing::database().await;
    sqlx::raw_sql("drop schema public cascade; create schema public")
        .execute(database.pool())
        .await
        .unwrap();
    let openings = (0..4).map(|_| async { Store::open(Database::Url(database.url()), &settings()).await });
    for opened in futures_util::future::join_all(openings).await {
        opened.unwrap();
    }
    let applied: i64 = sqlx::query_scalar("select count(*) from _sqlx_migrations")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(applied, store::connect::MIGRATIONS.iter().count() as i64);
}

#[tokio::test]
async fn a_connection_says_whose_it_is_and_gives_up_idle_transactions() {
    let database = testing::database().await;
    let store = Store::open(Database::Url(database.url()), &settings()).await.unwrap();
    assert!(store.answers(Duration::from_secs(5)).await);
    let names: Vec<String> = sqlx::query_scalar(
        "select application_name from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    )
    .fetch_all(database.pool())
    .await
    .unwrap();
    assert!(names.contains(&"orchestrator/facts".to_owned()), "{names:?}");
    store.close().await;
}

#[tokio::test]
async fn through_a_pooler_nothing_is_set_on_a_session() {
    let database = testing::database().await;
    let pooled = PoolSettings {
        route: Route::Pooler,
        ..settings()
    };
    let store = Store::open(Database::Url(database.url()), &pooled).await.unwrap();
    assert!(store.answers(Duration::from_secs(5)).await);
    store.close().await;
}

#[tokio::test]
async fn a_schema_from_the_future_is_refused() {
    let database = testing::database().await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (999999, 'from the future', true, '', 0)",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let error = Store::open(Database::Url(database.url()), &settings())
        .await
        .unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 999_999, .. }), "{error}");
    assert!(error.to_string().contains("newer orchestrator"), "{error}");
}

#[tokio::test]
async fn an_unreachable_server_is_named_without_the_password() {
    let url = "postgres://someone:hunter2@127.0.0.1:1/somewhere".to_owned();
    let error = Store::open(Database::Url(url), &settings()).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OpenError::Unreachable { .. }), "{text}");
    assert!(text.contains("127.0.0.1:1") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_missing_database_is_named() {
    let database = testing::database().await;
    let url = database.url().replace("/test_", "/absent_");
    let error = Store::open(Database::Url(url), &settings()).await.unwrap_err();
    assert!(
        matches!(&error, OpenError::Missing { name, .. } if name.starts_with("absent_")),
        "{error}"
    );
}

#[tokio::test]
async fn an_address_that_is_none_is_not_repeated() {
    for url in [
        "mysql://someone:hunter2@host/db",
        "postgres://someone:hunter2@host:port/db",
        "hunter2",
    ] {
        let error = Store::open(Database::Url(url.into()), &settings()).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, OpenError::Address(_)), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_test_database_is_gone_when_its_test_is() {
    let database = testing::database().await;
    let name = database.options().get_database().unwrap().to_owned();
    drop(database);
    let other = testing::database().await;
    let statement = format!("select count(*) from pg_database where datname = '{name}'");
    let left: i64 = sqlx::query_scalar(AssertSqlSafe(statement))
        .fetch_one(other.pool())
        .await
        .unwrap();
    assert_eq!(left, 0);
}
