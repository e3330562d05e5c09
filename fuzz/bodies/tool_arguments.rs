//! Arguments of a tool call: read, or refused in words.

use agents::tools::Tool;

pub fn run(data: &[u8]) {
    let Some((first, arguments)) = data.split_first() else {
        return;
    };
    let Ok(arguments) = std::str::from_utf8(arguments) else {
        return;
    };
    let tool = Tool::ALL[usize::from(*first) % Tool::ALL.len()];
    if let Err(told) = tool.read_arguments(arguments) {
        assert!(!told.is_empty());
    }
}
