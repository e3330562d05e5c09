//! Assembles tool calls from the chunks of a stream.

use crate::types::ToolCall;
use serde::Deserialize;
use serde_json::Value;

/// The most tool calls of one answer.
const MAX_CALLS: usize = 512;

/// A piece of a tool call.
#[derive(Debug, Deserialize)]
pub(super) struct CallPart {
    index: Option<u64>,
    id: Option<String>,
    function: Option<FunctionPart>,
}

#[derive(Debug, Deserialize)]
struct FunctionPart {
    name: Option<String>,
    arguments: Option<Value>,
}

/// The calls so far.
#[derive(Debug, Default)]
pub(super) struct CallParts {
    calls: Vec<PartialCall>,
    too_many: bool,
}

#[derive(Debug, Default)]
struct PartialCall {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl CallParts {
    /// Whether no call has started.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Adds a piece to the call it belongs to.
    pub(super) fn absorb(&mut self, part: CallPart) {
        let id = part.id.unwrap_or_default();
        let function = part.function.unwrap_or(FunctionPart {
            name: None,
            arguments: None,
        });
        let name = function.name.unwrap_or_default();
        let position = self.position(part.index, &id, &name);
        let call = match position {
            Some(position) => &mut self.calls[position],
            None if self.calls.len() >= MAX_CALLS => {
                self.too_many = true;
                return;
            }
            None => {
                self.calls.push(PartialCall {
                    index: part.index,
                    ..PartialCall::default()
                });
                match self.calls.last_mut() {
                    Some(call) => call,
                    None => return,
                }
            }
        };
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        match function.arguments {
            Some(Value::String(text)) => call.arguments.push_str(&text),
            None | Some(Value::Null) => {}
            // Some servers send the arguments as JSON instead of text.
            Some(document) => call.arguments.push_str(&document.to_string()),
        }
    }

    /// Finds the call of a part by index. Some servers use one index for several calls with different ids, others none.
    fn position(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let fits = |call: &PartialCall| id.is_empty() || call.id.is_empty() || call.id == id;
        match index {
            Some(index) => self
                .calls
                .iter()
                .rposition(|call| call.index == Some(index) && fits(call)),
            None if !id.is_empty() => self.calls.iter().rposition(|call| call.id == id),
            None if !name.is_empty() => None,
            None => self.calls.len().checked_sub(1),
        }
    }

    /// The calls, each with a unique id; the error names what is missing.
    pub(super) fn finish(self) -> Result<Vec<ToolCall>, String> {
        if self.too_many {
            return Err(format!("it has more than {MAX_CALLS} tool calls"));
        }
        let mut calls: Vec<ToolCall> = Vec::with_capacity(self.calls.len());
        for (number, call) in self.calls.into_iter().enumerate() {
            if call.name.is_empty() {
                return Err(format!("tool call {} has no name", number + 1));
            }
            let is_new = !call.id.is_empty() && calls.iter().all(|other| other.id != call.id);
            let id = if is_new {
                call.id
            } else {
                format!("call_{}", number + 1)
            };
            calls.push(ToolCall {
                id,
                name: call.name,
                arguments: call.arguments,
            });
        }
        Ok(calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn assembled(parts: Value) -> Vec<(String, String, String)> {
        let mut calls = CallParts::default();
        for part in serde_json::from_value::<Vec<CallPart>>(parts).unwrap() {
            calls.absorb(part);
        }
        calls
            .finish()
            .unwrap()
            .into_iter()
            .map(|call| (call.id, call.name, call.arguments))
            .collect()
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.into(), name.into(), arguments.into())
    }

    #[test]
    fn pieces_join_by_index_even_when_interleaved() {
        let parts = json!([
            { "index": 0, "id": "a", "function": { "name": "shell", "arguments": "" } },
            { "index": 1, "id": "b", "function": { "name": "finish", "arguments": "{\"x\"" } },
            { "index": 0, "function": { "arguments": "{}" } },
            { "index": 1, "id": null, "function": { "arguments": ":1}" } },
        ]);
        assert_eq!(
            assembled(parts),
            [call("a", "shell", "{}"), call("b", "finish", "{\"x\":1}")]
        );
    }

    #[test]
    fn calls_without_or_with_equal_indexes_are_separated() {
        let parts = json!([
            { "id": "a", "function": { "name": "shell", "arguments": "{}" } },
            { "id": "b", "function": { "name": "shell", "arguments": { "x": 1 } } },
        ]);
        assert_eq!(
            assembled(parts),
            [call("a", "shell", "{}"), call("b", "shell", "{\"x\":1}")]
        );
        let parts = json!([
            { "index": 0, "id": "a", "function": { "name": "shell", "arguments": "{}" } },
            { "index": 0, "id": "b", "function": { "name": "shell", "arguments": "{}" } },
        ]);
        assert_eq!(assembled(parts).len(), 2);
    }

    #[test]
    fn missing_and_doubled_ids_are_replaced() {
        let parts = json!([
            { "index": 0, "function": { "name": "one", "arguments": "{}" } },
            { "index": 1, "id": "x", "function": { "name": "two", "arguments": "{}" } },
            { "index": 2, "id": "x", "function": { "name": "three", "arguments": "{}" } },
        ]);
        let ids: Vec<_> = assembled(parts).into_iter().map(|(id, ..)| id).collect();
        assert_eq!(ids, ["call_1", "x", "call_3"]);
    }

    #[test]
    fn call_without_name_is_rejected() {
        let mut calls = CallParts::default();
        calls.absorb(serde_json::from_value(json!({ "index": 0, "function": { "arguments": "{}" } })).unwrap());
        assert!(calls.finish().unwrap_err().contains("no name"));
    }
}
