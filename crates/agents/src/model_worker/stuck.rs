//! Detects a worker that goes round in circles.
//!
//! The first repetition gets a nudge, the next such call is refused, and the one after it ends the attempt. A new action
//! or a new result resets this.

use llm::ToolCall;
use std::{
    collections::{BTreeMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

/// Consecutive identical calls with the same result.
const SAME: usize = 4;
/// Consecutive identical calls with the same error.
const SAME_ERROR: usize = 3;
/// Consecutive calls that alternate between two, with the same results.
const ALTERNATING: usize = 6;
/// The number of calls that are remembered.
const MEMORY: usize = 12;

/// What to do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Run it.
    Fine,
    /// The worker was nudged before: don't run it.
    Refuse,
    /// The call was refused before: end the attempt.
    GiveUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    action: u64,
    observation: u64,
    ok: bool,
}

/// The latest calls, and the actions that the worker was warned about.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    recent: VecDeque<Seen>,
    /// By action: the number of warnings.
    warned: BTreeMap<u64, u32>,
}

impl Stuck {
    /// Decides about a call before it runs.
    pub(super) fn before(&mut self, call: &ToolCall) -> Step {
        match self.warned.get_mut(&action_of(call)) {
            None => Step::Fine,
            Some(warnings) => {
                *warnings += 1;
                match *warnings {
                    0..=2 => Step::Refuse,
                    _ => Step::GiveUp,
                }
            }
        }
    }

    /// Notes a result. Returns whether the worker goes round in circles.
    pub(super) fn after(&mut self, call: &ToolCall, content: &str, ok: bool) -> bool {
        let seen = Seen {
            action: action_of(call),
            observation: observation_of(content),
            ok,
        };
        if !self.recent.contains(&seen) {
            self.warned.clear();
        }
        self.recent.push_front(seen);
        self.recent.truncate(MEMORY);
        let circling = self.is_repeating(SAME, 1)
            || (!ok && self.is_repeating(SAME_ERROR, 1))
            || self.is_repeating(ALTERNATING, 2);
        if circling {
            for seen in self.recent.iter().take(2) {
                self.warned.entry(seen.action).or_insert(1);
            }
        }
        circling
    }

    /// Whether the last `count` calls repeat with this period.
    fn is_repeating(&self, count: usize, period: usize) -> bool {
        self.recent.len() >= count && (period..count).all(|at| self.recent[at] == self.recent[at - period])
    }
}

/// The call without its id and the formatting of its arguments.
fn action_of(call: &ToolCall) -> u64 {
    match serde_json::from_str::<serde_json::Value>(&call.arguments) {
        Ok(arguments) => hash(&(&call.name, arguments.to_string())),
        Err(_) => hash(&(&call.name, &call.arguments)),
    }
}

/// The result without its duration: the last line of a command, in brackets, has how it ended, then the seconds.
fn observation_of(content: &str) -> u64 {
    let (text, last) = content.rsplit_once('\n').unwrap_or(("", content));
    match last.starts_with('[') && last.ends_with(']') {
        true => hash(&(text, last.split(';').next())),
        false => hash(&content),
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: &str) -> ToolCall {
        ToolCall {
            id: "1".into(),
            name: name.into(),
            arguments: arguments.into(),
        }
    }

    #[test]
    fn fourth_identical_call_is_nudged_the_fifth_refused_and_the_sixth_ends_the_attempt() {
        let mut stuck = Stuck::default();
        let look = call("shell", "{\"command\": \"ls\"}");
        for _ in 0..3 {
            assert_eq!(stuck.before(&look), Step::Fine);
            assert!(!stuck.after(&look, "a b", true));
        }
        assert_eq!(stuck.before(&look), Step::Fine);
        assert!(stuck.after(&look, "a b", true));
        let differently_written = call("shell", "{ \"command\":\"ls\" }");
        assert_eq!(stuck.before(&differently_written), Step::Refuse);
        assert_eq!(stuck.before(&look), Step::GiveUp);
    }

    #[test]
    fn third_identical_error_is_nudged() {
        let mut stuck = Stuck::default();
        let edit = call("edit_file", "{}");
        assert!(!stuck.after(&edit, "no such text", false));
        assert!(!stuck.after(&edit, "no such text", false));
        assert!(stuck.after(&edit, "no such text", false));
    }

    #[test]
    fn alternating_calls_are_nudged() {
        let mut stuck = Stuck::default();
        let (one, two) = (call("read_file", "{\"path\":\"a\"}"), call("shell", "{}"));
        let told: Vec<bool> = (0..3)
            .flat_map(|_| [stuck.after(&one, "x", true), stuck.after(&two, "y", true)])
            .collect();
        assert_eq!(told, [false, false, false, false, false, true]);
        assert_eq!(stuck.before(&one), Step::Refuse);
        assert_eq!(stuck.before(&two), Step::Refuse);
    }

    #[test]
    fn new_action_resets_the_warnings() {
        let mut stuck = Stuck::default();
        let test = call("shell", "{\"command\":\"make test\"}");
        for _ in 0..4 {
            stuck.after(&test, "1 failed", true);
        }
        stuck.after(&call("edit_file", "{\"path\":\"a\"}"), "done", true);
        assert_eq!(stuck.before(&test), Step::Fine);
        assert!(!stuck.after(&test, "1 failed", true));
    }

    #[test]
    fn polling_with_changing_results_is_allowed() {
        let mut stuck = Stuck::default();
        let poll = call("shell", "{}");
        for round in 0..20 {
            assert!(!stuck.after(&poll, &format!("{round} done"), true));
        }
    }

    #[test]
    fn duration_of_a_command_is_ignored() {
        let shell = call("shell", "{}");
        let mut stuck = Stuck::default();
        let results = [
            "a\n[exit code 0; 0.0 s]",
            "a\n[exit code 0; 0.1 s]",
            "a\n[exit code 0; 12.0 s]",
        ];
        assert!(results.iter().all(|result| !stuck.after(&shell, result, true)));
        assert!(stuck.after(&shell, "a\n[exit code 0; 0.2 s]", true));
        assert!(!stuck.after(&shell, "a\n[exit code 1; 0.2 s]", false));
    }
}
