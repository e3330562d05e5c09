//! Checks requests for what strict providers reject.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::conversation::text_of;
use crate::history::History;
use crate::scenario::Scenario;
use crate::strict_schema;
use crate::violation::{Found, Violation, ViolationKind};

/// All violations of a request. Faults that the scenario scripts into the model's answers don't count against the client.
pub(crate) fn violations(request: &Value, scenario: &Scenario) -> Vec<Violation> {
    let Some(request) = request.as_object() else {
        return vec![Violation {
            kind: ViolationKind::NotJson,
            detail: "the body is not a JSON object".to_owned(),
        }];
    };
    let mut found = Found::default();
    parameters(request, &mut found);
    let offered = tools(request.get("tools"), &mut found);
    response_format(request.get("response_format"), &mut found);
    match request.get("messages").and_then(Value::as_array) {
        Some(messages) if !messages.is_empty() => {
            shapes(messages, &mut found);
            History::new(&offered, scenario, &mut found).walk(messages);
        }
        _ => found.add(ViolationKind::NoMessages, "messages must be a non-empty list"),
    }
    found.violations
}

fn parameters(request: &Map<String, Value>, found: &mut Found) {
    if request.get("model").and_then(Value::as_str).is_none_or(str::is_empty) {
        found.add(ViolationKind::BadParameter, "you must provide a model");
    }
    let given = |name: &str| request.get(name).is_some_and(|value| !value.is_null());
    if given("stream_options") && request.get("stream") != Some(&Value::Bool(true)) {
        found.add(
            ViolationKind::BadParameter,
            "stream_options is only allowed when stream is true",
        );
    }
    for name in ["tool_choice", "parallel_tool_calls"] {
        if given(name) && !given("tools") {
            found.add(
                ViolationKind::BadParameter,
                format!("{name} is only allowed when tools are given"),
            );
        }
    }
}

/// Checks the declared tools and returns their names.
fn tools(tools: Option<&Value>, found: &mut Found) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let Some(tools) = tools.filter(|tools| !tools.is_null()) else {
        return names;
    };
    let Some(tools) = tools.as_array().filter(|tools| !tools.is_empty()) else {
        found.add(
            ViolationKind::BadTool,
            "tools must be a non-empty list; omit it instead",
        );
        return names;
    };
    for (at, tool) in tools.iter().enumerate() {
        let function = &tool["function"];
        let name = function["name"].as_str().unwrap_or_default();
        if tool["type"] != "function" || !is_name(name) {
            found.add(
                ViolationKind::BadTool,
                format!("tools[{at}] must be of type function with a name of letters, digits, _ and -, not {name:?}"),
            );
        }
        if !names.insert(name.to_owned()) {
            found.add(
                ViolationKind::BadTool,
                format!("tools[{at}]: the name {name} is taken twice"),
            );
        }
        if function["strict"] == true {
            loose_schema(
                &function["parameters"],
                &format!("tools[{at}].function.parameters"),
                found,
            );
        }
    }
    names
}

fn is_name(name: &str) -> bool {
    let fitting = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '-';
    (1..=64).contains(&name.len()) && name.chars().all(fitting)
}

fn response_format(format: Option<&Value>, found: &mut Found) {
    let Some(format) = format.filter(|format| !format.is_null()) else {
        return;
    };
    match format["type"].as_str() {
        Some("text" | "json_object") => {}
        Some("json_schema") => {
            let json_schema = &format["json_schema"];
            if !is_name(json_schema["name"].as_str().unwrap_or_default()) {
                found.add(
                    ViolationKind::BadResponseFormat,
                    "response_format.json_schema needs a name of letters, digits, _ and -",
                );
            }
            if !json_schema["schema"].is_object() {
                found.add(
                    ViolationKind::BadResponseFormat,
                    "response_format.json_schema needs a schema",
                );
            } else if json_schema["strict"] == true {
                loose_schema(&json_schema["schema"], "response_format.json_schema.schema", found);
            }
        }
        other => found.add(
            ViolationKind::BadResponseFormat,
            format!("unknown response_format type {other:?}"),
        ),
    }
}

fn loose_schema(schema: &Value, place: &str, found: &mut Found) {
    for problem in strict_schema::problems(schema, place) {
        found.add(ViolationKind::LooseSchema, problem);
    }
}

