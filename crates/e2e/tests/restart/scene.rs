//! A server with a very long lease, and a run of two sequential tasks.

use domain::RunId;
use e2e::{Product, done, eventually, plan};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use sim_llm::{Rule, Scenario};
use sqlx::PgPool;
use std::path::{Path, PathBuf};
use store::testing::TestDatabase;

/// The lease in seconds: too long for a test to wait for its expiry.
const LEASE_S: u32 = 600;

/// A running product and its test environment.
pub(crate) struct Scene {
    pub(crate) product: Product,
    pub(crate) database: PgPool,
    pub(crate) repository: PathBuf,
    /// A directory that sandboxes may read: a file in it lets a command continue.
    pub(crate) signals: tempfile::TempDir,
    /// The database, if it is on the test server that tests share.
    _shared: Option<TestDatabase>,
}

/// The state when the server was killed.
pub(crate) struct Before {
    /// When the killed process's lease would expire.
    lease_until: String,
    /// Model calls of each completed task.
    finished: Vec<(String, usize)>,
}

impl Scene {
    /// On the private database of the data directory.
    pub(crate) async fn open(scenario: Scenario) -> Self {
        Self::open_on(scenario, None).await
    }

    /// On the shared test server, which is faster if only the orchestrator is killed.
    pub(crate) async fn open_shared(scenario: Scenario) -> Self {
        let shared = store::testing::database().await;
        let mut scene = Self::open_on(scenario, Some((shared.url(), shared.pool().clone()))).await;
        scene._shared = Some(shared);
        scene
    }

    /// On the database at an address, if one is given, with a pool for the test.
    pub(crate) async fn open_on(scenario: Scenario, elsewhere: Option<(String, PgPool)>) -> Self {
        let signals = e2e::directory();
        let config = signals.path().join("orchestrator.toml");
        let text = format!(
            "[engine]\nlease_s = {LEASE_S}\nworkers = 3\n[limits]\ncrashes = 50\n[sandbox]\nextra_read_only = [{:?}]\n",
            signals.path()
        );
        std::fs::write(&config, text).unwrap();
        let mut environment = vec![("ORCHESTRATOR_CONFIG", config.to_str().unwrap())];
        environment.extend(elsewhere.as_ref().map(|(url, _)| ("DATABASE_URL", url.as_str())));
        let product = Product::start_with(scenario, &environment).await;
        let database = match elsewhere {
            Some((_, pool)) => pool,
            None => product.database().await,
        };
        let files = [
            ("README.md", "read me\n"),
            ("test.sh", SUITE),
            ("shared", "one\ntwo\nthree\n"),
        ];
        let repository = product.repository("repository", &files);
        Self {
            product,
            database,
            repository,
            signals,
            _shared: None,
        }
    }

    /// Submits a run with the repository's own test suite as its gate.
    pub(crate) async fn submit(&self) -> RunId {
        self.product.submit(&self.repository, Some("sh test.sh")).await
    }

    /// Kills the server with SIGKILL; returns the state at that moment.
    pub(crate) async fn kill(&mut self) -> Before {
        self.product.kill().await;
        self.before().await
    }

    /// The current state; the server has ended and its database runs.
    pub(crate) async fn before(&self) -> Before {
        let lease_until = "select max(expires_at)::text from process";
        let complete: Vec<String> = sqlx::query_scalar("select key from task where state = 'complete' order by id")
            .fetch_all(&self.database)
            .await
            .unwrap();
        Before {
            lease_until: sqlx::query_scalar(lease_until).fetch_one(&self.database).await.unwrap(),
            finished: complete
                .into_iter()
                .map(|key| (key.clone(), self.product.calls_for(&key)))
                .collect(),
        }
    }

    /// Waits for the run's end after a restart, and asserts that it is complete and all its records are correct.
    pub(crate) async fn assert_completes(&self, run: RunId, before: &Before) {
        let end = self.product.end(run).await;
        assert_eq!(end["state"], "complete", "{end}\n{}", self.product.log());
        let ended_within_the_lease: bool =
            sqlx::query_scalar("select ended_at < $2::timestamptz from run where id = $1")
                .bind(run.0)
                .bind(&before.lease_until)
                .fetch_one(&self.database)
                .await
                .unwrap();
        assert!(
            ended_within_the_lease,
            "the restart waited for the old lease to run out"
        );
        for (key, calls) in &before.finished {
            assert_eq!(
                self.product.calls_for(key),
                *calls,
                "the finished task {key} was worked on again"
            );
        }
        crate::truth::assert_events(self, run).await;
    }

    /// Waits until a query returns a row.
    pub(crate) async fn fact(&self, what: &str, query: &'static str) {
        eventually(what, || async {
            sqlx::query(query).fetch_optional(&self.database).await.ok()?
        })
        .await;
    }

    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.database).await.unwrap()
    }

    /// The process of the private database.
    pub(crate) fn postmaster(&self) -> Pid {
        postmaster(&self.product.data_dir().join("postgres"))
    }

    /// The hub, a bare repository.
    pub(crate) fn hub(&self) -> PathBuf {
        let hubs = self.product.data_dir().join("hubs");
        let mut found = std::fs::read_dir(hubs).unwrap().map(|entry| entry.unwrap().path());
        found.find(|path| path.is_dir()).expect("the workspace has a hub")
    }

    /// The commit of the run's integration branch.
    pub(crate) fn tip(&self, run: RunId) -> String {
        e2e::git(&self.hub(), &["rev-parse", &branch(run)])
    }
}

/// The Postgres process of a cluster's directory.
pub(crate) fn postmaster(cluster: &Path) -> Pid {
    let text = std::fs::read_to_string(cluster.join("postmaster.pid")).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap()
}

/// Kills a process that is not a child of the test.
pub(crate) fn kill_process(process: Pid) {
    match rustix::process::kill_process(process, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("{process:?}: {error}"),
    }
}

/// A test suite that passes if no file contains `broken`.
const SUITE: &str =
    "echo 1..1\nif grep -rqs broken work; then echo 'not ok 1 - whole'; exit 1; fi\necho 'ok 1 - whole'\n";

/// The run's branch, in the hub and in the user's repository.
pub(crate) fn branch(run: RunId) -> String {
    format!("orchestrator/{}", run.short())
}

/// Two sequential tasks; the second works in two turns, of which the first is a command.
pub(crate) fn two_tasks() -> Scenario {
    Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("first", &[]), ("second", &["first"])])),
        Rule::worker("first")
            .call("write_file", file("work/first", "1\n"))
            .call("finish", done()),
        Rule::worker("second")
            .turn(1)
            .call("shell", json!({"command": "mkdir -p work; echo half > work/half"})),
        Rule::worker("second")
            .call("write_file", file("work/second", "2\n"))
            .call("finish", done()),
    ])
}

/// The arguments of a `write_file`.
pub(crate) fn file(path: &str, content: &str) -> Value {
    json!({"path": path, "content": content})
}

/// Every file below a directory.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path()),
            _ => vec![entry.path()],
        })
        .collect()
}
