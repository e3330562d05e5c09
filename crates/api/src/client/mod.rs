//! A typed client of the HTTP interface.

mod error;
mod events;

pub use error::ClientError;
pub use events::EventStream;

use crate::{
    Accepted, CleanRequest, CleanResult, DecidedMerge, DeliverRequest, Health, MergeDetail, MergeList, MergeSummaries,
    NewRun, Problem, Readiness, RejectRequest, ResolveRequest, ReturnRequest, Run, RunPage, TaskDetail, TaskList,
};
use domain::{RunId, merge::MergeState, run::RunState};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The server says something at least every 15 seconds.
const STREAM_SILENCE: Duration = Duration::from_secs(45);
/// How much of an answer that is not understood an error repeats.
const QUOTED_CHARACTERS: usize = 300;

/// A server's address, and the connections to it. Clones share them.
#[derive(Clone, Debug)]
pub struct Client {
    base: Url,
    http: reqwest::Client,
    streams: reqwest::Client,
}

impl Client {
    /// A client of the server at an address such as `http://127.0.0.1:8000`. Nothing is sent yet.
    ///
    /// # Errors
    /// When the address is not one, or the token can't be sent.
    pub fn new(address: &str, token: Option<&str>) -> Result<Self, ClientError> {
        let bad = |problem: String| ClientError::Address {
            address: address.to_owned(),
            problem,
        };
        let mut base = Url::parse(address).map_err(|error| bad(error.to_string()))?;
        if base.cannot_be_a_base() || base.host().is_none() {
            return Err(bad("it names no host".into()));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let mut headers = header::HeaderMap::new();
        if let Some(token) = token {
            let mut value = header::HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| bad("the token holds characters that can't be sent".into()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        // Needed once in a process; whoever was first is as good.
        rustls::crypto::ring::default_provider().install_default().ok();
        let builder = || {
            let builder = reqwest::Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .default_headers(headers.clone())
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("agent-orchestrator/", env!("CARGO_PKG_VERSION")));
            match base.scheme() {
                // Plain HTTP must not need the machine's root certificates, nor its proxy: the server is near.
                "http" => builder.tls_certs_only([]).no_proxy(),
                _ => builder,
            }
        };
        let built = |builder: reqwest::ClientBuilder| builder.build().map_err(|error| bad(error.to_string()));
        Ok(Self {
            http: built(builder().timeout(REQUEST_TIMEOUT))?,
            streams: built(builder().read_timeout(STREAM_SILENCE))?,
            base,
        })
    }

    /// The server's address.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Submits a run. Under the same key a repeat returns the run of the first time.
    ///
    /// # Errors
    /// The server's own problem, or why it could not be asked.
    pub async fn submit(&self, run: &NewRun, idempotency_key: Option<&str>) -> Result<Accepted, ClientError> {
        let mut request = self.request(Method::POST, "runs")?.json(run);
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        self.read(request).await
    }

    /// A page of runs, newest first: those of a state, submitted before another one.
    ///
    /// # Errors
    /// The server's own problem, or why it could not be asked.
    pub async fn runs(
        &self,
        state: Option<RunState>,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<RunPage, ClientError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(state.map(|state| ("state", state.to_string())));
        query.extend(before.map(|run| ("before", run.to_string())));
        let request = self.request(Method::GET, "runs")?;
        let (http, request) = request.build_split();
        let mut request = request.map_err(|error| self.unreachable(error))?;
        request.url_mut().query_pairs_mut().extend_pairs(query);
        self.read(RequestBuilder::from_parts(http, request)).await
    }

    /// A run, by its id or the last digits of it.
    ///
    /// # Errors
    /// The server's own problem, or why it could not be asked.
    pub async fn run(&self, run: &str) -> Result<Run, ClientError> {
        self.get(&["runs", run]).await
    }

    /// The tasks of a run.
    ///
    /// # Errors
    /// The server's own problem, or why it could not be asked.
    pub async fn tasks(&self, run: &str) -> Result<TaskList, ClientError> {
        self.get(&["runs", run, "tasks"]).await
    }

    /// One task with its transcript.
    ///
    /// # Errors
    /// The server's own problem, or why it could not be asked.
    pub async fn task(&self, run: &str, key: &str) -> Result<TaskDetail, ClientError> {
        self.get(&["runs", run, "tasks", key]).await
    }

    /// The merges of a run.
    ///
    /// # Errors
    /// The server's own problem, or why it could not be asked.
    pub async fn merges(&self, run: &str) -> Result<MergeList, ClientError> {
        self.get(&["runs", run, "merges"]).await
    }

    /// Merges of all runs, newest first: those of a state.
    ///
    /// # Errors
    /// The server's own problem, or why it could not be asked.
    pub async fn merge_summaries(&self, state: Option<MergeState>, limit: u32) -> Result<MergeSummaries, ClientError> {
        let mut url = self.url(&["merges"])?;
        let mut query = vec![("limit", limit.to_string())];
        query.extend(state.map(|state| ("state", state.to_string())));
        url.query_pairs_mut().extend_pairs(query);
        self.read(self.http.get(url)).await
    }

    /// One merge with the conflict it met.
    ///
    /// # Errors
    /// The server's own problem, or why it could not be asked.
    pub async fn merge(&self, merge: i64) -> Result<MergeDetail, ClientError> {
        self.get(&["merges", &merge.to_string()]).await
    }

    /// Decides conflicting paths of a merge that waits for a person.
    ///
    /// # Errors
    /// The server's own problem, or why it could not be asked.
    pub async fn resolve_merge(&self, merge: i64, answer: &ResolveRequest) -> Result<DecidedMerge, ClientError> {
        self.answer(merge, "resolution", answer).await
    }

    /// Sends the work of a merge that waits back to its worker.
    ///
    /// # Errors
    /// The server's own problem, or why it could not be asked.
    pub async fn return_merge(&self, merge: i64, answer: &ReturnRequest) -> Result<DecidedMerge, ClientError> {
        self.answer(merge, "return", answer).await
    }

    /// Gives the work of a merge that waits up.
    ///
    /// # Errors
    /// The server's own problem, or why it could not be asked.
    pub async fn reject_merge(&self, merge: i64, answer: &RejectRequest) -> Result<DecidedMerge, ClientError> {
        self.answer(merge, "reject", answer).await
    }

    async fn answer(&self, merge: i64, how: &str, answer: &impl Serialize) -> Result<DecidedMerge, ClientError> {
        let url = self.url(&["merges", &merge.to_string(), how])?;
        self.read(self.http.post(url).json(answer)).await
    }

    /// The events of a run after one of them, those to come among them, until its end. A connection that is lost
    /// is made again from the last event on.
    pub fn events(&self, run: RunId, after: i64) -> EventStream {
        EventStream::new(self.clone(), run, after)
    }

    /// Ends a run.
    ///
    /// # Errors
    /// The server's own problem, or why it could not be asked.
    pub async fn cancel(&self, run: &str) -> Result<Accepted, ClientError> {
        let request = self.http.request(Method::POST, self.url(&["runs", run, "cancel"])?);
        self.read(request).await
    }

    /// Hands a run's work over once more, or at last.
    ///
    /// # Errors
    /// The server's own problem, or why it could not be asked.
    pub async fn deliver(&self, run: &str, asked: DeliverRequest) -> Result<Accepted, ClientError> {
        let request = self.http.request(Method::POST, self.url(&["runs", run, "deliver"])?);
        self.read(request.json(&asked)).await
    }

    /// Gives up what ended runs left, or asks what would go.
    ///
    /// # Errors
    /// The server's own problem, or why it could not be asked.
    pub async fn clean(&self, asked: &CleanRequest) -> Result<CleanResult, ClientError> {
        self.read(self.request(Method::POST, "clean")?.json(asked)).await
    }

    /// Whether the server is there.
    ///
    /// # Errors
    /// When it is not, or is something else.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get(&["healthz"]).await
    }

    /// Whether the server can work.
    ///
    /// # Errors
    /// When it is not there, or is something else.
    pub async fn readiness(&self) -> Result<Readiness, ClientError> {
        let response = self.send(self.request(Method::GET, "readyz")?).await?;
        match response.status() {
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => self.document(response).await,
            _ => Err(self.refusal(response).await),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        self.read(self.http.request(Method::GET, self.url(path)?)).await
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, ClientError> {
        Ok(self.http.request(method, self.url(&[path])?))
    }

    /// An address below the server's, each part of the path escaped.
    fn url(&self, path: &[&str]) -> Result<Url, ClientError> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().extend(path);
            }
            Err(()) => {
                return Err(ClientError::Address {
                    address: self.base.to_string(),
                    problem: "it can't have a path".into(),
                });
            }
        }
        Ok(url)
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        self.document(response).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        request.send().await.map_err(|error| self.unreachable(error))
    }

    async fn document<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let status = response.status().as_u16();
        let bytes = response.bytes().await.map_err(|error| self.unreachable(error))?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Unexpected {
            address: self.address().to_owned(),
            status,
            detail: format!("{error}: {}", shortened(&bytes)),
        })
    }

    /// The server's own words for a refusal, if it is one of ours.
    async fn refusal(&self, response: Response) -> ClientError {
        let status = response.status().as_u16();
        let bytes = match response.bytes().await {
            Ok(bytes) => bytes,
            Err(error) => return self.unreachable(error),
        };
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => ClientError::Problem(Box::new(problem)),
            Err(_) => ClientError::Unexpected {
                address: self.address().to_owned(),
                status,
                detail: shortened(&bytes),
            },
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> ClientError {
        ClientError::Unreachable {
            address: self.address().to_owned(),
            source: error.without_url(),
        }
    }
}

fn shortened(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim().chars().take(QUOTED_CHARACTERS).collect()
}
