//! Estimates the length of prompts in tokens, without the model's vocabulary.

use crate::types::{Message, Request, ToolSpec};

/// Tokens of a message besides its text.
const PER_MESSAGE: u64 = 4;

/// An estimated length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// The likely length: four bytes per token.
    pub likely: u64,
    /// A length that is rarely exceeded: three bytes per token, and fewer outside ASCII.
    pub high: u64,
}

impl Estimate {
    fn add_text(&mut self, text: &str) {
        let bytes = text.len() as u64;
        let other = text.bytes().filter(|byte| !byte.is_ascii()).count() as u64;
        self.likely += bytes.div_ceil(4);
        self.high += (bytes - other).div_ceil(3) + (other * 2).div_ceil(3);
    }

    fn add_fixed(&mut self, tokens: u64) {
        self.likely += tokens;
        self.high += tokens;
    }
}

/// The length of a conversation with the tools it may use.
pub fn estimate(messages: &[Message], tools: &[ToolSpec]) -> Estimate {
    let mut sum = Estimate::default();
    for message in messages {
        sum.add_fixed(PER_MESSAGE);
        match message {
            Message::System { content } | Message::User { content } => sum.add_text(content),
            Message::Assistant { content, tool_calls } => {
                sum.add_text(content.as_deref().unwrap_or_default());
                for call in tool_calls {
                    sum.add_fixed(PER_MESSAGE);
                    [&call.id, &call.name, &call.arguments]
                        .into_iter()
                        .for_each(|text| sum.add_text(text));
                }
            }
            Message::Tool { call_id, content } => {
                sum.add_text(call_id);
                sum.add_text(content);
            }
        }
    }
    for tool in tools {
        sum.add_fixed(2 * PER_MESSAGE);
        sum.add_text(&tool.name);
        sum.add_text(&tool.description);
        sum.add_text(&tool.parameters.to_string());
    }
    sum
}

/// The length of a request.
pub(crate) fn of_request(request: &Request) -> Estimate {
    let mut sum = estimate(&request.messages, &request.tools);
    if let Some(schema) = &request.schema {
        sum.add_fixed(2 * PER_MESSAGE);
        sum.add_text(&schema.name);
        sum.add_text(&schema.schema.to_string());
    }
    sum
}

/// The length of an answer whose provider does not report it.
pub(crate) fn of_answer(content: Option<&str>, calls: &[crate::types::ToolCall]) -> Estimate {
    let message = Message::Assistant {
        content: content.map(str::to_owned),
        tool_calls: calls.to_vec(),
    };
    estimate(&[message], &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn high_estimate_exceeds_likely_one_and_grows_with_non_ascii() {
        let of = |text: &str| estimate(&[Message::user(text)], &[]);
        let (plain, foreign) = (of(&"word ".repeat(100)), of(&"字".repeat(100)));
        assert!(plain.high > plain.likely && plain.likely >= 125);
        assert!(foreign.high >= 200, "two tokens a character at most: {foreign:?}");
    }
}
