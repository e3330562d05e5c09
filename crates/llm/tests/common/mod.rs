//! A real HTTP provider that misbehaves by script, and a ledger in memory.
#![allow(dead_code, reason = "every test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod book;
mod provider;

pub(crate) use book::Book;
pub(crate) use provider::{Act, Ending, Provider};

use llm::{CostRole, Message, ModelRef, Models, OutputSchema, Reply, Request, Retries, Secret, Settings, Timeouts};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

pub(crate) const KEY: &str = "sk-planted-secret-key";

/// Settings for one provider named `p`, with long timeouts for slow machines but short retry waits.
pub(crate) fn settings(base_url: &str) -> Settings {
    let provider = llm::Provider::new(base_url, Some(Secret::new(KEY)));
    let mut settings = Settings::new(BTreeMap::from([("p".to_owned(), provider)])).unwrap();
    settings.timeouts = Timeouts {
        connect: Duration::from_secs(5),
        header: Duration::from_secs(10),
        stream_idle: Duration::from_secs(10),
        total: Duration::from_secs(20),
    };
    settings.retries = Retries {
        max_attempts: 3,
        max_garbage: 2,
        base_delay: Duration::from_millis(5),
        max_delay: Duration::from_secs(5),
        total: Duration::from_secs(30),
    };
    settings
}

pub(crate) fn models(provider: &Provider) -> Models {
    Models::new(settings(&provider.base_url)).unwrap()
}

pub(crate) fn request() -> Request {
    Request::new(
        ModelRef::new("p", "gpt-4o"),
        CostRole::Worker,
        vec![Message::system("rules"), Message::user("go")],
    )
}

pub(crate) fn request_for(schema: Value) -> Request {
    Request {
        schema: Some(OutputSchema {
            name: "answer".into(),
            accepts: schema.clone(),
            schema,
        }),
        ..request()
    }
}

pub(crate) async fn ask(models: &Models, ledger: &Book) -> Result<Reply, llm::Error> {
    models.complete(&request(), ledger, None).await
}

/// A chunk of a stream.
pub(crate) fn delta(content: &str) -> Value {
    json!({ "model": "gpt-4o", "choices": [{ "index": 0, "delta": { "content": content } }] })
}

/// The chunk that ends an answer.
pub(crate) fn finish(reason: &str) -> Value {
    json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] })
}

/// The chunk after it, with 1,000 tokens of prompt and 100 of answer.
pub(crate) fn usage() -> Value {
    json!({ "choices": [], "usage": { "prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100 } })
}

/// A valid streamed answer.
pub(crate) fn say(text: &str) -> Act {
    Act::stream([delta(text), finish("stop"), usage()], Ending::Done)
}