/// Checks role and content of each message.
fn shapes(messages: &[Value], found: &mut Found) {
    if !matches!(messages[0]["role"].as_str(), Some("system" | "developer")) {
        found.add(ViolationKind::FirstNotSystem, "messages[0] must be the system message");
    }
    for (at, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        let has_content = message["content"].is_string() || message["content"].is_array();
        let complete = match role {
            "system" | "developer" | "user" => has_content && !text_of(message).is_empty(),
            "tool" => has_content,
            "assistant" => has_content || message["tool_calls"].is_array(),
            _ => {
                found.add(
                    ViolationKind::UnknownRole,
                    format!("messages[{at}] has the unknown role {role:?}"),
                );
                continue;
            }
        };
        if !complete {
            found.add(
                ViolationKind::EmptyMessage,
                format!("messages[{at}] ({role}) has no content"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Rule;
    use serde_json::json;

    fn kinds(request: &Value) -> Vec<ViolationKind> {
        let scenario = Scenario::from_rules(vec![
            Rule::any().call("invented", json!({})).raw_call("shell", "{broken"),
        ]);
        violations(request, &scenario)
            .into_iter()
            .map(|violation| violation.kind)
            .collect()
    }

    fn history(messages: &[Value]) -> Value {
        let mut all = vec![
            json!({"role": "system", "content": "s"}),
            json!({"role": "user", "content": "u"}),
        ];
        all.extend_from_slice(messages);
        json!({"model": "m", "messages": all, "tools": [{"type": "function", "function": {"name": "shell"}}]})
    }

    fn call(id: &str, name: &str, arguments: &str) -> Value {
        json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}]})
    }

    fn answer(id: &str) -> Value {
        json!({"role": "tool", "tool_call_id": id, "content": ""})
    }

    #[test]
    fn answered_history_is_valid() {
        assert_eq!(
            kinds(&history(&[
                call("a", "shell", "{}"),
                answer("a"),
                call("b", "shell", "{}"),
                answer("b")
            ])),
            []
        );
    }

    #[test]
    fn each_call_needs_exactly_one_result_in_its_place() {
        use ViolationKind::{UnansweredCall, UnexpectedToolMessage};
        assert_eq!(kinds(&history(&[call("a", "shell", "{}")])), [UnansweredCall]);
        let user = json!({"role": "user", "content": "hurry"});
        let late = [call("a", "shell", "{}"), user, answer("a")];
        assert_eq!(kinds(&history(&late)), [UnansweredCall, UnexpectedToolMessage]);
        let twice = [call("a", "shell", "{}"), answer("a"), answer("a")];
        assert_eq!(kinds(&history(&twice)), [UnexpectedToolMessage]);
    }

    #[test]
    fn tools_in_history_must_be_offered_unless_scripted() {
        assert_eq!(
            kinds(&history(&[call("a", "other", "{}"), answer("a")])),
            [ViolationKind::UnknownTool]
        );
        assert_eq!(kinds(&history(&[call("a", "invented", "{}"), answer("a")])), []);
        let mut taken_away = history(&[call("a", "shell", "{}"), answer("a")]);
        taken_away.as_object_mut().map(|request| request.remove("tools"));
        assert_eq!(kinds(&taken_away), [ViolationKind::UnknownTool]);
    }

    #[test]
    fn arguments_must_be_json_unless_scripted() {
        assert_eq!(
            kinds(&history(&[call("a", "shell", "{x"), answer("a")])),
            [ViolationKind::ArgumentsNotJson]
        );
        assert_eq!(kinds(&history(&[call("a", "shell", "{broken"), answer("a")])), []);
    }

    #[test]
    fn messages_need_known_roles_system_first_and_content() {
        use ViolationKind::{EmptyMessage, FirstNotSystem, NoMessages, UnknownRole};
        assert_eq!(kinds(&json!({"model": "m", "messages": []})), [NoMessages]);
        let odd = json!({"model": "m", "messages": [
            {"role": "user", "content": ""}, {"role": "function", "content": "x"}, {"role": "assistant"}]});
        assert_eq!(kinds(&odd), [FirstNotSystem, EmptyMessage, UnknownRole, EmptyMessage]);
    }

    #[test]
    fn dependent_parameters_are_rejected_alone() {
        let request = json!({"messages": [{"role": "system", "content": "s"}], "tool_choice": "none", "tools": null,
            "stream_options": {"include_usage": true}});
        assert_eq!(kinds(&request), [ViolationKind::BadParameter; 3]);
        let empty_tools = json!({"model": "m", "messages": [{"role": "system", "content": "s"}], "tools": []});
        assert_eq!(kinds(&empty_tools), [ViolationKind::BadTool]);
    }
}
