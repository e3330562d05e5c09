//! Helpers for the tests: a client, and requests as the product sends them.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::sync::Once;

use serde_json::{Value, json};
use sim_llm::{Options, Rule, Scenario, Server};

static CRYPTO: Once = Once::new();

pub(crate) fn client() -> reqwest::Client {
    CRYPTO.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .expect("no other provider is installed");
    });
    reqwest::Client::new()
}

pub(crate) async fn server(rules: Vec<Rule>) -> Server {
    Server::start(Scenario::from_rules(rules), Options::default())
        .await
        .expect("a free port and memory are enough")
}

pub(crate) async fn post(server: &Server, body: &Value) -> reqwest::Response {
    client()
        .post(format!("{}/chat/completions", server.base_url()))
        .json(body)
        .send()
        .await
        .expect("the server answers")
}

/// A worker's request: the system message, its brief, and the following messages.
pub(crate) fn worker(task: &str, attempt: u32, after: &[Value]) -> Value {
    let mut messages = vec![
        json!({"role": "system", "content": "# role: worker (coder)\nWork."}),
        json!({"role": "user", "content": format!("task: {task}\nattempt: {attempt}\n\nDo it.")}),
    ];
    messages.extend_from_slice(after);
    json!({"model": "sim", "messages": messages, "tools": [tool("shell"), tool("finish")]})
}

pub(crate) fn streamed(mut request: Value) -> Value {
    request["stream"] = json!(true);
    request["stream_options"] = json!({"include_usage": true});
    request
}

/// The received `data:` payloads of a stream.
pub(crate) fn events(body: &str) -> Vec<&str> {
    body.split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .collect()
}

/// The received part of a body, and whether it ended properly.
pub(crate) async fn drain(mut response: reqwest::Response) -> (String, bool) {
    let mut text = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) => text.extend_from_slice(&bytes),
            Ok(None) => {
                return (String::from_utf8(text).expect("the server sends UTF-8"), true);
            }
            Err(_) => {
                return (String::from_utf8(text).expect("the server sends UTF-8"), false);
            }
        }
    }
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
}
