//! Several processes on one hub and one database: each has a data directory of its own, in which the directory of hubs is
//! a link to the one that all share.

use e2e::{done, eventually, plan, signal};
use rustix::process::Signal;
use serde_json::json;
use sim_llm::{Options, Rule, Scenario, Server};
use sqlx::PgPool;
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};
use store::testing::TestDatabase;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
};

/// The shortest lease that a process trusts with two seconds left.
const LEASE_S: u32 = 4;
const SUITE: &str = "echo 1..1\ntest -f shared || exit 1\necho 'ok 1 - whole'\n";

/// What all processes share.
pub(crate) struct Harness {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) database: TestDatabase,
    pub(crate) model: Server,
    pub(crate) repository: PathBuf,
    /// Where the hub is that counts.
    hubs: PathBuf,
    /// Whether each process has a copy of it, as on machines that share no disk.
    apart: bool,
}

/// One of the processes.
pub(crate) struct Resident {
    pub(crate) data_dir: PathBuf,
    child: Child,
    /// What strace says, where it runs there.
    lines: Option<Lines<BufReader<ChildStdout>>>,
    pid: Option<u32>,
}

impl Harness {
    /// Two tasks at once and one after them; each model call takes so long.
    pub(crate) async fn open(latency_ms: u64) -> Self {
        Self::build(latency_ms, false).await
    }

    /// The same, with the processes on machines of their own: they share a database and a remote.
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

    /// A process of that name, which strace stops after each of these calls to the system, where any are given.
    pub(crate) async fn enter(&self, name: &str, stopped_at: &str, environment: &[(&str, &str)]) -> Resident {
        self.enter_as("serve", name, stopped_at, environment).await
    }

    /// One that lends a hand: it has no workspaces.
    pub(crate) async fn enter_worker(&self, name: &str) -> Resident {
        self.enter_worker_with(name, &[]).await
    }

    pub(crate) async fn enter_worker_with(&self, name: &str, environment: &[(&str, &str)]) -> Resident {
        self.enter_as("worker", name, "", environment).await
    }

    async fn enter_as(&self, command: &str, name: &str, stopped_at: &str, environment: &[(&str, &str)]) -> Resident {
        let data_dir = self.directory.path().join(name).join("data");
        std::fs::create_dir_all(&data_dir).unwrap();
        let hubs = data_dir.join("hubs");
        if !self.apart && !hubs.exists() {
            std::os::unix::fs::symlink(&self.hubs, &hubs).unwrap();
        }
        let (trace, inject) = (
            format!("trace={stopped_at}"),
            format!("inject={stopped_at}:signal=STOP"),
        );
        let traced = ["strace", "-f", "-o", "/dev/stdout", "-e", &trace, "-e", &inject];
        let by = if stopped_at.is_empty() { &[][..] } else { &traced[..] };
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join(name).join("log"))
            .unwrap();
        e2e::forget_address(&data_dir);
        let mut child = e2e::process(by, command, &data_dir, &self.model.base_url())
            .env("DATABASE_URL", self.database.url())
            .env("ORCHESTRATOR_CONFIG", self.directory.path().join("orchestrator.toml"))
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{error}: is strace installed? On Debian: sudo apt-get install strace"));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut resident = Resident {
            data_dir,
            pid: child.id().filter(|_| by.is_empty()),
            child,
            lines: (!by.is_empty()).then_some(lines),
        };
        resident.come_up().await;
        resident.pid = published(&resident.data_dir.join("server.json"))["pid"]
            .as_u64()
            .and_then(|pid| u32::try_from(pid).ok());
        resident
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

    /// Everything that a process could change: rows but the processes' own, references, the checkout. The ledger is not
    /// in it: an answer that is heard late says what was spent in truth.
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

    /// The branch has each task's work once, everything agrees, and it is delivered.
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

    /// A program that a repository runs before a branch of ours in it moves or is made, once.
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

    /// Waits until that program was run.
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

    /// Lets the work be pushed to a repository as well.
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

    /// What the processes said.
    pub(crate) fn log(&self) -> String {
        let names = ["first", "second", "third", "fourth"];
        let read =
            |name: &&str| std::fs::read_to_string(self.directory.path().join(name).join("log")).unwrap_or_default();
        names.iter().map(read).collect::<Vec<_>>().join("\n----\n")
    }
}

impl Resident {
    pub(crate) async fn submit(&self, repository: &Path, check: &str) {
        let address = address(&self.data_dir.join("server.json")).unwrap();
        e2e::submit(&address, repository, Some(check)).await.unwrap();
    }

