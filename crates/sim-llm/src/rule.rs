//! One rule of a scenario: which requests it matches, and the answer.

use std::collections::BTreeMap;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::conversation::Conversation;

/// A condition on requests and the answer to them. Built in Rust or read from a scenario file.
///
/// ```
/// use sim_llm::Rule;
/// let rule = Rule::worker("greeting").turn(1).call("write_file", serde_json::json!({"path": "hello"}));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Rule {
    pub(crate) name: Option<String>,
    pub(crate) fits: Match,
    pub(crate) say: Option<String>,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) usage: Option<Usage>,
    pub(crate) latency_ms: u64,
    pub(crate) fault: Option<Fault>,
}

/// The conditions of a rule; an absent one matches everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Match {
    pub(crate) role: Option<String>,
    pub(crate) profile: Option<String>,
    pub(crate) task: Option<Glob>,
    pub(crate) file: Option<Glob>,
    pub(crate) hunk: Option<u32>,
    pub(crate) turn: Option<Interval>,
    pub(crate) attempt: Option<Interval>,
    pub(crate) contains: Option<String>,
    pub(crate) model: Option<Glob>,
    pub(crate) times: Option<u32>,
}

/// A tool call of the scripted model. The arguments are sent as text, so they may be invalid JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The tool's name, known to the client or not.
    pub name: String,
    /// The arguments as sent.
    pub arguments: String,
}

/// Tokens that an answer reports instead of the estimate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// All tokens of the request, including cached ones.
    pub prompt_tokens: u64,
    /// Tokens of the request read from the cache.
    #[serde(default)]
    pub cached_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

/// A fault instead of a regular answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An HTTP error.
    Status {
        /// The HTTP status.
        status: u16,
        /// Sent as `Retry-After`, unchanged.
        retry_after: Option<String>,
        /// Further headers, by lower-case name.
        headers: BTreeMap<String, String>,
        /// The body; without it an error in OpenAI's form.
        body: Option<String>,
    },
    /// The stream ends cleanly in the middle: no finish reason, no `[DONE]`. A complete answer breaks off as in `Reset`.
    Cut,
    /// The connection is dropped in the middle of the body.
    Reset,
    /// Status 200 and a body that is not JSON.
    Garbage,
    /// Status 200 and no body. (A model with nothing to say is `say = ""`.)
    Empty,
    /// No response at all, until the client disconnects or the server stops.
    Hang,
    /// Headers and half of the body, then nothing more.
    Stall,
}

/// A closed or open-ended interval of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// The first number.
    pub first: u32,
    /// The last number; `None` if it is open-ended.
    pub last: Option<u32>,
}

/// A pattern in which `*` matches anything and `?` one character.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    text: String,
    pattern: Option<Regex>,
}

impl Rule {
    /// A rule that matches every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// A rule for the director.
    pub fn director() -> Self {
        Self::role("director")
    }

    /// A rule for workers of tasks whose key matches `task` (`*` and `?` are wildcards).
    pub fn worker(task: &str) -> Self {
        Self::role("worker").task(task)
    }

    /// A rule for the conflict resolver of tasks whose key matches `task`.
    pub fn resolver(task: &str) -> Self {
        Self::role("resolver").task(task)
    }

    /// A rule for a role, named as in the first line of the system message.
    pub fn role(role: &str) -> Self {
        Self {
            fits: Match {
                role: Some(role.to_owned()),
                ..Match::default()
            },
            ..Self::default()
        }
    }

    /// Names the rule in errors and in the journal.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Only for tasks whose key matches.
    pub fn task(mut self, glob: &str) -> Self {
        self.fits.task = Some(Glob::new(glob));
        self
    }

    /// Only for this worker profile.
    pub fn profile(mut self, profile: &str) -> Self {
        self.fits.profile = Some(profile.to_owned());
        self
    }

    /// Only for this turn (the first answer is turn 1).
    pub fn turn(mut self, turn: u32) -> Self {
        self.fits.turn = Some(Interval {
            first: turn,
            last: Some(turn),
        });
        self
    }

    /// Only for this turn and later ones.
    pub fn from_turn(mut self, turn: u32) -> Self {
        self.fits.turn = Some(Interval {
            first: turn,
            last: None,
        });
        self
    }

