//! Checks the tool calls of a conversation: each must be offered, well formed, and answered in its place.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::scenario::Scenario;
use crate::violation::{Found, ViolationKind};

/// Follows the calls of the history and their answers.
pub(crate) struct History<'request> {
    offered: &'request BTreeSet<String>,
    scenario: &'request Scenario,
    /// Calls of the last assistant message without a result yet.
    open: Vec<String>,
    found: &'request mut Found,
}

impl<'request> History<'request> {
    pub(crate) fn new(
        offered: &'request BTreeSet<String>,
        scenario: &'request Scenario,
        found: &'request mut Found,
    ) -> Self {
        Self {
            offered,
            scenario,
            open: Vec::new(),
            found,
        }
    }

    pub(crate) fn walk(mut self, messages: &[Value]) {
        for (at, message) in messages.iter().enumerate() {
            match message["role"].as_str() {
                Some("tool") => self.answer(message, at),
                Some("assistant") => {
                    self.close(&format!("before messages[{at}]"));
                    self.calls(&message["tool_calls"], at);
                }
                _ => self.close(&format!("before messages[{at}]")),
            }
        }
        self.close("at the end of the messages");
    }

    fn answer(&mut self, message: &Value, at: usize) {
        let id = message["tool_call_id"].as_str().unwrap_or_default();
        match self.open.iter().position(|open| open == id) {
            Some(found) => drop(self.open.swap_remove(found)),
            None => self.found.add(
                ViolationKind::UnexpectedToolMessage,
                format!("messages[{at}] answers the tool call {id:?}, which is not open"),
            ),
        }
    }

    fn close(&mut self, place: &str) {
        for id in self.open.drain(..) {
            let detail = format!("the tool call {id:?} has no tool message {place}");
            self.found.add(ViolationKind::UnansweredCall, detail);
        }
    }

    fn calls(&mut self, calls: &Value, at: usize) {
        if calls.is_null() {
            return;
        }
        let Some(calls) = calls.as_array().filter(|calls| !calls.is_empty()) else {
            self.found.add(
                ViolationKind::BadToolCall,
                format!("messages[{at}].tool_calls must be a list that is not empty; leave it out instead"),
            );
            return;
        };
        for (number, call) in calls.iter().enumerate() {
            self.call(call, &format!("messages[{at}].tool_calls[{number}]"));
        }
    }

    fn call(&mut self, call: &Value, place: &str) {
        let id = call["id"].as_str().unwrap_or_default();
        let name = call["function"]["name"].as_str().unwrap_or_default();
        if call["type"] != "function" || id.is_empty() || name.is_empty() {
            self.found.add(
                ViolationKind::BadToolCall,
                format!("{place} needs an id, the type function and a name"),
            );
        }
        if self.open.iter().any(|open| open == id) {
            self.found.add(
                ViolationKind::BadToolCall,
                format!("{place}: the id {id:?} is used twice"),
            );
        }
        self.open.push(id.to_owned());
        let invented_by_model = !self.offered.is_empty() && self.scenario.calls_tool(name);
        if !self.offered.contains(name) && !invented_by_model {
            self.found.add(
                ViolationKind::UnknownTool,
                format!("{place} calls {name:?}, which tools does not offer"),
            );
        }
        let arguments = call["function"]["arguments"].as_str();
        let is_json = arguments.is_some_and(|text| serde_json::from_str::<Value>(text).is_ok());
        if !is_json && !arguments.is_some_and(|text| self.scenario.sends_arguments(text)) {
            self.found.add(
                ViolationKind::ArgumentsNotJson,
                format!("{place}: the arguments of {name} are not JSON"),
            );
        }
    }
}
