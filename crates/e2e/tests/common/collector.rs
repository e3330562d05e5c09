//! A small OTLP collector: a real HTTP server that stores received spans.

use axum::{Router, extract::State, http::HeaderMap, routing::post};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A received span.
#[derive(Clone, Debug, Default)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty for a root.
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, Value>,
    /// What happened in it, by name.
    pub(crate) events: Vec<String>,
    /// Linked spans.
    pub(crate) links: Vec<String>,
    /// Nanoseconds since 1970.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) failed: bool,
}

impl Span {
    /// The first word of its name, which says what kind of span it is.
    pub(crate) fn kind(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }

    /// A number that every span of this kind has.
    #[track_caller]
    pub(crate) fn number(&self, attribute: &str) -> i64 {
        self.attributes
            .get(attribute)
            .and_then(Value::as_i64)
            .unwrap_or_else(|| panic!("no {attribute}: {self:?}"))
    }

    /// A text that every span of this kind has.
    #[track_caller]
    pub(crate) fn text(&self, attribute: &str) -> &str {
        self.attributes
            .get(attribute)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {attribute}: {self:?}"))
    }
}

/// The collector.
pub(crate) struct Collector {
    /// The value for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) address: String,
    bodies: Bodies,
}

type Bodies = Arc<Mutex<Vec<String>>>;

impl Collector {
    pub(crate) async fn start() -> Self {
        let bodies = Bodies::default();
        let router = Router::new()
            .route("/v1/traces", post(receive))
            .with_state(bodies.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("its address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, bodies }
    }

    /// Variables that make a server send its spans here, quickly and as JSON.
    pub(crate) fn environment(&self) -> [(&str, &str); 3] {
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &self.address),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ]
    }

    /// All received bodies.
    pub(crate) fn bodies(&self) -> String {
        held(&self.bodies).join("\n")
    }

    /// All received spans.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let bodies: Vec<Value> = held(&self.bodies)
            .iter()
            .map(|body| serde_json::from_str(body).expect("the body is JSON"))
            .collect();
        let resources = bodies.iter().flat_map(|body| list(&body["resourceSpans"]));
        let scopes = resources.flat_map(|resource| list(&resource["scopeSpans"]));
        scopes.flat_map(|scope| list(&scope["spans"])).map(read).collect()
    }
}

async fn receive(State(bodies): State<Bodies>, headers: HeaderMap, body: String) -> &'static str {
    assert!(
        headers["content-type"].as_bytes().starts_with(b"application/json"),
        "{headers:?}"
    );
    held(&bodies).push(body);
    "{}"
}

fn held(bodies: &Bodies) -> MutexGuard<'_, Vec<String>> {
    bodies.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(span: &Value) -> Span {
    let text = |field: &str| span[field].as_str().unwrap_or_default().to_owned();
    let time = |field: &str| {
        integer(&span[field])
            .and_then(|time| u64::try_from(time).ok())
            .expect("a time")
    };
    let names = list(&span["events"]).map(|event| event["name"].as_str().unwrap_or_default().to_owned());
    let attributes = list(&span["attributes"]).map(|attribute| {
        (
            attribute["key"].as_str().unwrap_or_default().to_owned(),
            plain(&attribute["value"]),
        )
    });
    Span {
        trace: text("traceId"),
        id: text("spanId"),
        parent: text("parentSpanId"),
        name: text("name"),
        attributes: attributes.collect(),
        events: names.collect(),
        links: list(&span["links"])
            .map(|link| link["spanId"].as_str().unwrap_or_default().to_owned())
            .collect(),
        start: time("startTimeUnixNano"),
        end: time("endTimeUnixNano"),
        failed: span["status"]["code"] == 2,
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A value without its type wrapper.
fn plain(value: &Value) -> Value {
    if let Some(number) = integer(&value["intValue"]) {
        return number.into();
    }
    if let Some(values) = value["arrayValue"]["values"].as_array() {
        return values.iter().map(plain).collect();
    }
    value["stringValue"].clone()
}

/// A 64-bit number, which may be a JSON string or number.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}
