//! Facts about the private server, with the real PostgreSQL of this machine.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};
use store::embedded::{DataDirLock, EmbeddedError, Settings, start};
use tempfile::TempDir;

/// A directory that the account of the server can pass through, too.
fn directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("orchestrator-test-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap()
}

async fn ask(options: &PgConnectOptions, statement: &'static str) -> String {
    let mut connection = PgConnection::connect_with(options).await.unwrap();
    let answer = sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    answer
}

fn server_pid(directory: &Path) -> String {
    let file = fs::read_to_string(directory.join("postmaster.pid")).unwrap();
    file.lines().next().unwrap().trim().to_owned()
}

fn kill_hard(pid: &str) {
    assert!(Command::new("kill").args(["-KILL", pid]).status().unwrap().success());
}

#[tokio::test]
async fn a_durable_server_is_made_found_again_and_stopped() {
    let directory = directory();
    let data_dir = directory.path().join("data");
    let lock = DataDirLock::take(&data_dir).unwrap();
    let first = start(lock.data_dir(), &Settings::default()).unwrap();
    assert!(first.started_here);
    assert_eq!(ask(&first.options, "show fsync").await, "on");
    assert_eq!(ask(&first.options, "show listen_addresses").await, "");

    let second = start(lock.data_dir(), &Settings::default()).unwrap();
    assert!(!second.started_here, "the running server is found");

    second.stop().unwrap();
    assert!(PgConnection::connect_with(&first.options).await.is_err());
    let third = start(lock.data_dir(), &Settings::default()).unwrap();
    assert!(third.started_here);
    third.stop().unwrap();
}

#[tokio::test]
async fn a_killed_server_is_started_again_with_what_it_had() {
    let directory = directory();
    let running = start(directory.path(), &Settings::default()).unwrap();
    let mut connection = PgConnection::connect_with(&running.options).await.unwrap();
    sqlx::query("create table kept as select 'it' as what")
        .execute(&mut connection)
        .await
        .unwrap();
    kill_hard(&server_pid(running.directory()));

    let again = start(directory.path(), &Settings::default()).unwrap();
    assert!(again.started_here);
    assert_eq!(ask(&again.options, "select what from kept").await, "it");
    again.stop().unwrap();
}

#[tokio::test]
async fn a_stale_pid_file_that_names_a_living_stranger_is_no_obstacle() {
    let directory = directory();
    let running = start(directory.path(), &Settings::default()).unwrap();
    let pid_file = running.directory().join("postmaster.pid");
    let content = fs::read_to_string(&pid_file).unwrap();
    running.stop().unwrap();
    let (_, rest) = content.split_once('\n').unwrap();
    fs::write(&pid_file, format!("{}\n{rest}", std::process::id())).unwrap();

    let again = start(directory.path(), &Settings::default()).unwrap();
    assert!(again.started_here);
    again.stop().unwrap();
}

#[tokio::test]
async fn a_half_made_cluster_is_made_anew() {
    let directory = directory();
    fs::create_dir_all(directory.path().join("postgres.new-1/base")).unwrap();
    let running = start(directory.path(), &Settings::default()).unwrap();
    assert_eq!(ask(&running.options, "select 'up'").await, "up");
    running.stop().unwrap();
}

#[tokio::test]
async fn a_long_path_with_spaces_is_no_obstacle() {
    let directory = directory();
    let data_dir = directory
        .path()
        .join("a directory with a long name ".repeat(4))
        .join("and, a comma");
    let running = start(&data_dir, &Settings::default()).unwrap();
    assert_eq!(ask(&running.options, "select 'up'").await, "up");
    let sockets = running.options.get_socket().unwrap().clone();
    running.stop().unwrap();
    fs::remove_dir_all(sockets).unwrap();
}

#[test]
fn a_cluster_of_another_version_is_refused_by_name() {
    let directory = directory();
    fs::create_dir(directory.path().join("postgres")).unwrap();
    fs::write(directory.path().join("postgres/PG_VERSION"), "8\n").unwrap();
    let error = start(directory.path(), &Settings::default()).unwrap_err();
    assert!(
        matches!(&error, EmbeddedError::OtherVersion { wanted, .. } if wanted == "8"),
        "{error}"
    );
}