    /// What it answers where it takes no run.
    pub(crate) async fn refused(&self, repository: &Path) -> String {
        let address = address(&self.data_dir.join("server.json")).unwrap();
        let body = json!({"objective": "Do it", "workspace_path": repository});
        let answer = reqwest::Client::new()
            .post(format!("{address}/runs"))
            .json(&body)
            .send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 503);
        answer.text().await.unwrap()
    }

    /// Lets it give up what ended runs left, however lately.
    pub(crate) async fn clean(&self) -> serde_json::Value {
        let address = address(&self.data_dir.join("server.json")).unwrap();
        let body = json!({"older_than_days": 0});
        let answer = reqwest::Client::new()
            .post(format!("{address}/clean"))
            .json(&body)
            .send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.unwrap()
    }

    /// Submits while it goes on from stop to stop.
    pub(crate) fn submitting(&self, repository: &Path, check: &str) {
        let address = address(&self.data_dir.join("server.json")).unwrap();
        let (repository, check) = (repository.to_owned(), check.to_owned());
        tokio::spawn(async move { e2e::submit(&address, &repository, Some(&check)).await });
    }

    /// Lets it go on from stop to stop until it serves.
    async fn come_up(&mut self) {
        let published = self.data_dir.join("server.json");
        let serves = eventually("the server is there", || async { address(&published) });
        tokio::pin!(serves);
        loop {
            tokio::select! {
                _ = &mut serves => return,
                thread = next_stop(self.lines.as_mut()) => signal(thread, Signal::CONT),
            }
        }
    }

    /// Lets it go on from stop to stop until something holds; then it stands still.
    pub(crate) async fn step_until(&mut self, mut holds: impl AsyncFnMut() -> bool) {
        let stepping = async {
            loop {
                let thread = next_stop(self.lines.as_mut()).await;
                if holds().await {
                    return;
                }
                signal(thread, Signal::CONT);
            }
        };
        tokio::time::timeout(e2e::TIMEOUT, stepping)
            .await
            .expect("the server comes to its point");
    }

    pub(crate) fn stop(&self) {
        signal(self.pid.unwrap(), Signal::STOP);
    }

    /// Wakes it. From now on nothing stops it: what strace still says is read by nobody but this.
    pub(crate) fn wake(&mut self) {
        let pid = self.pid.unwrap();
        if let Some(mut lines) = self.lines.take() {
            tokio::spawn(async move {
                loop {
                    signal(next_stop(Some(&mut lines)).await, Signal::CONT);
                }
            });
        }
        signal(pid, Signal::CONT);
    }

    /// Waits until it has said so often that it lives: whatever it woke up in is over by then, or was refused.
    pub(crate) async fn beats(&self, harness: &Harness, times: usize) {
        let mut last = String::new();
        let pid = i32::try_from(self.pid.unwrap()).unwrap();
        for _ in 0..times {
            last = eventually("the process says that it lives", || async {
                let said: String =
                    sqlx::query_scalar("select expires_at::text from process where pid = $1 and expires_at > now()")
                        .bind(pid)
                        .fetch_optional(harness.pool())
                        .await
                        .unwrap()?;
                (said != last).then_some(said)
            })
            .await;
        }
        let worktrees = self.data_dir.join("worktrees");
        eventually("its worktrees are cleared away", || async {
            std::fs::read_dir(&worktrees).unwrap().next().is_none().then_some(())
        })
        .await;
    }

    pub(crate) async fn leave(mut self) {
        if let Some(pid) = self.pid.take() {
            signal(pid, Signal::KILL);
        }
        self.child.kill().await.unwrap();
    }
}

impl Drop for Resident {
    /// strace does not take its process along.
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            signal(pid, Signal::KILL);
        }
    }
}

/// The thread that was stopped next. Where nothing stops it, or it has ended: never.
async fn next_stop(lines: Option<&mut Lines<BufReader<ChildStdout>>>) -> u32 {
    if let Some(lines) = lines {
        while let Ok(Some(line)) = lines.next_line().await {
            let stopped = line
                .split_once(' ')
                .filter(|(_, said)| said.contains("stopped by SIGSTOP"));
            if let Some(thread) = stopped.and_then(|(thread, _)| thread.parse().ok()) {
                return thread;
            }
        }
    }
    std::future::pending().await
}

fn published(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn address(path: &Path) -> Option<String> {
    published(path)["address"].as_str().map(str::to_owned)
}
