//! The run that is interrupted. A directory becomes a repository. Two tasks change the same line (a model resolves the
//! conflict), add to one log (a rule joins it) and count its lines (a command regenerates the count). A third task removes a
//! file. Everything passes a gate, lands, and is delivered, pushed and turned into a pull request.

use crate::strace::{Doomed, KillPoint, Watched};
use domain::RunId;
use e2e::{done, eventually, plan};
use serde_json::{Value, json};
use sim_llm::{Options, Rule, Scenario, Server};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use store::testing::TestDatabase;

/// The idempotency key, so that repeated submissions are one run.
const KEY: &str = "the-one-submission";
/// How often a fact is polled.
const LOOK: Duration = Duration::from_millis(3);
/// A gate that passes if the files are consistent, at any point of the run.
const SUITE: &str = "echo 1..1\ngrep -qx one shared && ! grep -q '<<<' shared && echo 'ok 1 - whole' && exit 0\n\
                     echo 'not ok 1 - whole'\nexit 1\n";

/// The environment of one run: data directory, repository, database, model.
pub(crate) struct Stage {
    directory: tempfile::TempDir,
    pub(crate) database: TestDatabase,
    pub(crate) model: Server,
    pub(crate) repository: PathBuf,
    /// The remote to which the branch is pushed, if any.
    pub(crate) remote: Option<PathBuf>,
    /// The shared hub, if there is one.
    shared: Option<PathBuf>,
    config: PathBuf,
}

/// Where the authoritative hub is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the data directory.
    Own,
    /// In a shared location, with a copy in the data directory.
    Shared,
}

/// A forge command that stores one line per pull request.
const FORGE: &str = "case $1 in\nfind) sed -n \"s|^$2 ||p\" \"$0.list\" 2>/dev/null || true;;\n\
                     create) echo \"$2 https://forge.example/1\" >> \"$0.list\"; echo https://forge.example/1;;\nesac\n";

impl Stage {
    pub(crate) async fn set(kill_point: KillPoint, place: Place) -> Self {
        let directory = e2e::directory();
        let database = store::testing::database().await;
        let model = Server::start(three_tasks(), Options::default()).await.unwrap();
        let files = [
            ("README.md", "read me\n"),
            ("test.sh", SUITE),
            ("shared", "one\ntwo\nthree\n"),
            ("old", "goes away\n"),
            ("log.jsonl", "begun\n"),
            ("lines", "1\n"),
        ];
        let repository = directory.path().join("repository");
        std::fs::create_dir(&repository).unwrap();
        for (name, text) in files {
            std::fs::write(repository.join(name), text).unwrap();
        }
        let (config, prices) = (
            directory.path().join("orchestrator.toml"),
            directory.path().join("prices.toml"),
        );
        std::fs::write(&prices, "[models.\"scripted\"]\ninput = 1.0\noutput = 2.0\n").unwrap();
        let mut text = format!(
            "[engine]\nlease_s = 600\nworkers = 3\n[limits]\ncrashes = 50\n[models]\nprices = {prices:?}\n\
             [[merge.generated]]\nfiles = \"log.jsonl\"\nunion = true\n\
             [[merge.generated]]\nfiles = \"lines\"\ncommand = \"grep -c . log.jsonl > lines\"\n"
        );
        // A program killed within the remote leaves a lock file there, which the remote must remove.
        let is_spared = !matches!(kill_point, KillPoint::BeforeRename(_));
        let remote = is_spared.then(|| directory.path().join("remote.git"));
        let shared = (is_spared && place == Place::Shared).then(|| directory.path().join("shared"));
        if let Some(shared) = &shared {
            text = format!("[hubs]\naddress = \"{}/{{hub}}\"\n{text}", shared.display());
        }
        if let Some(remote) = &remote {
            e2e::git(directory.path(), &["init", "-q", "--bare", "remote.git"]);
            let forge = directory.path().join("forge.sh");
            std::fs::write(&forge, FORGE).unwrap();
            text += &format!(
                "[workspaces.own]\npath = {repository:?}\n[workspaces.own.delivery.push]\naddress = {remote:?}\n\
                 [workspaces.own.delivery.pull_request]\nfind = [\"sh\", {forge:?}, \"find\", \"{{branch}}\"]\n\
                 create = [\"sh\", {forge:?}, \"create\", \"{{branch}}\"]\nbase = \"main\"\n"
            );
        }
        std::fs::write(&config, text).unwrap();
        Self {
            directory,
            database,
            model,
            repository,
            remote,
            shared,
            config,
        }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.data_dir().with_extension("log")).unwrap_or_default()
    }

    /// The authoritative hub.
    pub(crate) fn hub(&self) -> PathBuf {
        match &self.shared {
            Some(shared) => crate::truth::hub_in(shared),
            None => self.copy(),
        }
    }

    /// The hub in the data directory.
    pub(crate) fn copy(&self) -> PathBuf {
        crate::truth::hub_in(&self.data_dir().join("hubs"))
    }

    /// The pull requests.
    pub(crate) fn pull_requests(&self) -> Vec<String> {
        let list = std::fs::read_to_string(self.directory.path().join("forge.sh.list")).unwrap_or_default();
        list.lines().map(str::to_owned).collect()
    }

    /// Starts the server, submits the run (which may exist already), and waits until the server or the run ends.
    pub(crate) async fn live(&self, kill_point: KillPoint) -> Watched {
        let url = self.database.url();
        let environment = [
            ("DATABASE_URL", url.as_str()),
            ("ORCHESTRATOR_CONFIG", self.config.to_str().unwrap()),
        ];
        let data_dir = self.data_dir();
        let mut server = Doomed::start(kill_point, &data_dir, &self.model.base_url(), &environment);
        let mut submitted = false;
        let lived = async {
            while !server.is_dead() && !self.ended().await {
                match published(&data_dir) {
                    Some(address) if !submitted => submitted = submit(&address, &self.repository).await,
                    Some(_) | None => tokio::time::sleep(LOOK).await,
                }
            }
        };
        assert!(
            tokio::time::timeout(e2e::TIMEOUT / 2, lived).await.is_ok(),
            "{kill_point:?}: neither the run nor the server ends\n{}\n{}\n{}",
            server.at(),
            self.log(),
            self.events().await
        );
        server.end().await
    }

    /// Runs a server until the run has ended and its leftovers are removed, then kills it.
    pub(crate) async fn live_to_the_end(&self) -> RunId {
        let url = self.database.url();
        let environment = [
            ("DATABASE_URL", url.as_str()),
            ("ORCHESTRATOR_CONFIG", self.config.to_str().unwrap()),
        ];
        let data_dir = self.data_dir();
        let mut server = Doomed::start(KillPoint::Spared, &data_dir, &self.model.base_url(), &environment);
        let mut submitted = false;
        let lived = async {
            while !submitted || !self.ended().await {
                assert!(!server.is_dead(), "the server does not start again\n{}", self.log());
                match published(&data_dir) {
                    Some(address) if !submitted => submitted = submit(&address, &self.repository).await,
                    Some(_) | None => tokio::time::sleep(LOOK).await,
                }
            }
        };
        assert!(
            tokio::time::timeout(e2e::TIMEOUT / 2, lived).await.is_ok(),
            "the run does not end\n{}",
            self.log()
        );
        // A lease of an ended process is void.
        let free = "select 1 where not exists (select 1 from lease l join process p on p.id = l.process
             and p.epoch = l.epoch and p.expires_at >= now())";
        eventually("the branch's lease is given back", || async {
            sqlx::query(free).fetch_optional(self.database.pool()).await.unwrap()
        })
        .await;
        let worktrees = data_dir.join("worktrees");
        let cleared = async {
            while std::fs::read_dir(&worktrees).unwrap().next().is_some() {
                tokio::time::sleep(LOOK).await;
            }
        };
        // `truth` checks what remains.
        drop(tokio::time::timeout(Duration::from_secs(5), cleared).await);
        server.end().await;
        let run: uuid::Uuid = sqlx::query_scalar("select id from run")
            .fetch_one(self.database.pool())
            .await
            .unwrap();
        RunId(run)
    }

    /// The log of the run, for the message of a test that failed.
    async fn events(&self) -> String {
        let lines: Vec<String> =
            sqlx::query_scalar("select seq || ' ' || kind || ' ' || data::text from event order by seq")
                .fetch_all(self.database.pool())
                .await
                .unwrap();
        lines.join("\n")
    }

    async fn ended(&self) -> bool {
        sqlx::query_scalar("select exists (select 1 from run where ended_at is not null)")
            .fetch_one(self.database.pool())
            .await
            .unwrap()
    }
}

