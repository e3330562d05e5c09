//! Settings of the server.

use sha2::{Digest, Sha256};
use std::{fmt, time::Duration};

/// Settings of the server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The token that every request except `/healthz` needs; `None` is allowed only on loopback.
    pub token: Option<Token>,
    /// Host names of this server besides loopback and its listen address.
    pub allowed_hosts: Vec<String>,
    /// The version of the product.
    pub version: String,
    /// The most bytes of a request body.
    pub body_bytes: usize,
    /// The time limit until a response starts.
    pub answer_within: Duration,
    /// The most concurrent requests.
    pub requests: usize,
    /// The most open connections; fewer if the system's limit of open files is low.
    pub connections: usize,
    /// The most open connections of one address.
    pub connections_per_address: usize,
    /// The most open event streams.
    pub streams: usize,
    /// The time limit for the header of a request to arrive.
    pub header_within: Duration,
    /// The time limit for the body of a request to arrive.
    pub body_within: Duration,
    /// The time limit of a connection without a request, or of a client that does not read its response.
    pub idle_within: Duration,
    /// The interval of keep-alive messages on a silent event stream.
    pub heartbeat: Duration,
    /// The time limit for open requests when the server stops.
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

/// A bearer token. Only its digest is kept.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// The token of a text.
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether a text is the token, compared in constant time.
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
