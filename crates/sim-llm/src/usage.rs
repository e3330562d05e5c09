//! The token usage that an answer reports.

use serde_json::Value;

use crate::rule::{Rule, Usage};

/// Estimated bytes per token.
const BYTES_PER_TOKEN: usize = 4;
/// Providers cache prefixes in steps of this many tokens, from [`MIN_CACHED_TOKENS`] on.
const CACHE_STEP_TOKENS: u64 = 128;
const MIN_CACHED_TOKENS: u64 = 1024;

/// Estimates four bytes per token. The prompt of the previous turn counts as cached, in steps as at providers.
pub(crate) fn estimate(request: &Value, rule: &Rule) -> Usage {
    let tokens = |bytes: usize| bytes.div_ceil(BYTES_PER_TOKEN) as u64;
    let messages = request["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let size = |messages: &[Value]| messages.iter().map(|message| message.to_string().len()).sum::<usize>();
    let fixed = request["tools"].to_string().len() + request["response_format"].to_string().len();
    let sent_before = messages.iter().rposition(|message| message["role"] == "assistant");
    let cached = sent_before.map_or(0, |end| {
        tokens(fixed + size(&messages[..end])) / CACHE_STEP_TOKENS * CACHE_STEP_TOKENS
    });
    let spoken = rule.say.as_ref().map_or(0, String::len);
    let called: usize = rule
        .tool_calls
        .iter()
        .map(|call| call.name.len() + call.arguments.len())
        .sum();
    Usage {
        prompt_tokens: tokens(fixed + size(messages)),
        cached_tokens: if cached < MIN_CACHED_TOKENS { 0 } else { cached },
        completion_tokens: tokens(spoken + called).max(1),
    }
}
