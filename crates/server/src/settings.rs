//! What the server is told at its start.

use sha2::{Digest, Sha256};
use std::{fmt, time::Duration};

/// How requests are taken.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What every request but `/healthz` must bear; `None` for no such check, which only loopback may have.
    pub token: Option<Token>,
    /// Names this server is reached by, besides the loopback's and the address it listens on.
    pub allowed_hosts: Vec<String>,
    /// The version of the product.
    pub version: String,
    /// Bytes a request may hold.
    pub body_bytes: usize,
    /// How long an answer may take to begin.
    pub answer_within: Duration,
    /// Requests that are worked on at one time.
    pub requests: usize,
    /// Connections that are open at one time; fewer where the system allows too few open files.
    pub connections: usize,
    /// Those of one address.
    pub connections_per_address: usize,
    /// Event streams that are open at one time.
    pub streams: usize,
    /// How long the head of a request may take to arrive.
    pub header_within: Duration,
    /// How long the body of a request may take to arrive.
    pub body_within: Duration,
    /// How long a connection may do nothing between two requests, or take nothing of an answer.
    pub idle_within: Duration,
    /// How often a silent event stream says that it is there.
    pub heartbeat: Duration,
    /// How long open requests may take to end when the server stops.
    pub stop_within: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            token: None,
            allowed_hosts: Vec::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            body_bytes: 1 << 20,
            answer_within: Duration::from_secs(30),
            requests: 256,
            connections: 1_024,
            connections_per_address: 512,
            streams: 256,
            header_within: Duration::from_secs(10),
            body_within: Duration::from_secs(20),
            idle_within: Duration::from_secs(75),
            heartbeat: Duration::from_secs(15),
            stop_within: Duration::from_secs(5),
        }
    }
}

/// A bearer token. Only its digest is kept, and its text shows nowhere.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// The token of a text.
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether a text is the token. How long it takes says nothing about how much of it was right.
    pub(crate) fn is(&self, text: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let pairs = self.0.iter().zip(digest);
        pairs.fold(0, |difference, (own, other)| difference | (own ^ other)) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}
