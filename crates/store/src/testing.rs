//! Databases for tests: one shared server that forgets everything in a power cut, and on it a migrated database
//! for each test, cloned from a template and dropped at the end.
//!
//! The server stands in a temporary directory named after the user and the migrations, is started by the first
//! test process that needs it and found by the others. A small watcher stops it when nobody has used it for some
//! minutes.

use crate::{
    Store,
    connect::{MIGRATIONS, PoolSettings},
    embedded::{self, Durability, Running, Settings},
    view::Views,
};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, postgres::PgConnectOptions};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// A database left behind by a test that was killed is dropped by a later one after this long.
const ABANDONED_AFTER_S: u64 = 3_600;

/// What tests fail with when there is no database to be had.
pub type TestError = Box<dyn std::error::Error + Send + Sync>;

/// A database of a test's own; dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    options: PgConnectOptions,
    admin: PgConnectOptions,
    store: Store,
}

impl TestDatabase {
    /// A store on the database.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// The read side of the database.
    pub fn views(&self) -> Views {
        self.store.views()
    }

    /// The pool, for statements of the test's own.
    pub fn pool(&self) -> &PgPool {
        &self.store.pool
    }

    /// How to connect to the database.
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// The address to give to another process as its `DATABASE_URL`.
    pub fn url(&self) -> String {
        let sockets = self.options.get_socket().map(|path| path.display().to_string());
        format!(
            "postgres://{}@localhost/{}?host={}",
            self.options.get_username(),
            self.name,
            sockets.unwrap_or_default()
        )
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let statement = format!("drop database if exists {} with (force)", self.name);
        let admin = self.admin.clone();
        // The test's own runtime may be the one that is ending, so the last statement gets one of its own.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect_with(&admin).await?;
                sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
                connection.close().await
            })
        });
        match dropping.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, database = self.name, "a test's database stays until later")
            }
            Err(_) => tracing::warn!(database = self.name, "a test's database stays until later"),
        }
    }
}

/// A new, migrated, empty database.
///
/// # Panics
/// When there is no PostgreSQL here: then no test of the store means anything.
pub async fn database() -> TestDatabase {
    match try_database().await {
        Ok(database) => database,
        Err(error) => panic!("no test database: {error}"),
    }
}

/// As [`database`], telling what went wrong.
///
/// # Errors
/// When PostgreSQL is missing or does not start, or the migrations fail.
pub async fn try_database() -> Result<TestDatabase, TestError> {
    let admin = shared_server().await?.clone();
    let name = format!("test_{}_{}", now_s(), Uuid::now_v7().simple());
    let mut connection = PgConnection::connect_with(&admin).await?;
    let statement = format!("create database {name} template {}", template_name());
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await?;
    let options = admin.clone().database(&name);
    let settings = PoolSettings {
        process_name: "test".into(),
        ..PoolSettings::default()
    };
    let store = Store {
        pool: crate::connect::pool(options.clone(), &settings),
    };
    Ok(TestDatabase {
        name,
        options,
        admin,
        store,
    })
}

/// The shared server, started or found once in this process.
async fn shared_server() -> Result<&'static PgConnectOptions, TestError> {
    static SERVER: OnceCell<PgConnectOptions> = OnceCell::const_new();
    SERVER
        .get_or_try_init(|| async {
            let directory = directory();
            // Held until the template is there: other test processes wait for it here.
            let lock = tokio::task::spawn_blocking({
                let directory = directory.clone();
                move || lock(&directory)
            })
            .await??;
            let running = tokio::task::spawn_blocking(move || start(&directory)).await??;
            let mut connection = PgConnection::connect_with(&running.options).await?;
            make_template(&mut connection, &running.options).await?;
            drop_abandoned(&mut connection).await?;
            connection.close().await?;
            drop(lock);
            Ok(running.options)
        })
        .await
}

fn directory() -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    std::env::temp_dir().join(format!("agent-orchestrator-tests-{uid}-{}", &schema_hash()[..12]))
}

/// Which schema the template holds.
fn schema_hash() -> String {
    let mut digest = Sha256::new();
    for migration in MIGRATIONS.iter() {
        digest.update(migration.version.to_be_bytes());
        digest.update(&migration.checksum);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn template_name() -> String {
    format!("template_{}", &schema_hash()[..12])
}

fn lock(directory: &Path) -> Result<File, std::io::Error> {
    DirBuilder::new().recursive(true).mode(0o711).create(directory)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join("start.lock"))?;
    file.lock()?;
    Ok(file)
}

fn start(directory: &Path) -> Result<Running, TestError> {
    let settings = Settings {
        durability: Durability::None,
        max_connections: 300,
        ..Settings::default()
    };
    let running = embedded::start(directory, &settings)?;
    if running.started_here {
        watch(&running)?;
    }
    Ok(running)
}

/// Leaves a shell behind that stops the server once no test database has been there for some minutes.
fn watch(running: &Running) -> Result<(), TestError> {
    const WATCH: &str = r#"
        idle=0
        while sleep 15 && [ -f "$1/postmaster.pid" ]; do
            tests=$("$2/psql" -XAtq -h "$3" -U orchestrator -d postgres \
                -c "select count(*) from pg_stat_activity where datname <> 'postgres'") || continue
            if [ "$tests" = 0 ]; then idle=$((idle + 1)); else idle=0; fi
            if [ $idle -ge 20 ]; then
                kill -INT "$(head -n 1 "$1/postmaster.pid")"
                exit
            fi
        done"#;
    let sockets = running.options.get_socket().cloned().unwrap_or_default();
    let mut command = Command::new("setsid");
    command
        .args(["sh", "-c", WATCH, "watch"])
        .arg(running.directory())
        .arg(running.binaries())
        .arg(sockets)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match command.spawn() {
        Ok(_) => Ok(()),
        // Without it the server stays, and is found by the next tests.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes the template where it is missing. One that was not finished is made anew.
async fn make_template(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<(), TestError> {
    let name = template_name();
    let exists = sqlx::query_scalar!(
        r#"select exists (select from pg_database where datname = $1) as "exists!""#,
        name
    )
    .fetch_one(&mut *connection)
    .await?;
    if exists {
        return Ok(());
    }
    let unfinished = format!("{name}_unfinished");
    for statement in [
        format!("drop database if exists {unfinished} with (force)"),
        format!("create database {unfinished}"),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await?;
    }
    let settings = PoolSettings {
        process_name: "template".into(),
        ..PoolSettings::default()
    };
    let store = Store::open(options.clone().database(&unfinished).into(), &settings).await?;
    store.close().await;
    wait_until_unused(connection, &unfinished).await?;
    let statement = format!("alter database {unfinished} rename to {name}");
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

/// A closed connection ends on the server's side a little later, and a database in use can't be renamed.
async fn wait_until_unused(connection: &mut PgConnection, name: &str) -> Result<(), TestError> {
    loop {
        let users = sqlx::query_scalar!(
            r#"select count(*) as "count!" from pg_stat_activity where datname = $1"#,
            name
        )
        .fetch_one(&mut *connection)
        .await?;
        if users == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn drop_abandoned(connection: &mut PgConnection) -> Result<(), TestError> {
    let names = sqlx::query_scalar!(r#"select datname::text as "name!" from pg_database where datname like 'test\_%'"#)
        .fetch_all(&mut *connection)
        .await?;
    for name in names {
        let made_at = name.split('_').nth(1).and_then(|seconds| seconds.parse::<u64>().ok());
        if made_at.is_some_and(|seconds| seconds + ABANDONED_AFTER_S < now_s()) {
            let statement = format!("drop database if exists {name} with (force)");
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