    /// Only for this attempt (the first is 1).
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.fits.attempt = Some(Interval {
            first: attempt,
            last: Some(attempt),
        });
        self
    }

    /// Only for this attempt and later ones.
    pub fn from_attempt(mut self, attempt: u32) -> Self {
        self.fits.attempt = Some(Interval {
            first: attempt,
            last: None,
        });
        self
    }

    /// Only if the text since the model's last answer contains this.
    pub fn contains(mut self, text: &str) -> Self {
        self.fits.contains = Some(text.to_owned());
        self
    }

    /// Only for this hunk of its file, counted from 1.
    pub fn hunk(mut self, number: u32) -> Self {
        self.fits.hunk = Some(number);
        self
    }

    /// Only for conflicts in matching files.
    pub fn file(mut self, glob: &str) -> Self {
        self.fits.file = Some(Glob::new(glob));
        self
    }

    /// Only for models whose name matches.
    pub fn model(mut self, glob: &str) -> Self {
        self.fits.model = Some(Glob::new(glob));
        self
    }

    /// Only for the first `times` matching requests; later ones fall through to the next rules.
    pub fn times(mut self, times: u32) -> Self {
        self.fits.times = Some(times);
        self
    }

    /// Answers with text.
    pub fn say(mut self, text: &str) -> Self {
        self.say = Some(text.to_owned());
        self
    }

    /// Answers with a JSON document, as structured output does.
    pub fn json(self, document: &Value) -> Self {
        self.say(&document.to_string())
    }

    /// Adds a tool call to the answer.
    pub fn call(self, name: &str, arguments: Value) -> Self {
        self.raw_call(name, &arguments.to_string())
    }

    /// Adds a tool call whose arguments are sent unchanged, even if they are not JSON.
    pub fn raw_call(mut self, name: &str, arguments: &str) -> Self {
        self.tool_calls.push(ToolCall {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        });
        self
    }

    /// Sets the finish reason instead of `stop` or `tool_calls`.
    pub fn finish_reason(mut self, reason: &str) -> Self {
        self.finish_reason = Some(reason.to_owned());
        self
    }

    /// Reports this usage instead of the estimate of four bytes per token.
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Waits before the first byte of the response.
    pub fn latency_ms(mut self, latency_ms: u64) -> Self {
        self.latency_ms = latency_ms;
        self
    }

    /// Answers with this fault.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    pub(crate) fn fits(&self, conversation: &Conversation) -> bool {
        let fits = &self.fits;
        let same =
            |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        let globbed = |wanted: &Option<Glob>, found: Option<&str>| {
            wanted
                .as_ref()
                .is_none_or(|glob| found.is_some_and(|found| glob.fits(found)))
        };
        same(&fits.role, Some(&conversation.role))
            && same(&fits.profile, conversation.profile.as_deref())
            && globbed(&fits.task, conversation.task.as_deref())
            && globbed(&fits.file, conversation.file.as_deref())
            && globbed(&fits.model, Some(&conversation.model))
            && fits.hunk.is_none_or(|hunk| conversation.hunk == Some(hunk))
            && fits.turn.is_none_or(|turns| turns.holds(conversation.turn))
            && fits.attempt.is_none_or(|attempts| attempts.holds(conversation.attempt))
            && fits
                .contains
                .as_deref()
                .is_none_or(|text| conversation.news.contains(text))
    }
}

impl Fault {
    /// An HTTP error with a body in OpenAI's form.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            retry_after: None,
            headers: BTreeMap::new(),
            body: None,
        }
    }

    /// Status 429 with this `Retry-After`, sent as written: `"0.2"`, a date, or an invalid value.
    pub fn too_many_requests(retry_after: &str) -> Self {
        Self::Status {
            status: 429,
            retry_after: Some(retry_after.to_owned()),
            headers: BTreeMap::new(),
            body: None,
        }
    }
}

impl Interval {
    fn holds(self, number: u32) -> bool {
        number >= self.first && self.last.is_none_or(|last| number <= last)
    }
}

impl std::fmt::Display for Interval {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.last {
            Some(last) if last == self.first => write!(formatter, "{last}"),
            Some(last) => write!(formatter, "{}..={last}", self.first),
            None => write!(formatter, "{}..", self.first),
        }
    }
}

impl Glob {
    pub(crate) fn new(text: &str) -> Self {
        let wild = text.contains(['*', '?']);
        let escaped = regex::escape(text).replace(r"\*", ".*").replace(r"\?", ".");
        // Escaped text is a valid pattern; if it is too large for the engine, only the exact name matches.
        let pattern = wild.then(|| Regex::new(&format!("(?s)^{escaped}$")).ok()).flatten();
        Self {
            text: text.to_owned(),
            pattern,
        }
    }

    fn fits(&self, name: &str) -> bool {
        self.pattern
            .as_ref()
            .map_or(self.text == name, |pattern| pattern.is_match(name))
    }
}

impl std::fmt::Display for Glob {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::fmt::Display for Match {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |name: &str, value: Option<String>| value.map(|value| format!("{name}={value}"));
        let conditions = [
            shown("role", self.role.clone()),
            shown("profile", self.profile.clone()),
            shown("task", self.task.as_ref().map(Glob::to_string)),
            shown("file", self.file.as_ref().map(Glob::to_string)),
            shown("hunk", self.hunk.map(|hunk| hunk.to_string())),
            shown("attempt", self.attempt.map(|attempt| attempt.to_string())),
            shown("turn", self.turn.map(|turn| turn.to_string())),
            shown("model", self.model.as_ref().map(Glob::to_string)),
            shown("contains", self.contains.as_ref().map(|text| format!("{text:?}"))),
            shown("times", self.times.map(|times| times.to_string())),
        ];
        let conditions: Vec<String> = conditions.into_iter().flatten().collect();
        formatter.write_str(if conditions.is_empty() { "anything" } else { "" })?;
        formatter.write_str(&conditions.join(" "))
    }
}
