//! A real engine on a real Postgres, real repositories and a scripted model behind real HTTP.
#![allow(dead_code, reason = "each file of tests uses its part")]

use agents::worker::WorkerBackend;
use domain::{RunId, gate::GateReport, run::RunState};
use engine::{Engine, LimitOverrides, ModelRef, NewRun, Settings, SubmitError, Submitted, view::MergeView};
use llm::{Models, Provider};
use serde_json::{Value, json};
pub(crate) use sim_llm::answers::{done, plan};
use sim_llm::{Options, Scenario, Server};
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};
use store::testing::TestDatabase;

/// How long a run may take before a test gives up on it.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// Settings of a test's own.
pub(crate) type Changed = Box<dyn Fn(&mut Settings) + Send + Sync>;

/// Parts of a test's own.
#[derive(Default)]
pub(crate) struct Parts {
    /// The worker, where it is not the product's own.
    pub(crate) worker: Option<Arc<dyn WorkerBackend>>,
    /// The slots of the provider `scripted`. The provider `unlimited` leads to the same server.
    pub(crate) provider_slots: Option<NonZeroUsize>,
}

/// Everything a test needs.
pub(crate) struct Harness {
    /// What is set differently, from the next start on.
    pub(crate) changed: Changed,
    pub(crate) parts: Parts,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) database: TestDatabase,
    pub(crate) model: Server,
    pub(crate) engine: Engine,
}

impl Harness {
    pub(crate) async fn open(scenario: Scenario) -> Self {
        Self::open_with(scenario, |_| ()).await
    }

    /// With settings of its own.
    pub(crate) async fn open_with(scenario: Scenario, changed: impl Fn(&mut Settings) + Send + Sync + 'static) -> Self {
        Self::open_with_parts(scenario, changed, Parts::default()).await
    }

    /// With parts of its own.
    pub(crate) async fn open_with_parts(
        scenario: Scenario,
        changed: impl Fn(&mut Settings) + Send + Sync + 'static,
        parts: Parts,
    ) -> Self {
        let changed: Changed = Box::new(changed);
        let directory = tempfile::tempdir().unwrap();
        let database = store::testing::database().await;
        let model = Server::start(scenario, Options::default()).await.unwrap();
        let engine = start(directory.path(), &database, &model, &changed, &parts).await;
        Self {
            changed,
            parts,
            directory,
            database,
            model,
            engine,
        }
    }

    /// Another life of the same process, as after a restart.
    pub(crate) async fn reopen(&mut self) {
        self.engine.drain().await;
        let directory = self.directory.path();
        self.engine = start(directory, &self.database, &self.model, &self.changed, &self.parts).await;
    }

