//! Noticing that a worker goes round in circles.
//!
//! A pattern is told to the worker once; the next such call is refused; the one after it ends the attempt. Anything
//! new, an action or what came of it, clears the slate.

use llm::ToolCall;
use std::{
    collections::{BTreeMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

/// The same call with the same result, so often in a row.
const SAME: usize = 4;
/// The same call with the same error, so often in a row.
const SAME_ERROR: usize = 3;
/// Two calls taking turns with the same results, so many in a row.
const ALTERNATING: usize = 6;
/// How many calls are remembered.
const MEMORY: usize = 12;

/// What a call means for the circle the worker may be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing to object to.
    Fine,
    /// It was warned: this call is not to be run.
    Refuse,
    /// It was refused before: enough.
    GiveUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    action: u64,
    observation: u64,
    ok: bool,
}

/// The last calls, and the actions that were objected to.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    recent: VecDeque<Seen>,
    /// By action: how often it was objected to.
    warned: BTreeMap<u64, u32>,
}

impl Stuck {
    /// Whether a call may be run.
    pub(super) fn before(&mut self, call: &ToolCall) -> Step {
        match self.warned.get_mut(&action_of(call)) {
            None => Step::Fine,
            Some(objections) => {
                *objections += 1;
                match *objections {
                    0..=2 => Step::Refuse,
                    _ => Step::GiveUp,
                }
            }
        }
    }

    /// Whether the worker is now going round in circles.
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

/// The call without its id, and without the accidents of how its arguments are written.
fn action_of(call: &ToolCall) -> u64 {
    match serde_json::from_str::<serde_json::Value>(&call.arguments) {
        Ok(arguments) => hash(&(&call.name, arguments.to_string())),
        Err(_) => hash(&(&call.name, &call.arguments)),
    }
}

/// The result without how long it took: the last line of a command, in brackets, tells how it ended, then its seconds.
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
    fn the_fourth_same_call_is_told_the_next_refused_and_the_one_after_ends_it() {
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
    fn the_third_same_error_is_told() {
        let mut stuck = Stuck::default();
        let edit = call("edit_file", "{}");
        assert!(!stuck.after(&edit, "no such text", false));
        assert!(!stuck.after(&edit, "no such text", false));
        assert!(stuck.after(&edit, "no such text", false));
    }

    #[test]
    fn two_calls_taking_turns_are_told() {
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
    fn something_new_clears_the_slate() {
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
    fn polling_with_changing_results_is_no_circle() {
        let mut stuck = Stuck::default();
        let poll = call("shell", "{}");
        for round in 0..20 {
            assert!(!stuck.after(&poll, &format!("{round} done"), true));
        }
    }

    #[test]
    fn how_long_a_command_took_makes_it_no_other_result() {
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
