//! Derives from the messages which agent calls the model, and at which turn.

use serde_json::Value;

/// What a rule can match on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conversation {
    pub(crate) model: String,
    /// From the first line of the system message, `# role: worker (coder)`; `unknown` for foreign clients.
    pub(crate) role: String,
    pub(crate) profile: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) attempt: u32,
    pub(crate) file: Option<String>,
    pub(crate) hunk: Option<u32>,
    /// The number of the requested answer: one more than the assistant messages so far.
    pub(crate) turn: u32,
    /// All text since the model's last answer, without the system message.
    pub(crate) news: String,
}

impl Conversation {
    /// Never fails: missing or malformed parts keep their defaults; `check` reports them.
    pub(crate) fn derive(request: &Value) -> Self {
        let messages = request["messages"].as_array().map_or(&[][..], Vec::as_slice);
        let (role, profile) = role_and_profile(&text_of_first(messages, &["system", "developer"]));
        let brief = text_of_first(messages, &["user"]);
        let spoken = messages.iter().filter(|message| message["role"] == "assistant").count();
        Self {
            model: request["model"].as_str().unwrap_or_default().to_owned(),
            role,
            profile,
            task: line_value(&brief, "task").map(str::to_owned),
            attempt: line_value(&brief, "attempt")
                .and_then(|text| text.parse().ok())
                .unwrap_or(1),
            file: line_value(&brief, "file").map(str::to_owned),
            hunk: line_value(&brief, "hunk").and_then(|text| text.parse().ok()),
            turn: u32::try_from(spoken).unwrap_or(u32::MAX - 1) + 1,
            news: news(messages),
        }
    }
}

/// The text of a message whose content is a string or a list of text parts.
pub(crate) fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect::<Vec<_>>()
            .join("\n"),
        _ => String::new(),
    }
}

fn text_of_first(messages: &[Value], roles: &[&str]) -> String {
    let first = messages
        .iter()
        .find(|message| message["role"].as_str().is_some_and(|role| roles.contains(&role)));
    first.map(text_of).unwrap_or_default()
}

fn role_and_profile(system: &str) -> (String, Option<String>) {
    let Some(declared) = system.lines().next().and_then(|line| line.strip_prefix("# role:")) else {
        return ("unknown".to_owned(), None);
    };
    match declared.trim().split_once('(') {
        Some((role, profile)) => (
            role.trim().to_owned(),
            Some(profile.trim_end().trim_end_matches(')').trim().to_owned()),
        ),
        None => (declared.trim().to_owned(), None),
    }
}

/// The value of the first line `name: value`.
fn line_value<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

fn news(messages: &[Value]) -> String {
    let after_model = messages
        .iter()
        .rposition(|message| message["role"] == "assistant")
        .map_or(0, |at| at + 1);
    let heard = messages[after_model..]
        .iter()
        .filter(|message| message["role"] != "system" && message["role"] != "developer");
    heard.map(text_of).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn worker_context_is_read_from_its_messages() {
        let conversation = Conversation::derive(&json!({"model": "m", "messages": [
            {"role": "system", "content": "# role: worker (coder)\nrules"},
            {"role": "user", "content": "task: top-words\nattempt: 2\ndo it"},
            {"role": "assistant", "content": "reading"},
            {"role": "user", "content": [{"type": "text", "text": "go on"}]},
        ]}));
        assert_eq!(conversation.role, "worker");
        assert_eq!(conversation.profile.as_deref(), Some("coder"));
        assert_eq!(conversation.task.as_deref(), Some("top-words"));
        assert_eq!((conversation.attempt, conversation.turn), (2, 2));
        assert_eq!(conversation.news, "go on");
    }

    #[test]
    fn resolver_context_is_its_file_and_hunk() {
        let conversation = Conversation::derive(&json!({"model": "m", "messages": [
            {"role": "system", "content": "# role: resolver"},
            {"role": "user", "content": "task: a\nfile: lib/x.sh\nhunk: 3\n"},
        ]}));
        assert_eq!(conversation.role, "resolver");
        assert_eq!(conversation.file.as_deref(), Some("lib/x.sh"));
        assert_eq!(conversation.hunk, Some(3));
    }

    #[test]
    fn foreign_client_has_unknown_role_and_turn_one() {
        let conversation = Conversation::derive(&json!({"messages": [{"role": "user", "content": "hello"}]}));
        assert_eq!(
            (conversation.role.as_str(), conversation.turn, conversation.attempt),
            ("unknown", 1, 1)
        );
        assert_eq!(conversation.task, None);
    }
}
