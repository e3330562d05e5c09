//! Helpers for these tests: requests with checked responses, and the state of a repository.

use e2e::{Product, TIMEOUT, git, orchestrator};
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use std::{
    path::Path,
    process::{Command, Output, Stdio},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};

/// A response.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("the server answers");
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.expect("the answer has a body"),
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self
            .headers
            .get(name)
            .unwrap_or_else(|| panic!("no header {name}: {:?}", self.headers));
        value.to_str().expect("the header is text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The response as a problem of RFC 9457 with this status and kind.
    pub(crate) fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(self.status, status, "{problem:#}");
        assert_eq!(problem["status"], status, "{problem:#}");
        assert_eq!(
            problem["type"],
            format!("urn:agent-orchestrator:problem:{kind}"),
            "{problem:#}"
        );
        for text in ["title", "detail"] {
            assert!(
                problem[text].as_str().is_some_and(|text| !text.is_empty()),
                "{problem:#}"
            );
        }
        problem
    }
}

/// Sends a request to the server.
pub(crate) async fn ask(product: &Product, method: Method, path: &str) -> Answer {
    Answer::to(reqwest::Client::new().request(method, format!("{}{path}", product.address))).await
}

pub(crate) async fn get(product: &Product, path: &str) -> Answer {
    ask(product, Method::GET, path).await
}

/// Posts a run.
pub(crate) async fn post(product: &Product, body: &Value) -> Answer {
    Answer::to(
        reqwest::Client::new()
            .post(format!("{}/runs", product.address))
            .json(body),
    )
    .await
}

/// A request for a run with a model name that rules can match.
pub(crate) fn body(workspace: &Path, model: &str) -> Value {
    let model = json!({"provider": "openai", "model_name": model});
    json!({
        "objective": "Do what the plan says", "workspace_path": workspace,
        "orch_config": {"director_model": model, "worker_model": model, "check": "true"},
    })
}

/// The body with another value at a JSON pointer.
pub(crate) fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, last) = pointer.rsplit_once('/').expect("a pointer");
    body.pointer_mut(parent).expect("the parent is there")[last] = value;
    body
}

/// Asserts that a text contains all of these.
pub(crate) fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not said in:\n{text}");
    }
}

/// The state of a repository that a run must not change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Untouched {
    head: String,
    refs: String,
    status: String,
    config: String,
    worktrees: String,
}

impl Untouched {
    pub(crate) fn now(repository: &Path) -> Self {
        Self {
            head: git(repository, &["rev-parse", "--symbolic-full-name", "HEAD"]),
            refs: git(repository, &["for-each-ref"]),
            status: git(repository, &["status", "--porcelain", "--ignored"]),
            config: git(repository, &["config", "--local", "--list"]),
            worktrees: git(repository, &["worktree", "list", "--porcelain"]),
        }
    }
}

/// Asserts that the server still answers, is ready, and has logged no panic or internal error.
pub(crate) async fn goes_on(product: &Product) {
    assert_eq!(get(product, "/readyz").await.status, 200);
    let log = product.log();
    for word in ["panicked", "RUST_BACKTRACE", "\"level\":\"ERROR\""] {
        assert!(!log.contains(word), "{word} in the log:\n{log}");
    }
}

/// A command line that must be rejected.
pub(crate) struct Refused<'a> {
    pub(crate) arguments: &'a [&'a str],
    pub(crate) environment: &'a [(&'a str, &'a str)],
    pub(crate) code: i32,
    pub(crate) says: &'a [&'a str],
}

impl Refused<'_> {
    /// What differs from the expected error.
    pub(crate) fn mistake(&self, directory: &Path) -> Option<String> {
        let output = orchestrator(self.arguments, self.environment, directory);
        let said = String::from_utf8_lossy(&output.stderr);
        println!("{:?} {:?}\n{said}", self.arguments, self.environment);
        let mistakes = mistakes(&output, self.code, self.says);
        (!mistakes.is_empty()).then(|| format!("{:?} {:?}: {mistakes:?}\n{said}", self.arguments, self.environment))
    }
}

/// Checks all of them, and reports all differences.
pub(crate) fn all_refused<'a>(lines: impl IntoIterator<Item = Refused<'a>>, directory: &Path) {
    let mistakes: Vec<String> = lines.into_iter().filter_map(|line| line.mistake(directory)).collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n\n"));
}

/// What differs from the expected error: exit code, text, empty standard output.
pub(crate) fn mistakes(output: &Output, code: i32, words: &[&str]) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    let mut mistakes = Vec::new();
    if output.status.code() != Some(code) {
        mistakes.push(format!("exit code {:?} instead of {code}", output.status.code()));
    }
    let inner = [
        "panicked",
        "RUST_BACKTRACE",
        "stack backtrace",
        "Error {",
        "Err(",
        "Some(",
    ];
    mistakes.extend(
        inner
            .iter()
            .filter(|word| said.contains(**word))
            .map(|word| format!("it says {word}")),
    );
    mistakes.extend(
        words
            .iter()
            .filter(|word| !said.contains(**word))
            .map(|word| format!("it does not say {word}")),
    );
    let printed = String::from_utf8_lossy(&output.stdout);
    if !printed.is_empty() && serde_json::from_str::<Value>(&printed).is_err() {
        mistakes.push(format!("it printed {printed}"));
    }
    mistakes
}

/// Starts `serve --json` and waits for its announcement; its log goes to a file.
pub(crate) async fn announced(mut command: Command, log: &Path) -> (Child, Value) {
    drop(rustls::crypto::ring::default_provider().install_default());
    command
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(log).unwrap());
    let mut server = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(TIMEOUT, lines.next_line())
        .await
        .expect("it announces itself")
        .unwrap();
    let line = line.unwrap_or_else(|| panic!("{}", std::fs::read_to_string(log).unwrap()));
    (server, serde_json::from_str(&line).unwrap())
}

/// Runs a program of the machine to its end.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
