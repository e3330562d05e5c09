//! A real HTTP server that answers each request with the next act of a script.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response},
    routing::post,
};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::sync::watch;

/// How one request is answered.
#[derive(Clone)]
pub(crate) enum Act {
    /// A response that is sent whole.
    Whole {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Events of a stream, and how it ends.
    Stream { events: Vec<String>, ending: Ending },
    /// Nothing at all.
    Hang,
    /// An answer that waits until the test releases it.
    Gated(Arc<tokio::sync::Semaphore>, Box<Act>),
}

/// How a stream ends.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    /// Correctly.
    Done,
    /// Cleanly, but too early.
    Cut,
    /// By a broken connection.
    Broken,
    /// Not at all: it stays open and silent.
    Silent,
    /// Not at all: it sends empty chunks forever.
    Drip,
}

impl Act {
    pub(crate) fn stream(events: impl IntoIterator<Item = Value>, ending: Ending) -> Self {
        Self::Stream {
            events: events.into_iter().map(|event| event.to_string()).collect(),
            ending,
        }
    }

    pub(crate) fn status(status: u16, body: &str) -> Self {
        Self::Whole {
            status,
            headers: vec![("content-type", "text/plain".into())],
            body: body.into(),
        }
    }

    pub(crate) fn limited(header: &'static str, value: &str) -> Self {
        Self::Whole {
            status: 429,
            headers: vec![(header, value.into())],
            body: "slow down".into(),
        }
    }

    pub(crate) fn json(body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".into())];
        Self::Whole {
            status: 200,
            headers,
            body: body.to_string(),
        }
    }
}

/// A received request.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// The server; it ends with its runtime.
pub(crate) struct Provider {
    pub(crate) base_url: String,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<VecDeque<Act>>,
    seen: watch::Sender<Vec<Seen>>,
}

impl Provider {
    /// Plays the acts in turn; the last one again and again.
    pub(crate) async fn play(acts: impl IntoIterator<Item = Act>) -> Self {
        let script = Mutex::new(acts.into_iter().collect());
        let shared = Arc::new(Shared {
            script,
            seen: watch::Sender::default(),
        });
        let router = Router::new()
            .route("/v1/chat/completions", post(answer))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base_url, shared }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.borrow().clone()
    }

    /// Waits until that many requests came in.
    pub(crate) async fn saw(&self, count: usize) {
        let mut seen = self.shared.seen.subscribe();
        seen.wait_for(|seen| seen.len() >= count).await.unwrap();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let body = serde_json::from_slice(&body).unwrap();
    shared.seen.send_modify(|seen| {
        seen.push(Seen {
            at: Instant::now(),
            headers,
            body,
        })
    });
    let act = {
        let mut script = shared.script.lock().unwrap();
        if script.len() > 1 {
            script.pop_front()
        } else {
            script.front().cloned()
        }
        .unwrap()
    };
    perform(act).await
}

async fn perform(act: Act) -> Response<Body> {
    match act {
        Act::Whole { status, headers, body } => {
            let response = headers
                .into_iter()
                .fold(Response::builder().status(status), |response, (name, value)| {
                    response.header(name, value)
                });
            response.body(Body::from(body)).unwrap()
        }
        Act::Stream { events, ending } => Response::builder()
            .header("content-type", "text/event-stream")
            .body(events_body(events, ending))
            .unwrap(),
        Act::Hang => std::future::pending().await,
        Act::Gated(gate, act) => {
            gate.acquire().await.unwrap().forget();
            Box::pin(perform(*act)).await
        }
    }
}

fn events_body(events: Vec<String>, ending: Ending) -> Body {
    let events = stream::iter(events).map(|event| Ok(format!("data: {event}\n\n")));
    let end = match ending {
        Ending::Done => stream::iter([Ok("data: [DONE]\n\n".to_owned())]).boxed(),
        Ending::Cut => stream::empty().boxed(),
        // Only after the events were sent, otherwise the server sends none of them.
        Ending::Broken => stream::once(async {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            Err(io::Error::other("broken"))
        })
        .boxed(),
        Ending::Silent => stream::pending().boxed(),
        Ending::Drip => stream::unfold((), |()| async {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            Some((Ok("data: {\"choices\":[]}\n\n".to_owned()), ()))
        })
        .boxed(),
    };
    Body::from_stream(events.chain(end))
}
