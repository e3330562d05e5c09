//! Keeps a long conversation within the model's context window.
//!
//! The task itself always stays complete. Tool results are elided first, from the middle outwards, because the beginning
//! explains the work and the end shows its current state; then the arguments of calls. An elided text is replaced by its
//! length, always in the same words, so that the prefix stays stable between compactions.

use crate::text::tokens;
use llm::{Message, ToolSpec};

/// The window of an unknown model, in tokens.
const UNKNOWN_WINDOW: u64 = 128_000;
/// The history is compacted when it takes more than this percentage of the window.
const HIGH: u64 = 80;
/// It is compacted to this percentage, so that it does not happen every turn.
const LOW: u64 = 60;
/// The latest messages, which stay complete as long as possible.
const LATEST: usize = 6;
/// Texts up to this many bytes are not elided.
const SHORT: usize = 200;

/// Elides a part of a message. Returns whether there was anything to elide.
type Elide = fn(&mut Message) -> bool;

/// How long a conversation may be, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    high: u64,
    low: u64,
}

impl Budget {
    /// The budget for a model's window.
    pub(super) fn of(window: Option<u64>) -> Self {
        let window = window.unwrap_or(UNKNOWN_WINDOW);
        Self {
            high: window * HIGH / 100,
            low: window * LOW / 100,
        }
    }

    /// Half of the conversation's present length, whatever the model's window is said to be.
    pub(super) fn half_of(messages: &[Message], tools: &[ToolSpec]) -> Self {
        let half = length(messages, tools) / 2;
        Self { high: half, low: half }
    }
}

/// Elides texts until the conversation fits. Returns whether anything changed.
pub(super) fn fit(messages: &mut [Message], tools: &[ToolSpec], budget: Budget) -> bool {
    if length(messages, tools) <= budget.high {
        return false;
    }
    let mut changed = false;
    let older = messages.len().saturating_sub(LATEST);
    let passes: [(usize, Elide); 3] = [
        (older, elide_result),
        (older, elide_arguments),
        (messages.len(), elide_result),
    ];
    for (end, elide) in passes {
        for at in middle_out(end) {
            if length(messages, tools) <= budget.low {
                return changed;
            }
            changed |= elide(&mut messages[at]);
        }
    }
    changed
}

/// The positions from 0 up to `end`, those in the middle first.
fn middle_out(end: usize) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..end).collect();
    positions.sort_by_key(|position| (2 * position + 1).abs_diff(end));
    positions
}

fn elide_result(message: &mut Message) -> bool {
    let Message::Tool { content, .. } = message else {
        return false;
    };
    if content.len() <= SHORT {
        return false;
    }
    *content = format!("[elided: {} bytes]", content.len());
    true
}

fn elide_arguments(message: &mut Message) -> bool {
    let Message::Assistant { tool_calls, .. } = message else {
        return false;
    };
    let mut changed = false;
    for call in tool_calls {
        if call.arguments.len() > SHORT {
            let length = call.arguments.len();
            // Still a JSON object: several servers read the arguments of the history.
            call.arguments = format!("{{\"elided\":\"{length} bytes\"}}");
            changed = true;
        }
    }
    changed
}

/// The estimated tokens of a conversation.
fn length(messages: &[Message], tools: &[ToolSpec]) -> u64 {
    let said: usize = messages.iter().map(length_of).sum();
    let offered: usize = tools.iter().map(length_of_tool).sum();
    tokens(said + offered) as u64
}

fn length_of(message: &Message) -> usize {
    const OVERHEAD: usize = 16;
    OVERHEAD
        + match message {
            Message::System { content } | Message::User { content } | Message::Tool { content, .. } => content.len(),
            Message::Assistant { content, tool_calls } => {
                let calls = tool_calls
                    .iter()
                    .map(|call| OVERHEAD + call.name.len() + call.arguments.len());
                content.as_ref().map_or(0, String::len) + calls.sum::<usize>()
            }
        }
}

fn length_of_tool(tool: &ToolSpec) -> usize {
    tool.name.len() + tool.description.len() + tool.parameters.to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm::ToolCall;

    fn conversation(turns: usize, bytes: usize) -> Vec<Message> {
        let mut messages = vec![Message::system("rules"), Message::user("the task")];
        for turn in 0..turns {
            messages.push(Message::Assistant {
                content: None,
                tool_calls: vec![ToolCall {
                    id: format!("c{turn}"),
                    name: "write_file".into(),
                    arguments: format!("{{\"content\":\"{}\"}}", "y".repeat(bytes)),
                }],
            });
            messages.push(Message::tool(format!("c{turn}"), "x".repeat(bytes)));
        }
        messages
    }

    fn elided(messages: &[Message]) -> Vec<usize> {
        let elided = |message: &Message| match message {
            Message::Tool { content, .. } => content.starts_with("[elided: "),
            _ => false,
        };
        (0..messages.len()).filter(|at| elided(&messages[*at])).collect()
    }

    #[test]
    fn conversation_that_fits_is_unchanged() {
        let mut messages = conversation(10, 400);
        let before = messages.clone();
        assert!(!fit(&mut messages, &[], Budget::of(Some(10_000))));
        assert_eq!(messages, before);
    }

    #[test]
    fn results_in_the_middle_are_elided_first_and_the_request_stays() {
        let budget = Budget::of(Some(49_000));
        let mut messages = conversation(20, 4_000);
        assert!(fit(&mut messages, &[], budget));
        let gone = elided(&messages);
        assert!(gone.contains(&17) && gone.contains(&19), "{gone:?}");
        assert!(!gone.contains(&3) && !gone.contains(&41), "{gone:?}");
        assert_eq!(messages[1], Message::user("the task"));

        let before = messages.clone();
        assert!(!fit(&mut messages, &[], budget), "once is enough");
        assert_eq!(messages, before);
    }

    #[test]
    fn elided_arguments_stay_json() {
        let mut messages = conversation(10, 4_000);
        assert!(fit(&mut messages, &[], Budget::of(Some(10_000))));
        for message in &messages {
            if let Message::Assistant { tool_calls, .. } = message {
                for call in tool_calls {
                    assert!(serde_json::from_str::<serde_json::Value>(&call.arguments).is_ok());
                }
            }
        }
        assert!(messages.iter().map(length_of).sum::<usize>() / 4 <= 8_000);
    }

    #[test]
    fn conversation_without_anything_to_elide_is_unchanged() {
        let mut messages = vec![Message::system("s"), Message::user("u".repeat(100_000))];
        assert!(!fit(&mut messages, &[], Budget::of(Some(1_000))));
    }
}