/// The server's address, once it is published.
fn published(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join("server.json")).ok()?;
    let published: Value = serde_json::from_str(&text).ok()?;
    published["address"].as_str().map(str::to_owned)
}

/// Whether the server has accepted the run, now or before.
async fn submit(address: &str, workspace: &Path) -> bool {
    let model = json!({"provider": "openai", "model_name": "scripted"});
    let body = json!({
        "objective": "Do what the plan says",
        "workspace_path": workspace,
        "initialise": true,
        "orch_config": {"director_model": model, "worker_model": model, "check": "sh test.sh"},
    });
    let request = reqwest::Client::new()
        .post(format!("{address}/runs"))
        .header("idempotency-key", KEY)
        .json(&body);
    match request.send().await {
        Ok(answer) if answer.status().is_success() => true,
        Ok(answer) => panic!("{}", answer.text().await.unwrap_or_default()),
        // It was killed meanwhile.
        Err(_) => false,
    }
}

fn three_tasks() -> Scenario {
    let edges: [(&str, &[&str]); 3] = [("left", &[]), ("right", &[]), ("last", &["left", "right"])];
    let both = json!({
        "decision": "replace", "text": "two left\ntwo right\n", "reason": "both", "dropped_lines": []
    });
    let work = |key: &str, command: Value| Rule::worker(key).call("shell", command).call("finish", done());
    Scenario::from_rules(vec![
        Rule::director().json(&plan(&edges)),
        Rule::resolver("*").json(&both),
        work("left", change_line("left", "right")),
        work("right", change_line("right", "left")),
        work(
            "last",
            json!({"command": "rm -f old; mkdir -p work; echo last > work/last"}),
        ),
    ])
}

/// Changes the second line once, whether or not the other task has. Without `sed -i`, whose `rename` would count as one of
/// the server's.
fn change_line(own: &str, other: &str) -> Value {
    let script = format!("-e 's/^two$/two {own}/' -e 's/^two {other}$/two left\\ntwo right/'");
    let command = format!(
        "grep -qx 'two {own}' shared || {{ text=$(sed {script} shared); printf '%s\\n' \"$text\" > shared; }}; \
         grep -qx {own} log.jsonl || {{ echo {own} >> log.jsonl; echo 2 {own} > lines; }}"
    );
    json!({ "command": command })
}
