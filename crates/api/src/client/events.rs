//! Following a run: server-sent events, resumed where they broke off.

use super::{Client, ClientError};
use crate::{END_OF_EVENTS, Event};
use domain::RunId;
use eventsource_stream::Eventsource;
use futures_util::{Stream, StreamExt};
use reqwest::{Method, StatusCode, header};
use std::{pin::Pin, time::Duration};

/// How often in a row a lost connection is made again.
const RECONNECTIONS: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

type Messages = Pin<Box<dyn Stream<Item = Result<eventsource_stream::Event, String>> + Send>>;

/// The events of a run, to its end.
pub struct EventStream {
    client: Client,
    run: RunId,
    last: i64,
    messages: Option<Messages>,
    failures: u32,
    ended: bool,
}

impl EventStream {
    pub(super) fn new(client: Client, run: RunId, after: i64) -> Self {
        Self {
            client,
            run,
            last: after,
            messages: None,
            failures: 0,
            ended: false,
        }
    }

    /// The number of the newest event seen: where another stream would go on.
    pub fn last(&self) -> i64 {
        self.last
    }

    /// The next event, as soon as there is one; `None` when the run has ended. An error ends the stream: the server
    /// refused, or stayed away for long.
    pub async fn next(&mut self) -> Option<Result<Event, ClientError>> {
        while !self.ended {
            let Some(messages) = &mut self.messages else {
                match self.connect().await {
                    Ok(Some(messages)) => self.messages = Some(messages),
                    Ok(None) => self.ended = true,
                    Err(ClientError::Unreachable { .. }) if self.failures < RECONNECTIONS => self.pause().await,
                    Err(error) => {
                        self.ended = true;
                        return Some(Err(error));
                    }
                }
                continue;
            };
            match messages.next().await {
                Some(Ok(message)) if message.event == END_OF_EVENTS => self.ended = true,
                Some(Ok(message)) => return Some(self.event(&message.data)),
                Some(Err(_)) | None => {
                    self.messages = None;
                    self.pause().await;
                }
            }
        }
        None
    }

    fn event(&mut self, data: &str) -> Result<Event, ClientError> {
        let event: Event = serde_json::from_str(data).map_err(|error| {
            self.ended = true;
            ClientError::Unexpected {
                address: self.client.address().to_owned(),
                status: 200,
                detail: format!("an event can't be read: {error}"),
            }
        })?;
        self.last = event.seq;
        self.failures = 0;
        Ok(event)
    }

    /// Asks for what comes after the newest event seen; `None` where nothing will.
    async fn connect(&self) -> Result<Option<Messages>, ClientError> {
        let url = self.client.url(&["runs", &self.run.to_string(), "events"])?;
        let request = self
            .client
            .streams
            .request(Method::GET, url)
            .header(header::ACCEPT, "text/event-stream")
            .header("Last-Event-ID", self.last.to_string());
        let response = self.client.send(request).await?;
        match response.status() {
            StatusCode::OK => {
                let messages = response.bytes_stream().eventsource();
                Ok(Some(Box::pin(
                    messages.map(|message| message.map_err(|error| error.to_string())),
                )))
            }
            StatusCode::NO_CONTENT => Ok(None),
            _ => Err(self.client.refusal(response).await),
        }
    }

    async fn pause(&mut self) {
        let factor = 2_u32.saturating_pow(self.failures);
        self.failures += 1;
        tokio::time::sleep(FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)).await;
    }
}
