//! Reads a stream that is at hand as a whole, by the same parts that read one from a provider.

use crate::{
    chat::{Assembly, Chunk},
    events::Events,
    types::{StopReason, ToolCall},
};

/// What a stream came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// What was said.
    pub content: Option<String>,
    /// The calls that were asked for.
    pub tool_calls: Vec<ToolCall>,
    /// Why it ended.
    pub stop: StopReason,
}

/// The answer in a stream of server-sent events that comes in these pieces.
///
/// # Errors
/// Says why it is no answer.
pub fn answer_in<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, line_bytes: usize) -> Result<Recorded, String> {
    let mut events = Events::new(line_bytes);
    let mut assembly = Assembly::default();
    'stream: for piece in pieces {
        for event in events.push(piece).map_err(|failure| failure.to_string())? {
            let data = event.strip_prefix(b"data: ").unwrap_or(&event).trim_ascii();
            if data == b"[DONE]" {
                break 'stream;
            }
            let chunk: Chunk = serde_json::from_slice(data).map_err(|error| error.to_string())?;
            assembly.absorb(chunk).map_err(|failure| failure.to_string())?;
        }
    }
    let answer = assembly.finish().map_err(|failure| failure.to_string())?;
    Ok(Recorded {
        content: answer.content,
        tool_calls: answer.tool_calls,
        stop: answer.stop,
    })
}
