//! Keeping a long conversation within the model's window.
//!
//! What the worker was asked stays as it is, whatever happens. Results of tools go first, from the middle outwards:
//! the beginning says what the work is about, the end what it is at. Then what the calls themselves carried. What is
//! left out says how much it was, the same way each time, so that the prefix stays the same between compactions.

use crate::text::tokens;
use llm::{Message, ToolSpec};

/// The window of a model that is not known.
const UNKNOWN_WINDOW: u64 = 128_000;
/// Above this part of the window, in hundredths, the history is compacted.
const HIGH: u64 = 80;
/// To this part of it, so that it does not happen every turn.
const LOW: u64 = 60;
/// Messages at the end that stay whole as long as that is possible.
const LATEST: usize = 6;
/// What is shorter is not worth leaving out, in bytes.
const SHORT: usize = 200;

/// Leaves something out of a message; whether there was anything.
type Elide = fn(&mut Message) -> bool;

/// How much a conversation may take, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    high: u64,
    low: u64,
}

impl Room {
    /// The room in a model's window.
    pub(super) fn of(window: Option<u64>) -> Self {
        let window = window.unwrap_or(UNKNOWN_WINDOW);
        Self {
            high: window * HIGH / 100,
            low: window * LOW / 100,
        }
    }

    /// Half of what a conversation takes now, whatever the model's window is said to be.
    pub(super) fn half_of(messages: &[Message], tools: &[ToolSpec]) -> Self {
        let half = length(messages, tools) / 2;
        Self { high: half, low: half }
    }
}

/// Leaves things out until the conversation fits; whether it left out anything.
pub(super) fn fit(messages: &mut [Message], tools: &[ToolSpec], room: Room) -> bool {
    if length(messages, tools) <= room.high {
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
            if length(messages, tools) <= room.low {
                return changed;
            }
            changed |= elide(&mut messages[at]);
        }
    }
    changed
}

/// The places from 0 up to `end`, those in the middle first.
fn middle_out(end: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..end).collect();
    places.sort_by_key(|place| (2 * place + 1).abs_diff(end));
    places
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

/// About how many tokens a conversation takes.
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
    fn what_fits_is_left_alone() {
        let mut messages = conversation(10, 400);
        let before = messages.clone();
        assert!(!fit(&mut messages, &[], Room::of(Some(10_000))));
        assert_eq!(messages, before);
    }

    #[test]
    fn results_in_the_middle_go_first_and_the_request_stays() {
        let room = Room::of(Some(49_000));
        let mut messages = conversation(20, 4_000);
        assert!(fit(&mut messages, &[], room));
        let gone = elided(&messages);
        assert!(gone.contains(&17) && gone.contains(&19), "{gone:?}");
        assert!(!gone.contains(&3) && !gone.contains(&41), "{gone:?}");
        assert_eq!(messages[1], Message::user("the task"));

        let before = messages.clone();
        assert!(!fit(&mut messages, &[], room), "once is enough");
        assert_eq!(messages, before);
    }

    #[test]
    fn arguments_follow_and_stay_json() {
        let mut messages = conversation(10, 4_000);
        assert!(fit(&mut messages, &[], Room::of(Some(10_000))));
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
    fn when_nothing_is_left_to_leave_out_that_is_said() {
        let mut messages = vec![Message::system("s"), Message::user("u".repeat(100_000))];
        assert!(!fit(&mut messages, &[], Room::of(Some(1_000))));
    }
}
