//! Builds conversations that every provider accepts.

use llm::Message;

/// Adds a user message. Consecutive user messages, which some servers refuse, become one.
pub(crate) fn say(messages: &mut Vec<Message>, text: &str) {
    match messages.last_mut() {
        Some(Message::User { content }) => {
            content.push_str("\n\n");
            content.push_str(text);
        }
        _ => messages.push(Message::user(text)),
    }
}

/// Adds a text answer of the model.
pub(crate) fn answered(messages: &mut Vec<Message>, text: String) {
    messages.push(Message::Assistant {
        content: Some(text),
        tool_calls: Vec::new(),
    });
}
