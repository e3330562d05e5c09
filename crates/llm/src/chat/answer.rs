//! Assembles an answer of Chat Completions from the chunks of a stream, or from one document.

use super::call_parts::{CallPart, CallParts};
use crate::{
    failure::{Failure, FailureKind},
    types::{StopReason, ToolCall, Usage},
};
use serde::Deserialize;
use serde_json::Value;

/// The largest token count that is accepted from a server, so that sums over a run don't overflow.
const MAX_TOKENS: f64 = 1e12;

/// A chunk of a stream, or a whole answer: they differ only in `delta` and `message`.
#[derive(Debug, Deserialize)]
pub(crate) struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    model: Option<String>,
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    index: Option<u64>,
    delta: Option<Delta>,
    message: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Delta {
    content: Option<Value>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallPart>>,
}

#[derive(Debug, Deserialize)]
struct WireUsage {
    prompt_tokens: Option<f64>,
    completion_tokens: Option<f64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for cached tokens.
    prompt_cache_hit_tokens: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<f64>,
    cache_write_tokens: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<f64>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) content: Option<String>,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) usage: Option<Usage>,
    pub(crate) stop: StopReason,
    pub(crate) model: Option<String>,
}

/// An answer that is being assembled.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    content: String,
    refusal: String,
    calls: CallParts,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    model: Option<String>,
    saw_choice: bool,
}

impl Assembly {
    /// Adds a chunk.
    pub(crate) fn absorb(&mut self, chunk: Chunk) -> Result<(), Failure> {
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(Failure::of_stream(&error));
        }
        if let Some(model) = chunk.model.filter(|model| !model.is_empty()) {
            self.model = Some(model);
        }
        if let Some(usage) = chunk.usage.as_ref().and_then(WireUsage::counted) {
            self.usage = Some(usage);
        }
        // The request asks for one answer; further choices are ignored.
        let first = chunk
            .choices
            .into_iter()
            .flatten()
            .find(|choice| choice.index.unwrap_or(0) == 0);
        let Some(choice) = first else { return Ok(()) };
        self.saw_choice = true;
        if let Some(delta) = choice.delta.or(choice.message) {
            self.content.push_str(&text(delta.content));
            self.refusal.push_str(&delta.refusal.unwrap_or_default());
            delta
                .tool_calls
                .into_iter()
                .flatten()
                .for_each(|part| self.calls.absorb(part));
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            self.finish_reason = Some(reason);
        }
        Ok(())
    }

    /// Whether any content has arrived.
    pub(crate) fn has_started(&self) -> bool {
        !self.content.is_empty() || !self.refusal.is_empty() || !self.calls.is_empty()
    }

    /// Whether the finish reason has arrived; only the usage may still follow.
    pub(crate) fn is_complete(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// The complete answer. A missing finish reason is the only sign of a truncated one.
    pub(crate) fn finish(mut self) -> Result<Answer, Failure> {
        let Some(finish_reason) = self.finish_reason.take() else {
            let kind = if self.saw_choice || self.usage.is_none() {
                FailureKind::Truncated("it ended without a finish reason".into())
            } else {
                FailureKind::Garbage("it has no choices".into())
            };
            return Err(Failure::accepted(kind));
        };
        // A valid empty answer has usage; without it, the stream broke.
        if !self.has_started() && self.usage.is_none() && finish_reason != "content_filter" {
            return Err(Failure::accepted(FailureKind::Garbage(
                "it is empty and has no usage".into(),
            )));
        }
        if finish_reason == "content_filter" {
            return Err(Failure::accepted(FailureKind::ContentFilter(
                "the answer was withheld".into(),
            )));
        }
        if !self.refusal.is_empty() && self.content.is_empty() && self.calls.is_empty() {
            return Err(Failure::accepted(FailureKind::ContentFilter(
                crate::failure::classify::shorten(&self.refusal),
            )));
        }
        let tool_calls = self
            .calls
            .finish()
            .map_err(|problem| Failure::accepted(FailureKind::Garbage(problem)))?;
        Ok(Answer {
            content: Some(self.content).filter(|content| !content.is_empty()),
            stop: stop_reason(finish_reason, !tool_calls.is_empty()),
            tool_calls,
            usage: self.usage,
            model: self.model,
        })
    }
}

impl WireUsage {
    /// The counts, clamped to each other; `None` if the server sent none.
    fn counted(&self) -> Option<Usage> {
        let count = |number: Option<f64>| number.map_or(0, |number| number.clamp(0.0, MAX_TOKENS) as u64);
        if self.prompt_tokens.is_none() && self.completion_tokens.is_none() {
            return None;
        }
        let input = count(self.prompt_tokens);
        let output = count(self.completion_tokens);
        let details = self.prompt_tokens_details.as_ref();
        let cached = details
            .and_then(|details| details.cached_tokens)
            .or(self.prompt_cache_hit_tokens);
        let cached = count(cached).min(input);
        let cache_write = count(details.and_then(|details| details.cache_write_tokens)).min(input - cached);
        let reasoning = self
            .completion_tokens_details
            .as_ref()
            .and_then(|details| details.reasoning_tokens);
        Some(Usage {
            input,
            output,
            cached,
            cache_write,
            reasoning: count(reasoning).min(output),
        })
    }
}