    /// A repository with these files, committed on `main`.
    pub(crate) fn repository(&self, files: &[(&str, &str)]) -> PathBuf {
        let path = self.directory.path().join("repository");
        for (name, text) in files {
            let file = path.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        git(&path, &["init", "-q", "-b", "main"]);
        git(&path, &["add", "-A"]);
        git(
            &path,
            &[
                "-c",
                "user.name=U",
                "-c",
                "user.email=u@localhost",
                "commit",
                "-q",
                "-m",
                "first",
            ],
        );
        path
    }

    pub(crate) async fn submit(&self, workspace: &Path, check: Option<&str>) -> Submitted {
        self.submit_with(workspace, check, LimitOverrides::default())
            .await
            .unwrap()
    }

    pub(crate) async fn submit_with(
        &self,
        workspace: &Path,
        check: Option<&str>,
        limits: LimitOverrides,
    ) -> Result<Submitted, SubmitError> {
        self.engine.submit(Self::request(workspace, check, limits)).await
    }

    /// A run whose director and workers are on the provider `scripted`.
    pub(crate) fn request(workspace: &Path, check: Option<&str>, limits: LimitOverrides) -> NewRun {
        let model = ModelRef::new("scripted", "scripted");
        NewRun {
            objective: "Do what the plan says".into(),
            workspace: workspace.to_path_buf(),
            initialise: false,
            director: Some(model.clone()),
            worker: Some(model),
            check: check.map(str::to_owned),
            limits,
            idempotency_key: None,
            allow_integrity_flags: None,
        }
    }

    /// Waits for the run to end, and returns its state and, in words, why.
    pub(crate) async fn end(&self, run: RunId) -> (RunState, String) {
        let ended = async {
            loop {
                let detail = self.engine.views().run(run).await.unwrap().unwrap();
                if detail.summary.state.is_final() {
                    let reason = detail.summary.reason.map(|reason| reason.message);
                    return (detail.summary.state, reason.unwrap_or_default());
                }
                self.engine.changed(run, detail.last_event).await;
            }
        };
        match tokio::time::timeout(TIMEOUT, ended).await {
            Ok(ended) => ended,
            Err(_) => panic!("the run did not end; its log:\n{}", self.log(run).await),
        }
    }

    /// The run's log, a line each.
    pub(crate) async fn log(&self, run: RunId) -> String {
        let page = self.engine.views().events(run, 0, 1_000).await.unwrap().unwrap();
        let lines = page
            .events
            .iter()
            .map(|event| format!("{} {} {}", event.seq, event.kind, event.data));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// How often an attempt's model was asked for a task.
    pub(crate) fn calls_for(&self, task: &str) -> usize {
        self.model
            .journal()
            .iter()
            .filter(|entry| entry.task.as_deref() == Some(task))
            .count()
    }

    /// That every request the product sent was one a provider takes.
    pub(crate) fn assert_requests_were_sound(&self) {
        let violations: Vec<_> = self
            .model
            .journal()
            .into_iter()
            .flat_map(|entry| entry.violations)
            .collect();
        assert!(violations.is_empty(), "{violations:?}");
    }

    /// That counters and log of every run are what the rows say.
    pub(crate) async fn assert_rows_agree(&self) {
        let wrong: Vec<String> = sqlx::query_scalar(
            "select r.id::text || ': ' || r.state from run r where
               r.open <> (select count(*) from task t where t.run = r.id and t.ended_at is null)
               or r.active <> (select count(*) from task t where t.run = r.id and t.state = 'active')
               or r.ready <> (select count(*) from task t where t.run = r.id and t.state = 'ready')
               or r.event_seq <> (select count(*) from event e where e.run = r.id)
               or r.event_seq <> (select coalesce(max(seq), 0) from event e where e.run = r.id)",
        )
        .fetch_all(self.database.pool())
        .await
        .unwrap();
        assert!(wrong.is_empty(), "counters or log differ from the rows: {wrong:?}");
    }
}

async fn start(directory: &Path, database: &TestDatabase, model: &Server, changed: &Changed, parts: &Parts) -> Engine {
    // A second call finds it installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    let data_dir = directory.join("data");
    std::fs::create_dir_all(&data_dir).unwrap();
    let unlimited = Provider::new(model.base_url(), None);
    let mut scripted = unlimited.clone();
    scripted.concurrency = parts.provider_slots.unwrap_or(scripted.concurrency);
    let providers = BTreeMap::from([("scripted".to_owned(), scripted), ("unlimited".to_owned(), unlimited)]);
    let models = Models::new(llm::Settings::new(providers).unwrap()).unwrap();
    let sandbox = sandbox::Sandbox::probe(sandbox::Tier::Bubblewrap, sandbox::Settings::default())
        .await
        .unwrap();
    let mut settings = Settings {
        slots: 4,
        poll: Duration::from_millis(200),
        ..Settings::at(data_dir)
    };
    changed(&mut settings);
    let (models, sandbox) = (Arc::new(models), Arc::new(sandbox));
    let started = match parts.worker.clone() {
        None => Engine::start(settings, database.store(), models, sandbox).await,
        Some(worker) => Engine::start_with_worker(settings, database.store(), models, sandbox, worker).await,
    };
    started.unwrap()
}

/// The gate's report on a merge.
pub(crate) fn report(merge: &MergeView) -> &GateReport {
    let gate = merge.gate.as_ref().expect("the gate has run");
    gate.read().unwrap_or_else(|| panic!("{gate:?}"))
}

/// Runs git in a repository and returns what it printed.
pub(crate) fn git(path: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").current_dir(path).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The arguments of a `write_file`.
pub(crate) fn file(path: &str, content: &str) -> Value {
    json!({"path": path, "content": content})
}
