//! `write_file`: a whole file at once.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::Files;
use super::{Done, ToolBox, ToolFailure, arguments, blocking};

pub(super) const DESCRIPTION: &str = "Writes a whole file of the worktree: makes it, with the directories it lies in, \
    or replaces all of it. To change a part of a file use edit_file.";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The file, relative to the worktree.
    path: String,
    /// All that the file shall hold.
    content: String,
}

pub(super) async fn run(tool_box: &ToolBox, arguments: &str) -> Result<Done, ToolFailure> {
    let Arguments { path, content } = arguments::parse(arguments)?;
    let limit_bytes = tool_box.settings.limits.write_bytes;
    if content.len() > limit_bytes {
        let text = format!(
            "The content for `{path}` has {} bytes, more than the {limit_bytes} a file may be given. Write it in parts.",
            content.len()
        );
        return Err(ToolFailure::new("too_large", text));
    }
    let files: Arc<Files> = Arc::clone(&tool_box.files);
    let policy = tool_box.settings.write_policy.clone();
    blocking(move || {
        let written = files.write(&path, content.as_bytes(), &policy)?;
        let lines = content.lines().count();
        Ok(Done::text(format!(
            "{written:?} `{path}`: {lines} lines, {} bytes.",
            content.len()
        )))
    })
    .await
}
