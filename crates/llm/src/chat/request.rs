//! The body of a Chat Completions request.

use super::strict;
use crate::{
    prices::StructuredBy,
    settings::OutputLimit,
    types::{Message, OutputSchema, Request, ToolCall, ToolChoice, ToolSpec},
};
use serde_json::{Map, Value, json};

/// What differs between servers that speak this protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    pub(crate) stream: bool,
    pub(crate) output_limit: OutputLimit,
    pub(crate) structured: StructuredBy,
}

/// The request body. The order of keys, tools and messages is stable, so that providers can cache the prefix.
pub(crate) fn body(request: &Request, max_output: u64, dialect: Dialect) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(request.model.model));
    body.insert("messages".into(), request.messages.iter().map(message).collect());
    let mut tools: Vec<Value> = request.tools.iter().map(tool).collect();
    let mut choice = match &request.tool_choice {
        ToolChoice::Auto => None,
        _ if tools.is_empty() => None,
        ToolChoice::None => Some(json!("none")),
        ToolChoice::Required => Some(json!("required")),
        ToolChoice::Named(name) => Some(named(name)),
    };
    if let Some(schema) = &request.schema {
        match dialect.structured {
            StructuredBy::JsonSchema => {
                body.insert("response_format".into(), response_format(schema));
            }
            StructuredBy::Tool => {
                tools.push(tool(&answer_tool(schema)));
                choice = Some(named(&schema.name));
            }
        }
    }
    if !tools.is_empty() {
        body.insert("tools".into(), Value::Array(tools));
    }
    if let Some(choice) = choice {
        body.insert("tool_choice".into(), choice);
    }
    let limit = match dialect.output_limit {
        OutputLimit::MaxCompletionTokens => "max_completion_tokens",
        OutputLimit::MaxTokens => "max_tokens",
    };
    body.insert(limit.into(), json!(max_output));
    body.insert("stream".into(), json!(dialect.stream));
    if dialect.stream {
        body.insert("stream_options".into(), json!({ "include_usage": true }));
    }
    Value::Object(body)
}

fn message(message: &Message) -> Value {
    match message {
        Message::System { content } => json!({ "role": "system", "content": content }),
        Message::User { content } => json!({ "role": "user", "content": content }),
        Message::Assistant { content, tool_calls } if tool_calls.is_empty() => {
            json!({ "role": "assistant", "content": content.as_deref().unwrap_or_default() })
        }
        Message::Assistant { content, tool_calls } => json!({
            "role": "assistant",
            "content": content,
            "tool_calls": tool_calls.iter().map(tool_call).collect::<Vec<_>>(),
        }),
        Message::Tool { call_id, content } => {
            json!({ "role": "tool", "tool_call_id": call_id, "content": content })
        }
    }
}

fn tool_call(call: &ToolCall) -> Value {
    // Some servers parse arguments in the history, and reject the whole conversation if they are invalid.
    let arguments = match serde_json::from_str::<Map<String, Value>>(&call.arguments) {
        Ok(_) => call.arguments.clone(),
        Err(_) if call.arguments.trim().is_empty() => "{}".to_owned(),
        Err(_) => json!({ "invalid_arguments": call.arguments }).to_string(),
    };
    json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": arguments } })
}

fn tool(tool: &ToolSpec) -> Value {
    json!({
        "type": "function",
        "function": { "name": tool.name, "description": tool.description, "parameters": tool.parameters },
    })
}

fn named(tool: &str) -> Value {
    json!({ "type": "function", "function": { "name": tool } })
}

fn answer_tool(schema: &OutputSchema) -> ToolSpec {
    ToolSpec {
        name: schema.name.clone(),
        description: "Gives the answer. Call it once, with the whole answer.".into(),
        parameters: schema.schema.clone(),
    }
}

fn response_format(schema: &OutputSchema) -> Value {
    json!({
        "type": "json_schema",
        "json_schema": {
            "name": schema.name,
            "schema": schema.schema,
            "strict": strict::is_strict(&schema.schema),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CostRole, ModelRef};

    fn dialect(structured: StructuredBy) -> Dialect {
        Dialect {
            stream: true,
            output_limit: OutputLimit::MaxTokens,
            structured,
        }
    }

    fn request(messages: Vec<Message>) -> Request {
        Request::new(ModelRef::new("openai", "gpt-4"), CostRole::Worker, messages)
    }

    #[test]
    fn conversation_with_tools_matches_the_protocol() {
        let call = ToolCall {
            id: "call_1".into(),
            name: "shell".into(),
            arguments: r#"{"command":"ls"}"#.into(),
        };
        let mut request = request(vec![
            Message::system("rules"),
            Message::user("go"),
            Message::Assistant {
                content: None,
                tool_calls: vec![call],
            },
            Message::tool("call_1", "README.md"),
        ]);
        request.tools.push(ToolSpec {
            name: "shell".into(),
            description: "Runs a command.".into(),
            parameters: json!({ "type": "object" }),
        });
        request.tool_choice = ToolChoice::Required;
        assert_eq!(
            body(&request, 100, dialect(StructuredBy::JsonSchema)),
            json!({
                "model": "gpt-4",
                "messages": [
                    { "role": "system", "content": "rules" },
                    { "role": "user", "content": "go" },
                    { "role": "assistant", "content": null, "tool_calls": [{
                        "id": "call_1", "type": "function",
                        "function": { "name": "shell", "arguments": "{\"command\":\"ls\"}" },
                    }] },
                    { "role": "tool", "tool_call_id": "call_1", "content": "README.md" },
                ],
                "tools": [{ "type": "function", "function": {
                    "name": "shell", "description": "Runs a command.", "parameters": { "type": "object" },
                } }],
                "tool_choice": "required",
                "max_tokens": 100,
                "stream": true,
                "stream_options": { "include_usage": true },
            })
        );
    }

    #[test]
    fn schema_becomes_response_format_or_forced_tool() {
        let mut request = request(vec![Message::user("plan")]);
        request.schema = Some(OutputSchema {
            name: "plan".into(),
            schema: json!({ "type": "object" }),
            accepts: json!({ "type": "object" }),
        });
        let by_schema = body(&request, 10, dialect(StructuredBy::JsonSchema));
        assert_eq!(by_schema["response_format"]["json_schema"]["name"], "plan");
        assert!(by_schema.get("tools").is_none());
        let by_tool = body(&request, 10, dialect(StructuredBy::Tool));
        assert_eq!(by_tool["tool_choice"]["function"]["name"], "plan");
        assert_eq!(
            by_tool["tools"][0]["function"]["parameters"],
            json!({ "type": "object" })
        );
    }

    #[test]
    fn broken_arguments_in_the_history_are_sent_as_valid_json() {
        for arguments in ["{\"path\": ", "", "[1]", "\"text\""] {
            let call = ToolCall {
                id: "1".into(),
                name: "shell".into(),
                arguments: arguments.into(),
            };
            let sent = tool_call(&call);
            let text = sent["function"]["arguments"].as_str().unwrap();
            assert!(serde_json::from_str::<Map<String, Value>>(text).is_ok(), "{text}");
        }
    }
}
