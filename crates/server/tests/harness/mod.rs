//! A real server over a real engine, database and scripted model, asked over real HTTP.

use api::{Client, ModelChoice, NewRun, OrchConfig};
use engine::{Engine, ModelRef};
use llm::{Models, Provider};
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::Value;
use server::Settings;
use sim_llm::{Options, Scenario};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use store::testing::TestDatabase;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Harness {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) database: TestDatabase,
    pub(crate) client: Client,
    pub(crate) address: String,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
    http: reqwest::Client,
    _model: sim_llm::Server,
}

impl Harness {
    pub(crate) async fn open(scenario: Scenario) -> Self {
        Self::open_with(scenario, Settings::default()).await
    }

    pub(crate) async fn open_with(scenario: Scenario, settings: Settings) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let directory = tempfile::tempdir().unwrap();
        let database = store::testing::database().await;
        let model = sim_llm::Server::start(scenario, Options::default()).await.unwrap();
        let engine = start(directory.path().join("data"), &database, &model).await;
        let listener = server::bind("127.0.0.1:0".parse().unwrap(), &settings).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server::serve(listener, engine, settings, stop.clone()));
        Self {
            directory,
            database,
            client: Client::new(&address, None).unwrap(),
            http: reqwest::Client::builder()
                .tls_certs_only([])
                .no_proxy()
                .build()
                .unwrap(),
            address,
            stop,
            serving,
            _model: model,
        }
    }

    /// The body of a request for a run on a path that does not exist yet.
    pub(crate) fn new_run(&self) -> NewRun {
        let model = || {
            Some(ModelChoice {
                provider: "scripted".into(),
                model_name: "scripted".into(),
            })
        };
        NewRun {
            objective: "Do what the plan says".into(),
            workspace_path: self.directory.path().join("workspace").display().to_string(),
            initialise: false,
            orch_config: OrchConfig {
                director_model: model(),
                worker_model: model(),
                ..OrchConfig::default()
            },
        }
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.ask(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<String>) -> Answer {
        let request = self
            .ask(Method::POST, path)
            .header("Content-Type", "application/json")
            .body(body.into());
        answer(request).await
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The problem of a refusal: its status, its kind, the field and the value.
    pub(crate) fn problem(&self) -> (u16, String, Option<String>, Option<Value>) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let problem: api::Problem = serde_json::from_str(&self.text).unwrap();
        assert_eq!(problem.status, self.status);
        assert!(!problem.detail.is_empty() && !problem.title.is_empty());
        (self.status, problem.name().to_owned(), problem.field, problem.value)
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

async fn start(data_dir: PathBuf, database: &TestDatabase, model: &sim_llm::Server) -> Engine {
    std::fs::create_dir_all(&data_dir).unwrap();
    let providers = BTreeMap::from([("scripted".to_owned(), Provider::new(model.base_url(), None))]);
    let models = Models::new(llm::Settings::new(providers).unwrap()).unwrap();
    let sandbox = sandbox::Sandbox::probe(sandbox::Tier::None, sandbox::Settings::default())
        .await
        .unwrap();
    let settings = engine::Settings {
        slots: 4,
        worker: Some(ModelRef::new("scripted", "scripted")),
        poll: Duration::from_millis(200),
        ..engine::Settings::at(data_dir)
    };
    Engine::start(settings, database.store(), Arc::new(models), Arc::new(sandbox))
        .await
        .unwrap()
}
