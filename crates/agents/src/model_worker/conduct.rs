//! Judges a worker's conduct: when to nudge it, when to refuse a call, when to end the attempt.
//!
//! The only input is the history, so a replay comes to the same decisions.

use super::stuck::{Step, Stuck};
use crate::tools::Tool;
use domain::run::{Reason, ReasonCode};
use llm::ToolCall;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Consecutive answers without a call that end the attempt.
const SILENT_TURNS: u32 = 3;
/// Consecutive calls of unknown tools or with unreadable arguments that end the attempt.
const MALFORMED_CALLS: u32 = 5;
/// Turns without a call that can change the tree after which a worker that must change it is nudged.
const IDLE_TURNS_NUDGED: u32 = 15;
/// Such turns after which the attempt ends.
const IDLE_TURNS: u32 = 30;

const CALL_A_TOOL: &str = "You called no tool. Every answer calls at least one tool; when the task is done, blocked or \
                           impossible, call `finish`.";
const CUT_OFF: &str = "Your answer was cut off at its limit of length. Take smaller steps: shorter answers, smaller \
                       pieces of a file in one call.";
const IN_CIRCLES: &str = "You repeat calls whose results you know. They will not be run again unless something changes: \
                          do something else, or call `finish` and say what is in the way.";
const REFUSED: &str = "Not run: this call was just made several times with the same result. Do something else, or call \
                       `finish` and say what is in the way.";
const IDLE: &str = "You have changed nothing for many turns. Begin with the change, or call `finish` and say what is in \
                    the way.";

/// Whether a call may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    Granted,
    /// The call is answered with this instead.
    Refused(String),
    GiveUp(Reason),
}

/// A worker's conduct so far.
#[derive(Debug)]
pub(super) struct Conduct {
    tools: BTreeSet<String>,
    must_change: bool,
    stuck: Stuck,
    silent_turns: u32,
    malformed_calls: u32,
    idle_turns: u32,
}

impl Conduct {
    pub(super) fn new(tools: BTreeSet<String>, must_change: bool) -> Self {
        Self {
            tools,
            must_change,
            stuck: Stuck::default(),
            silent_turns: 0,
            malformed_calls: 0,
            idle_turns: 0,
        }
    }

    pub(super) fn before(&mut self, call: &ToolCall) -> Permission {
        if call.name == Tool::Finish.name() {
            return Permission::Granted;
        }
        match self.stuck.before(call) {
            Step::Fine => Permission::Granted,
            Step::Refuse => Permission::Refused(REFUSED.to_owned()),
            Step::GiveUp => Permission::GiveUp(Reason::new(
                ReasonCode::Worker,
                format!(
                    "the worker went round in circles: it kept calling {} with results it knew",
                    call.name
                ),
            )),
        }
    }

    /// Notes the result of a call. Returns a nudge for the worker, or the reason to end the attempt.
    pub(super) fn after(&mut self, call: &ToolCall, content: &str, ok: bool) -> Result<Option<String>, Reason> {
        if self.is_malformed(call) {
            self.malformed_calls += 1;
            if self.malformed_calls >= MALFORMED_CALLS {
                return Err(Reason::new(
                    ReasonCode::Worker,
                    format!(
                        "the model made {MALFORMED_CALLS} calls in a row that can't be read, the last one of {:?}; \
                         choose a model that can call tools",
                        call.name
                    ),
                ));
            }
        } else {
            self.malformed_calls = 0;
        }
        let circling = self.stuck.after(call, content, ok);
        Ok(circling.then(|| IN_CIRCLES.to_owned()))
    }

    /// Notes a whole turn. Returns a nudge for the worker, or the reason to end the attempt.
    pub(super) fn turn_ended(&mut self, calls: &[ToolCall], was_cut: bool) -> Result<Option<String>, Reason> {
        if calls.is_empty() {
            self.silent_turns += 1;
            if self.silent_turns >= SILENT_TURNS {
                return Err(Reason::new(
                    ReasonCode::Worker,
                    format!("the model called no tool in {SILENT_TURNS} answers in a row"),
                ));
            }
            let nudge = if was_cut { CUT_OFF } else { CALL_A_TOOL };
            return Ok(Some(nudge.to_owned()));
        }
        self.silent_turns = 0;
        if calls.iter().any(can_change) {
            self.idle_turns = 0;
        } else {
            self.idle_turns += 1;
        }
        if self.must_change && self.idle_turns >= IDLE_TURNS {
            return Err(Reason::new(
                ReasonCode::Limit,
                format!("the worker changed nothing in {IDLE_TURNS} turns"),
            ));
        }
        if self.must_change && self.idle_turns == IDLE_TURNS_NUDGED {
            return Ok(Some(IDLE.to_owned()));
        }
        Ok(was_cut.then(|| CUT_OFF.to_owned()))
    }

    fn is_malformed(&self, call: &ToolCall) -> bool {
        let readable =
            call.arguments.trim().is_empty() || serde_json::from_str::<Map<String, Value>>(&call.arguments).is_ok();
        !readable || !self.tools.contains(&call.name)
    }
}

fn can_change(call: &ToolCall) -> bool {
    [Tool::EditFile, Tool::WriteFile, Tool::Shell]
        .into_iter()
        .any(|tool| tool.name() == call.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conduct() -> Conduct {
        let tools = Tool::ALL.map(|tool| tool.name().to_owned()).into();
        Conduct::new(tools, true)
    }

    fn call(name: &str, arguments: &str) -> ToolCall {
        ToolCall {
            id: "1".into(),
            name: name.into(),
            arguments: arguments.into(),
        }
    }

    #[test]
    fn three_answers_without_a_call_end_the_attempt() {
        let mut conduct = conduct();
        assert_eq!(conduct.turn_ended(&[], false), Ok(Some(CALL_A_TOOL.into())));
        assert_eq!(conduct.turn_ended(&[], true), Ok(Some(CUT_OFF.into())));
        let reason = conduct.turn_ended(&[], false).unwrap_err();
        assert_eq!(reason.code, ReasonCode::Worker);
    }

    #[test]
    fn call_between_silent_answers_resets_the_count() {
        let mut conduct = conduct();
        for _ in 0..5 {
            assert!(conduct.turn_ended(&[], false).is_ok());
            assert!(conduct.turn_ended(&[call("shell", "{}")], false).is_ok());
        }
    }

    #[test]
    fn five_unreadable_calls_end_the_attempt() {
        let mut conduct = conduct();
        let bad = [
            call("fly", "{}"),
            call("shell", "{\"command"),
            call("shell", "[]"),
            call("walk", "{}"),
        ];
        for call in &bad {
            assert!(conduct.after(call, "error", false).is_ok());
        }
        let reason = conduct.after(&call("fly", "{\"to\":1}"), "error", false);
        assert!(reason.unwrap_err().message.contains("fly"));
    }

    #[test]
    fn worker_that_only_reads_is_nudged_and_then_stopped() {
        let mut conduct = conduct();
        let read = [call("read_file", "{\"path\":\"a\"}")];
        let notes: Vec<_> = (0..30).map(|_| conduct.turn_ended(&read, false)).collect();
        assert_eq!(notes[14], Ok(Some(IDLE.into())));
        assert!(notes[29].is_err());
        assert_eq!(notes.iter().filter(|note| **note == Ok(None)).count(), 28);
    }
}
