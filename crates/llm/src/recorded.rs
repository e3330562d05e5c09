//! Reads a recorded stream with the code that reads one from a provider.

use crate::{
    chat::{Assembly, Chunk},
    events::Events,
    types::{StopReason, ToolCall},
};

/// The answer of a recorded stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The text.
    pub content: Option<String>,
    /// The requested tool calls.
    pub tool_calls: Vec<ToolCall>,
    /// Why the model stopped.
    pub stop: StopReason,
}

/// The answer in a stream of server-sent events, given as chunks.
///
/// # Errors
/// When the stream holds no valid answer; the text says why.
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
