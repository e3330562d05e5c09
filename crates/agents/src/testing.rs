//! Shared by the tests of all three roles: a scripted server behind real HTTP, and records in memory.

use crate::port::{Call, CallResult, Journal, PlanProgress, Turn, Verdict};
use async_trait::async_trait;
use domain::NanoDollars;
use llm::{CallId, CallOutcome, Ledger, ModelRef, Models, PlannedCall, Provider, Refusal, Secret};
use serde_json::Value;
use sim_llm::{Entry, Options, Rule, Scenario, Server};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A scripted model, and the models that reach it.
pub(crate) struct Script {
    server: Server,
    pub(crate) models: Arc<Models>,
}

impl Script {
    pub(crate) async fn play(rules: Vec<Rule>) -> Self {
        let server = Server::start(Scenario::from_rules(rules), Options::default())
            .await
            .unwrap();
        let provider = Provider::new(server.base_url(), Some(Secret::new("key")));
        let providers = BTreeMap::from([("sim".to_owned(), provider)]);
        let mut settings = llm::Settings::new(providers).unwrap();
        settings.retries.base_delay = Duration::from_millis(1);
        settings.retries.max_attempts = 2;
        Self {
            models: Arc::new(Models::new(settings).unwrap()),
            server,
        }
    }

    /// The requests the server got; fails if one of them violated a rule of the wire.
    pub(crate) fn asked(&self) -> Vec<Entry> {
        let journal = self.server.journal();
        for entry in &journal {
            assert!(entry.violations.is_empty(), "{:?}", entry.violations);
        }
        journal
    }

    /// The messages of one request, from 1.
    pub(crate) fn messages(&self, request: u64) -> Vec<Value> {
        let body = self.server.request(request).unwrap();
        body["messages"].as_array().unwrap().clone()
    }

    /// The body of one request, from 1.
    pub(crate) fn body(&self, request: u64) -> Value {
        self.server.request(request).unwrap()
    }
}

pub(crate) fn sim() -> ModelRef {
    ModelRef::new("sim", "sim-model")
}

/// A ledger that refuses from some call on.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) calls: Mutex<Vec<PlannedCall>>,
    pub(crate) refuse_from: Option<usize>,
}

#[async_trait]
impl Ledger for Book {
    async fn reserve(&self, call: &PlannedCall) -> Result<CallId, Refusal> {
        let mut calls = lock(&self.calls);
        if self.refuse_from.is_some_and(|from| calls.len() >= from) {
            return Err(Refusal::Budget {
                limit: NanoDollars(2),
                spent: NanoDollars(1),
                reserved: NanoDollars(0),
                asked: NanoDollars(9),
            });
        }
        calls.push(call.clone());
        Ok(CallId(calls.len() as i64))
    }

    async fn settle(&self, _: CallId, _: &CallOutcome) -> Result<(), String> {
        Ok(())
    }
}

/// A journal in memory: a line for each record, and verdicts for some of them.
#[derive(Default)]
pub(crate) struct Notebook {
    lines: Mutex<Vec<String>>,
    /// The verdict for the record that starts like this.
    pub(crate) verdicts: Vec<(&'static str, Verdict)>,
}

impl Notebook {
    pub(crate) fn lines(&self) -> Vec<String> {
        lock(&self.lines).clone()
    }

    fn note(&self, line: String) -> Result<Verdict, String> {
        let verdict = self
            .verdicts
            .iter()
            .find(|(at, _)| line.starts_with(at))
            .map_or(Verdict::Continue, |(_, verdict)| verdict.clone());
        lock(&self.lines).push(line);
        Ok(verdict)
    }
}

#[async_trait]
impl Journal for Notebook {
    async fn turn_answered(&self, turn: &Turn) -> Result<Verdict, String> {
        self.note(format!("{} answered: {} calls", turn.number, turn.tools.len()))
    }

    async fn call_started(&self, turn: u32, call: &Call) -> Result<Verdict, String> {
        self.note(format!("{turn} started: {} {}", call.tool, call.summary))
    }

    async fn call_ended(&self, turn: u32, _: &str, result: &CallResult) -> Result<Verdict, String> {
        let word = if result.ok { "ok" } else { "not ok" };
        let first = result.content.lines().next().unwrap_or_default();
        self.note(format!("{turn} result, {word}: {first}"))
    }

    async fn turn_ended(&self, turn: u32) -> Result<Verdict, String> {
        self.note(format!("{turn} ended"))
    }
}

/// The reported rounds of planning.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<(u32, Vec<String>)>>);

impl Told {
    pub(crate) fn rounds(&self) -> Vec<(u32, Vec<String>)> {
        lock(&self.0).clone()
    }
}

#[async_trait]
impl PlanProgress for Told {
    async fn asked(&self, round: u32, problems: &[String]) {
        lock(&self.0).push((round, problems.to_vec()));
    }
}

/// Asserts that a text takes at most so many tokens of four bytes.
pub(crate) fn within(text: &str, tokens: usize) {
    let taken = crate::text::tokens(text.len());
    assert!(taken <= tokens, "{taken} tokens, the limit is {tokens}");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
