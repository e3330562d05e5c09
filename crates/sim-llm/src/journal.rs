//! The journal of requests and answers, in memory and optionally in a file of JSON lines that survives a restart.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::violation::Violation;

/// How many request bodies stay in memory for [`crate::Server::request`]; older ones are only in the journal's file.
const MAX_BODIES_IN_MEMORY: usize = 20_000;

/// One request and its answer, recorded on arrival: before any latency, and even if the client disconnects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts from 1 without gaps, and continues after a restart with the same file.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The requested model.
    pub model: String,
    /// `director`, `worker`, `resolver`, or `unknown` for a foreign client.
    pub role: String,
    /// The worker's profile.
    pub profile: Option<String>,
    /// The task's key.
    pub task: Option<String>,
    /// The attempt at the task.
    pub attempt: u32,
    /// The answer's number within the conversation, from 1.
    pub turn: u32,
    /// The resolver's file.
    pub file: Option<String>,
    /// The resolver's hunk.
    pub hunk: Option<u32>,
    /// Whether a stream was requested.
    pub stream: bool,
    /// What was sent.
    pub status: Status,
    /// The rule that answered.
    pub rule: Option<String>,
    /// Tokens of the request as reported to the client, including cached ones; 0 if no usage was reported.
    pub prompt_tokens: u64,
    /// Cached tokens of the request.
    pub cached_tokens: u64,
    /// Tokens of the answer as reported to the client; 0 if no usage was reported.
    pub completion_tokens: u64,
    /// The tools that the answer calls, in order.
    pub tools: Vec<String>,
    /// Violations of the request.
    pub violations: Vec<Violation>,
}

/// What was sent: an HTTP status, or the scripted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Status {
    /// A complete response with this HTTP status.
    Http(u16),
    /// An answer that ended in the middle.
    Cut,
    /// A connection dropped in the middle.
    Reset,
    /// Something that is not JSON.
    Garbage,
    /// An empty body.
    Empty,
    /// Nothing at all.
    Hang,
    /// The first half, then nothing.
    Stall,
}

/// A line of the journal's file.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    entry: Entry,
    request: Value,
}

#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: Vec<Entry>,
    /// The bodies of the last entries, oldest first.
    bodies: VecDeque<Value>,
    answered: HashMap<String, u32>,
    file: Option<File>,
}

impl Journal {
    /// A journal in memory alone.
    pub(crate) fn in_memory() -> Self {
        Self::default()
    }

    /// A journal that continues the file. It drops a last line that a crash truncated.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let hint = |error: io::Error| {
            let text = format!(
                "cannot open the journal {}: {error}; check its directory and rights",
                path.display()
            );
            io::Error::new(error.kind(), text)
        };
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)
            .map_err(hint)?;
        let text = io::read_to_string(&file).map_err(hint)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(hint)?;
        let mut journal = Self::in_memory();
        for (at, line) in text[..whole].lines().enumerate() {
            let Line { entry, request } = serde_json::from_str(line).map_err(|error| {
                let text = format!("{}:{}: {error}; move the file away", path.display(), at + 1);
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?;
            journal.keep(entry, request);
        }
        journal.file = Some(file);
        Ok(journal)
    }

    /// Writes the entry under the next number; an entry that can't be written is not kept.
    pub(crate) fn record(&mut self, mut entry: Entry, request: Value) -> io::Result<u64> {
        entry.seq = self.entries.len() as u64 + 1;
        let line = Line { entry, request };
        if let Some(file) = &mut self.file {
            let mut text = serde_json::to_string(&line)?;
            text.push('\n');
            // One unbuffered write: another process may read the line as soon as the request is answered.
            file.write_all(text.as_bytes())?;
        }
        let seq = line.entry.seq;
        self.keep(line.entry, line.request);
        Ok(seq)
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The number that the next entry will get.
    pub(crate) fn next_seq(&self) -> u64 {
        self.entries.len() as u64 + 1
    }

    /// An entry's request, unless it is too old to be in memory.
    pub(crate) fn request(&self, seq: u64) -> Option<&Value> {
        let oldest = self.entries.len() - self.bodies.len();
        let at = usize::try_from(seq).ok()?.checked_sub(oldest + 1)?;
        self.bodies.get(at)
    }

    /// How often a rule has answered.
    pub(crate) fn answered(&self, rule: &str) -> u32 {
        self.answered.get(rule).copied().unwrap_or(0)
    }

    fn keep(&mut self, entry: Entry, request: Value) {
        if let Some(rule) = &entry.rule {
            *self.answered.entry(rule.clone()).or_default() += 1;
        }
        self.entries.push(entry);
        self.bodies.push_back(request);
        if self.bodies.len() > MAX_BODIES_IN_MEMORY {
            self.bodies.pop_front();
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(status) => write!(formatter, "{status}"),
            Self::Cut => formatter.write_str("cut"),
            Self::Reset => formatter.write_str("reset"),
            Self::Garbage => formatter.write_str("garbage"),
            Self::Empty => formatter.write_str("empty"),
            Self::Hang => formatter.write_str("hang"),
            Self::Stall => formatter.write_str("stall"),
        }
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cut" => Ok(Self::Cut),
            "reset" => Ok(Self::Reset),
            "garbage" => Ok(Self::Garbage),
            "empty" => Ok(Self::Empty),
            "hang" => Ok(Self::Hang),
            "stall" => Ok(Self::Stall),
            number => number
                .parse()
                .map(Self::Http)
                .map_err(|_| format!("{number:?} is no status of a journal")),
        }
    }
}

impl From<Status> for String {
    fn from(status: Status) -> Self {
        status.to_string()
    }
}

impl TryFrom<String> for Status {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
