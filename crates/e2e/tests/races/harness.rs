//! Several processes with one hub and one database: each has its own data directory, whose hubs directory is a link to the
//! shared one.

use crate::process::Process;
use e2e::{done, eventually, plan};
use serde_json::json;
use sim_llm::{Options, Rule, Scenario, Server};
use sqlx::PgPool;
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use store::testing::TestDatabase;

/// The shortest lease that a process still trusts with two seconds left.
const LEASE_S: u32 = 4;
const SUITE: &str = "echo 1..1\ntest -f shared || exit 1\necho 'ok 1 - whole'\n";

/// The shared environment of all processes.
pub(crate) struct Harness {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) database: TestDatabase,
    pub(crate) model: Server,
    pub(crate) repository: PathBuf,
    /// Where the authoritative hub is.
    hubs: PathBuf,
    /// Whether each process has its own copy, as on machines without a shared disk.
    apart: bool,
}

impl Harness {
    /// Two parallel tasks and one after them; each model call takes this long.
    pub(crate) async fn open(latency_ms: u64) -> Self {
        Self::build(latency_ms, false).await
    }

    /// The same, with processes on separate machines, which share a database and a remote.
    pub(crate) async fn open_apart(latency_ms: u64) -> Self {
        Self::build(latency_ms, true).await
    }