/// Plain text, or the text of a list of parts.
fn text(content: Option<Value>) -> String {
    match content {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(|part| part.get("text").and_then(Value::as_str))
            .collect(),
        _ => String::new(),
    }
}

fn stop_reason(reason: String, has_calls: bool) -> StopReason {
    match reason.as_str() {
        "length" | "max_tokens" => StopReason::Length,
        _ if has_calls => StopReason::ToolCalls,
        "stop" | "eos" | "end_turn" | "stop_sequence" | "tool_calls" | "function_call" => StopReason::Stop,
        _ => StopReason::Other(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn answer(chunks: &[Value]) -> Result<Answer, Failure> {
        let mut assembly = Assembly::default();
        for chunk in chunks {
            assembly.absorb(serde_json::from_value(chunk.clone()).unwrap())?;
        }
        assembly.finish()
    }

    #[test]
    fn unknown_fields_float_times_and_other_reasons_are_accepted() {
        let chunk = json!({
            "id": 7, "created": 1.5, "service_tier": "platinum", "system_fingerprint": null, "model": "m-1",
            "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "hi" }, "finish_reason": "eos" }],
            "usage": { "prompt_tokens": 10.0, "completion_tokens": 2, "total_tokens": 12 },
        });
        let answer = answer(&[chunk]).unwrap();
        assert_eq!((answer.content.as_deref(), answer.stop), (Some("hi"), StopReason::Stop));
        assert_eq!(
            answer.usage,
            Some(Usage {
                input: 10,
                output: 2,
                ..Usage::default()
            })
        );
        assert_eq!(answer.model.as_deref(), Some("m-1"));
    }

    #[test]
    fn usage_is_read_from_last_chunk_without_choices() {
        let answer = answer(&[
            json!({ "choices": [{ "delta": { "content": "a" } }], "usage": null }),
            json!({ "choices": [{ "delta": { "content": "b" }, "finish_reason": "stop" }] }),
            json!({ "choices": [], "usage": {
                "prompt_tokens": 100, "completion_tokens": 20,
                "prompt_tokens_details": { "cached_tokens": 64 },
                "completion_tokens_details": { "reasoning_tokens": 12 },
            } }),
        ])
        .unwrap();
        assert_eq!(answer.content.as_deref(), Some("ab"));
        assert_eq!(
            answer.usage,
            Some(Usage {
                input: 100,
                output: 20,
                cached: 64,
                cache_write: 0,
                reasoning: 12
            })
        );
    }

    #[test]
    fn whole_document_is_read_like_a_stream() {
        let answer = answer(&[json!({ "choices": [{ "message": {
            "content": null,
            "tool_calls": [{ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } }],
        }, "finish_reason": "stop" }] })])
        .unwrap();
        assert_eq!(answer.stop, StopReason::ToolCalls);
        assert_eq!(answer.tool_calls[0].name, "f");
        assert_eq!(answer.usage, None);
    }

    #[test]
    fn missing_finish_reason_means_truncated_answer() {
        let cut = answer(&[json!({ "choices": [{ "delta": { "tool_calls": [
            { "index": 0, "id": "c", "function": { "name": "f", "arguments": "{\"pa" } }
        ] } }] })]);
        assert!(matches!(cut.unwrap_err().kind, FailureKind::Truncated(_)));
    }

    #[test]
    fn empty_answer_is_valid_only_with_usage() {
        let empty = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
        let counted = json!({ "choices": [], "usage": { "prompt_tokens": 5, "completion_tokens": 0 } });
        assert_eq!(answer(&[empty.clone(), counted]).unwrap().content, None);
        assert!(matches!(answer(&[empty]).unwrap_err().kind, FailureKind::Garbage(_)));
    }

    #[test]
    fn filters_refusals_and_stream_errors_are_failures() {
        let filtered = answer(&[json!({ "choices": [{ "delta": {}, "finish_reason": "content_filter" }] })]);
        assert!(matches!(filtered.unwrap_err().kind, FailureKind::ContentFilter(_)));
        let refused = answer(&[json!({ "choices": [{ "delta": { "refusal": "no" }, "finish_reason": "stop" }] })]);
        assert!(matches!(refused.unwrap_err().kind, FailureKind::ContentFilter(_)));
        let broken = answer(&[json!({ "error": { "message": "overloaded", "code": 529 } })]);
        assert!(matches!(
            broken.unwrap_err().kind,
            FailureKind::Server { status: 529, .. }
        ));
    }

    proptest! {
        #[test]
        fn reported_usage_is_clamped(numbers in prop::array::uniform5(-1e30_f64..1e30)) {
            let [prompt, completion, cached, written, reasoning] = numbers;
            let usage = WireUsage {
                prompt_tokens: Some(prompt),
                completion_tokens: Some(completion),
                prompt_tokens_details: Some(PromptDetails {
                    cached_tokens: Some(cached),
                    cache_write_tokens: Some(written),
                }),
                completion_tokens_details: Some(CompletionDetails { reasoning_tokens: Some(reasoning) }),
                prompt_cache_hit_tokens: None,
            }
            .counted()
            .unwrap();
            prop_assert!(usage.cached + usage.cache_write <= usage.input && usage.reasoning <= usage.output);
            prop_assert!(usage.input.max(usage.output) <= MAX_TOKENS as u64);
        }
    }
}
