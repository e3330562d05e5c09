//! File errors that a model can act on.

use std::io;
use std::path::PathBuf;

use super::super::failure::ToolFailure;

#[derive(Debug, thiserror::Error)]
pub(in super::super) enum FileError {
    #[error(
        "`{path}` is outside the worktree or leads out of it through a symbolic link. Use paths inside it, relative to `{}`.",
        root.display()
    )]
    Outside { path: String, root: PathBuf },
    #[error("`{path}` belongs to git, which only the orchestrator touches. Use `shell` with git to look at history.")]
    Git { path: String },
    #[error("`{path}` is not a path: it contains a NUL character.")]
    NotAPath { path: String },
    #[error("`{path}` does not exist. `list_dir` shows what there is.")]
    NotFound { path: String },
    #[error("`{path}` is a directory. Use `list_dir` for it, or name a file in it.")]
    IsDirectory { path: String },
    #[error("`{path}` is not a directory.")]
    NotADirectory { path: String },
    #[error("a part of `{path}` is a file, not a directory.")]
    ThroughFile { path: String },
    #[error("`{path}` is a pipe, socket or device, not a file.")]
    Special { path: String },
    #[error("`{path}` is a symbolic link to something that does not exist.")]
    Dangling { path: String },
    #[error(
        "`{path}` has {bytes} bytes, more than the {limit_bytes} this tool takes. Use `shell`, for example with sed, head or grep."
    )]
    TooLarge { path: String, bytes: u64, limit_bytes: u64 },
    #[error("`{path}` may not be written by this worker. It may write: {allowed}.")]
    NotPermitted { path: String, allowed: String },
    #[error("`{path}` lies in the directory of long outputs, which can only be read.")]
    ReadOnlyDirectory { path: String },
    #[error("`{path}` could not be {doing}: {source}.", doing = past(doing))]
    System {
        doing: &'static str,
        path: String,
        source: io::Error,
    },
}

/// "read" and "written", as they follow "could not be".
fn past(doing: &str) -> &str {
    match doing {
        "write" => "written",
        "open" => "opened",
        other => other,
    }
}

impl FileError {
    fn kind(&self) -> &'static str {
        match self {
            FileError::Outside { .. } => "outside_worktree",
            FileError::Git { .. } | FileError::NotPermitted { .. } | FileError::ReadOnlyDirectory { .. } => {
                "not_permitted"
            }
            FileError::NotFound { .. } | FileError::Dangling { .. } => "not_found",
            FileError::TooLarge { .. } => "too_large",
            FileError::NotAPath { .. }
            | FileError::IsDirectory { .. }
            | FileError::NotADirectory { .. }
            | FileError::ThroughFile { .. }
            | FileError::Special { .. } => "wrong_kind",
            FileError::System { .. } => "system",
        }
    }
}

impl From<FileError> for ToolFailure {
    fn from(error: FileError) -> Self {
        ToolFailure::new(error.kind(), error.to_string())
    }
}