    async fn build(latency_ms: u64, apart: bool) -> Self {
        let directory = e2e::directory();
        let edges: [(&str, &[&str]); 3] = [("one", &[]), ("two", &[]), ("three", &["one", "two"])];
        let mut rules = vec![Rule::director().json(&plan(&edges))];
        for key in ["one", "two", "three"] {
            let file = json!({"path": format!("work/{key}"), "content": format!("{key}\n")});
            rules.push(
                Rule::worker(key)
                    .latency_ms(latency_ms)
                    .call("write_file", file)
                    .call("finish", done()),
            );
        }
        let model = Server::start(Scenario::from_rules(rules), Options::default())
            .await
            .unwrap();
        let files = [("README.md", "read me\n"), ("test.sh", SUITE), ("shared", "one\n")];
        let repository = e2e::repository(&directory.path().join("repository"), &files);
        let hubs = directory.path().join("hubs");
        std::fs::create_dir_all(&hubs).unwrap();
        std::fs::create_dir_all(directory.path().join("signals")).unwrap();
        let mut text = format!(
            "[calls]\nattempts = 2\n[engine]\nlease_s = {LEASE_S}\nheartbeat_s = 1\nworkers = 3\n[sandbox]\nextra_read_only = [{:?}]\n",
            directory.path().join("signals")
        );
        if apart {
            text += &format!("[hubs]\naddress = \"file://{}/{{hub}}\"\n", hubs.display());
        }
        std::fs::write(directory.path().join("orchestrator.toml"), text).unwrap();
        Self {
            hubs,
            apart,
            database: store::testing::database().await,
            directory,
            model,
            repository,
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    /// Starts a server with this name; strace stops it after each of these system calls, if any are given.
    pub(crate) async fn enter(&self, name: &str, stopped_at: &str, environment: &[(&str, &str)]) -> Process {
        self.enter_as("serve", name, stopped_at, environment).await
    }

    /// Starts a remote worker, which has no workspaces.
    pub(crate) async fn enter_worker(&self, name: &str) -> Process {
        self.enter_worker_with(name, &[]).await
    }

    pub(crate) async fn enter_worker_with(&self, name: &str, environment: &[(&str, &str)]) -> Process {
        self.enter_as("worker", name, "", environment).await
    }

    async fn enter_as(&self, command: &str, name: &str, stopped_at: &str, environment: &[(&str, &str)]) -> Process {
        let data_dir = self.directory.path().join(name).join("data");
        std::fs::create_dir_all(&data_dir).unwrap();
        let hubs = data_dir.join("hubs");
        if !self.apart && !hubs.exists() {
            std::os::unix::fs::symlink(&self.hubs, &hubs).unwrap();
        }
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join(name).join("log"))
            .unwrap();
        let environment: Vec<(String, String)> = [
            ("DATABASE_URL".to_owned(), self.database.url()),
            (
                "ORCHESTRATOR_CONFIG".to_owned(),
                self.directory.path().join("orchestrator.toml").display().to_string(),
            ),
        ]
        .into_iter()
        .chain(
            environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
        .collect();
        Process::start(command, data_dir, &self.model.base_url(), stopped_at, environment, log).await
    }

    /// Waits for a row.
    pub(crate) async fn fact(&self, what: &str, query: &'static str) {
        eventually(what, || async {
            sqlx::query(query).fetch_optional(self.pool()).await.unwrap()
        })
        .await;
    }

    pub(crate) async fn holds(&self, query: &'static str) -> bool {
        sqlx::query(query).fetch_optional(self.pool()).await.unwrap().is_some()
    }

    /// Everything that a process could change: rows (except the processes' own), references, the checkout. Without the
    /// ledger, because a late answer still records its real cost.
    pub(crate) async fn fingerprint(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let tables: Vec<String> = sqlx::query_scalar(
            "select table_name::text from information_schema.tables
             where table_schema = 'public' and table_name not in
                 ('process', 'lease', 'model_call', 'budget', '_sqlx_migrations')",
        )
        .fetch_all(self.pool())
        .await
        .unwrap();
        for table in tables {
            let query = format!("select coalesce(string_agg(t::text, chr(10) order by t::text), '') from {table} t");
            let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
                .fetch_one(self.pool())
                .await
                .unwrap();
            found.insert(table, rows);
        }
        let references = ["for-each-ref", "--format=%(refname) %(objectname)"];
        for place in [self.hub(), self.repository.clone()] {
            for line in e2e::git(&place, &references).lines() {
                let (name, at) = line.split_once(' ').unwrap();
                found.insert(format!("{} {name}", place.display()), at.to_owned());
            }
        }
        found.insert(
            "status".into(),
            e2e::git(&self.repository, &["status", "--porcelain", "--ignored"]),
        );
        found
    }

    pub(crate) fn hub(&self) -> PathBuf {
        let entries = std::fs::read_dir(&self.hubs).unwrap().flatten();
        let mut hubs = entries.map(|entry| entry.path());
        hubs.find(|path| path.extension().is_some_and(|ending| ending == "git"))
            .unwrap()
    }

    /// Asserts that the branch has each task's work once, everything is consistent, and it is delivered.
    pub(crate) async fn assert_whole(&self) {
        let contradictions = e2e::truth::contradictions(self.pool()).await;
        assert!(contradictions.is_empty(), "{contradictions:?}\n{}", self.log());
        let (state, short): (String, String) = sqlx::query_as("select state, branch from run")
            .fetch_one(self.pool())
            .await
            .unwrap();
        assert_eq!(state, "complete", "{}", self.log());
        let (delivered, landed) = (self.repository.clone(), self.hub());
        for place in [&delivered, &landed] {
            let subjects = e2e::git(
                place,
                &[
                    "log",
                    "--format=%(trailers:key=Task,valueonly,separator=%x2C) %P",
                    &short,
                ],
            );
            for key in ["one", "two", "three"] {
                let of_task = subjects.lines().filter(|line| line.split(' ').next() == Some(key));
                let merges: Vec<bool> = of_task.map(|line| line.split(' ').count() > 2).collect();
                assert_eq!(merges.iter().filter(|merge| **merge).count(), 1, "{key}\n{subjects}");
                assert_eq!(merges.len(), 2, "{key}\n{subjects}");
            }
            assert_eq!(e2e::git(place, &["rev-list", "--count", &short]), "7");
            e2e::git(place, &["fsck", "--strict", "--no-dangling"]);
        }
        assert_eq!(
            e2e::git(&delivered, &["rev-parse", "HEAD"]),
            e2e::git(&landed, &["rev-parse", &short])
        );
        assert_eq!(e2e::git(&delivered, &["status", "--porcelain"]), "");
        let committed: Vec<String> = sqlx::query_scalar("select commit from task")
            .fetch_all(self.pool())
            .await
            .unwrap();
        assert_eq!(committed.len(), 3);
    }

    /// A program that a repository runs once, before one of the product's branches moves or is created.
    pub(crate) fn before_the_branch_moves(&self, repository: &Path, program: &str) {
        let armed = self.armed();
        std::fs::write(&armed, "").unwrap();
        let armed = armed.display();
        let text = format!(
            "#!/bin/sh\ncase $1 in refs/heads/orchestrator/*) ;; *) exit 0;; esac\n\
             rm {armed} 2>/dev/null || exit 0\n{program}\nexit 0\n"
        );
        let hook = repository.join("hooks/update");
        std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
        std::fs::write(&hook, text).unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Waits until that program has run.
    pub(crate) async fn branch_moves(&self) {
        let armed = self.armed();
        eventually("the branch is about to move", || async {
            (!armed.exists()).then_some(())
        })
        .await;
    }

    fn armed(&self) -> PathBuf {
        self.directory.path().join("signals/armed")
    }

    /// Adds a remote to which the work is pushed.
    pub(crate) fn remote(&self) -> PathBuf {
        let remote = self.directory.path().join("remote.git");
        e2e::git(self.directory.path(), &["init", "-q", "--bare", "remote.git"]);
        let config = self.directory.path().join("orchestrator.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let own = format!(
            "[workspaces.own]\npath = {:?}\n[workspaces.own.delivery.push]\naddress = {remote:?}\n",
            self.repository
        );
        std::fs::write(&config, text + &own).unwrap();
        remote
    }

    /// The logs of the processes.
    pub(crate) fn log(&self) -> String {
        let names = ["first", "second", "third", "fourth"];
        let read =
            |name: &&str| std::fs::read_to_string(self.directory.path().join(name).join("log")).unwrap_or_default();
        names.iter().map(read).collect::<Vec<_>>().join("\n----\n")
    }
}
