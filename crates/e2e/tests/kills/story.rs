//! The story that is cut short: two tasks that change the same line, a model that resolves it, and a third that takes
//! a file away; each behind a gate, landed, delivered.

use crate::strace::{Blow, Doomed, Watched};
use domain::RunId;
use e2e::{done, eventually, plan};
use serde_json::{Value, json};
use sim_llm::{Options, Rule, Scenario, Server};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use store::testing::TestDatabase;

/// One submission, however often it is said.
const KEY: &str = "the-one-submission";
/// How often a fact is looked for.
const LOOK: Duration = Duration::from_millis(3);
/// Passes where the files agree with each other, at any point of the story.
const SUITE: &str = "echo 1..1\ngrep -qx one shared && ! grep -q '<<<' shared && echo 'ok 1 - whole' && exit 0\n\
                     echo 'not ok 1 - whole'\nexit 1\n";

/// A place of its own for one run: data directory, repository, database, model.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
    pub(crate) database: TestDatabase,
    pub(crate) model: Server,
    pub(crate) repository: PathBuf,
    config: PathBuf,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let folder = e2e::folder();
        let database = store::testing::database().await;
        let model = Server::start(three_tasks(), Options::default()).await.unwrap();
        let files = [
            ("README.md", "read me\n"),
            ("test.sh", SUITE),
            ("shared", "one\ntwo\nthree\n"),
            ("old", "goes away\n"),
        ];
        let repository = e2e::repository(&folder.path().join("repository"), &files);
        let (config, prices) = (
            folder.path().join("orchestrator.toml"),
            folder.path().join("prices.toml"),
        );
        std::fs::write(&prices, "[models.\"scripted\"]\ninput = 1.0\noutput = 2.0\n").unwrap();
        let text =
            format!("[engine]\nlease_s = 600\nworkers = 3\n[limits]\ncrashes = 50\n[models]\nprices = {prices:?}\n");
        std::fs::write(&config, text).unwrap();
        Self {
            folder,
            database,
            model,
            repository,
            config,
        }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.data_dir().with_extension("log")).unwrap_or_default()
    }

    /// Starts the server, submits the run, which may be there already, and waits until one of them ends.
    pub(crate) async fn live(&self, blow: Blow) -> Watched {
        let url = self.database.url();
        let environment = [
            ("DATABASE_URL", url.as_str()),
            ("ORCHESTRATOR_CONFIG", self.config.to_str().unwrap()),
        ];
        let data_dir = self.data_dir();
        let mut server = Doomed::start(blow, &data_dir, &self.model.base_url(), &environment);
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
            tokio::time::timeout(e2e::PATIENCE / 2, lived).await.is_ok(),
            "{blow:?}: neither the run nor the server ends\n{}\n{}\n{}",
            server.at(),
            self.log(),
            self.told().await
        );
        server.end().await
    }

    /// Lives on until the run has ended and everything is put away, then dies.
    pub(crate) async fn live_to_the_end(&self) -> RunId {
        let url = self.database.url();
        let environment = [
            ("DATABASE_URL", url.as_str()),
            ("ORCHESTRATOR_CONFIG", self.config.to_str().unwrap()),
        ];
        let data_dir = self.data_dir();
        let mut server = Doomed::start(Blow::Spared, &data_dir, &self.model.base_url(), &environment);
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
            tokio::time::timeout(e2e::PATIENCE / 2, lived).await.is_ok(),
            "the run does not end\n{}",
            self.log()
        );
        // One of a life that is over is void.
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
        // What stays is counted afterwards.
        drop(tokio::time::timeout(Duration::from_secs(5), cleared).await);
        server.end().await;
        let run: uuid::Uuid = sqlx::query_scalar("select id from run")
            .fetch_one(self.database.pool())
            .await
            .unwrap();
        RunId(run)
    }

    /// The log of the run, for the message of a test that failed.
    async fn told(&self) -> String {
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

/// Where the server is, once it has said so.
fn published(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join("server.json")).ok()?;
    let published: Value = serde_json::from_str(&text).ok()?;
    published["address"].as_str().map(str::to_owned)
}

/// Whether the server has taken the run, now or before.
async fn submit(address: &str, workspace: &Path) -> bool {
    let model = json!({"provider": "openai", "model_name": "scripted"});
    let body = json!({
        "objective": "Do what the plan says",
        "workspace_path": workspace,
        "orch_config": {"director_model": model, "worker_model": model, "check": "sh test.sh"},
    });
    let request = reqwest::Client::new()
        .post(format!("{address}/runs"))
        .header("idempotency-key", KEY)
        .json(&body);
    match request.send().await {
        Ok(answer) if answer.status().is_success() => true,
        Ok(answer) => panic!("{}", answer.text().await.unwrap_or_default()),
        // It died over it.
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

/// Changes the second line, whether or not the other has done so, and only once. Without `sed -i`: its `rename` would
/// be taken for one of the server's.
fn change_line(own: &str, other: &str) -> Value {
    let script = format!("-e 's/^two$/two {own}/' -e 's/^two {other}$/two left\\ntwo right/'");
    let command =
        format!("grep -qx 'two {own}' shared || {{ text=$(sed {script} shared); printf '%s\\n' \"$text\" > shared; }}");
    json!({ "command": command })
}
