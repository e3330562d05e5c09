//! The tools of workers, confined to the worktree of the attempt.
//!
//! A [`ToolBox`] serves one attempt. Whatever a model sends, [`ToolBox::call`] answers with text that the model can act on:
//! what was wrong, with which value, and what to do instead. Nothing that a model sends is an internal error.

mod arguments;
mod edit_file;
mod failure;
mod files;
mod finish;
mod limits;
mod list_dir;
mod policy;
mod read_file;
mod search;
mod shell;
mod write_file;

pub use finish::{AcceptanceReport, AcceptanceStatus, Finish};
pub use limits::ToolLimits;
pub use policy::{PathGlobs, WritePolicy};

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use sandbox::{CancellationToken, Sandbox};
use serde::{Deserialize, Serialize};
use telemetry::TraceContext;

use failure::ToolFailure;
use files::Files;

/// The tools, in the order in which models see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// Replaces one exact piece of a file.
    EditFile,
    /// Ends the work with a report.
    Finish,
    /// Lists a directory.
    ListDir,
    /// Reads a window of a file.
    ReadFile,
    /// Searches files by regular expression.
    Search,
    /// Runs a command in the sandbox.
    Shell,
    /// Writes a whole file.
    WriteFile,
}

impl Tool {
    /// Every tool, sorted by name.
    pub const ALL: [Tool; 7] = [
        Tool::EditFile,
        Tool::Finish,
        Tool::ListDir,
        Tool::ReadFile,
        Tool::Search,
        Tool::Shell,
        Tool::WriteFile,
    ];

    /// The name by which models call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Tool::EditFile => "edit_file",
            Tool::Finish => "finish",
            Tool::ListDir => "list_dir",
            Tool::ReadFile => "read_file",
            Tool::Search => "search",
            Tool::Shell => "shell",
            Tool::WriteFile => "write_file",
        }
    }

    /// Whether it can change the worktree.
    #[must_use]
    pub const fn changes(self) -> bool {
        match self {
            Tool::EditFile | Tool::Shell | Tool::WriteFile => true,
            Tool::Finish | Tool::ListDir | Tool::ReadFile | Tool::Search => false,
        }
    }

    /// The tool of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Tool> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// Checks the arguments of a call without running it.
    ///
    /// # Errors
    /// The answer that the model would get.
    pub fn read_arguments(self, arguments: &str) -> Result<(), String> {
        let read = match self {
            Tool::EditFile => arguments::parse::<edit_file::Arguments>(arguments).map(drop),
            Tool::Finish => finish::run(arguments).map(drop),
            Tool::ListDir => arguments::parse::<list_dir::Arguments>(arguments).map(drop),
            Tool::ReadFile => arguments::parse::<read_file::Arguments>(arguments).map(drop),
            Tool::Search => arguments::parse::<search::Arguments>(arguments).map(drop),
            Tool::Shell => arguments::parse::<shell::Arguments>(arguments).map(drop),
            Tool::WriteFile => arguments::parse::<write_file::Arguments>(arguments).map(drop),
        };
        read.map_err(|failure| failure.text)
    }
}

/// The description of a tool for models.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// What it does and when to use it.
    pub description: &'static str,
    /// The JSON schema of its arguments.
    pub parameters: serde_json::Value,
}

/// The result of a call.
#[derive(Clone, Debug)]
pub struct ToolResult {
    /// The answer to the model.
    pub content: String,
    /// Whether the call did what was requested; for a command, whether its exit code is 0.
    pub ok: bool,
    /// The worker's report, if the call was `finish`.
    pub finish: Option<Finish>,
}

/// The settings of one attempt's tools.
#[derive(Clone, Debug)]
pub struct ToolSettings {
    /// The attempt's worktree; paths are relative to it.
    pub worktree: PathBuf,
    /// The repository behind it, which commands may read.
    pub hub: Option<PathBuf>,
    /// An existing directory outside the worktree for output that is too long to show; readable by the worker.
    pub outputs: PathBuf,
    /// The tools of the worker's profile.
    pub allowed: BTreeSet<Tool>,
    /// What it may write.
    pub write_policy: WritePolicy,
    /// The limits of the tools.
    pub limits: ToolLimits,
    /// Environment variables of every command, in addition to the sandbox's.
    pub shell_env: Vec<(String, String)>,
    /// Directories outside the worktree that commands may write, such as a shared build cache.
    pub build_caches: Vec<PathBuf>,
}

/// The tools of one attempt.
#[derive(Debug)]
pub struct ToolBox {
    settings: ToolSettings,
    files: Arc<Files>,
    sandbox: Arc<Sandbox>,
    /// Numbers the files with long outputs.
    output_count: AtomicU32,
}

/// The worktree or the output directory cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the directory `{}` of a worker cannot be opened: {source}", path.display())]
pub struct ToolBoxError {
    path: PathBuf,
    source: std::io::Error,
}

impl ToolBox {
    /// Opens the worktree and the output directory.
    ///
    /// # Errors
    /// When one of them is not a readable directory.
    pub fn new(settings: ToolSettings, sandbox: Arc<Sandbox>) -> Result<Self, ToolBoxError> {
        let files = Files::open(&settings.worktree, &settings.outputs)
            .map_err(|(path, source)| ToolBoxError { path, source })?;
        Ok(Self {
            settings,
            files: Arc::new(files),
            sandbox,
            output_count: AtomicU32::new(0),
        })
    }

    /// The allowed tools in a stable order, so that providers can cache the prefix of the prompt.
    #[must_use]
    pub fn specs(&self) -> Vec<Spec> {
        self.settings.allowed.iter().map(|tool| spec(*tool)).collect()
    }

    /// Performs one call of a model.
    ///
    /// Cancelling ends a running command or search; the result says so.
    pub async fn call(
        &self,
        name: &str,
        arguments: &str,
        cancel: &CancellationToken,
        parent: Option<&TraceContext>,
    ) -> ToolResult {
        let running = match parent {
            Some(parent) => telemetry::tool::started_in(parent, name),
            None => telemetry::tool::started(name),
        };
        match self.dispatch(name, arguments, cancel).await {
            Ok(done) => {
                running.completed();
                ToolResult {
                    content: done.content,
                    ok: done.ok,
                    finish: done.finish,
                }
            }
            Err(failure) => {
                running.failed(failure.kind);
                ToolResult {
                    content: failure.text,
                    ok: false,
                    finish: None,
                }
            }
        }
    }

    async fn dispatch(&self, name: &str, arguments: &str, cancel: &CancellationToken) -> Result<Done, ToolFailure> {
        let tool = Tool::named(name).filter(|tool| self.settings.allowed.contains(tool));
        let tool = tool.ok_or_else(|| self.unknown(name))?;
        let limits = &self.settings.limits;
        match tool {
            Tool::EditFile => edit_file::run(self, arguments).await,
            Tool::Finish => finish::run(arguments),
            Tool::ListDir => list_dir::run(Arc::clone(&self.files), limits, arguments).await,
            Tool::ReadFile => read_file::run(Arc::clone(&self.files), limits, arguments).await,
            Tool::Search => search::run(Arc::clone(&self.files), limits, arguments, cancel).await,
            Tool::Shell => shell::run(self, arguments, cancel).await,
            Tool::WriteFile => write_file::run(self, arguments).await,
        }
    }

    fn unknown(&self, name: &str) -> ToolFailure {
        let names: Vec<&str> = self.settings.allowed.iter().map(|tool| tool.name()).collect();
        let reason = if Tool::named(name).is_some() {
            "is not available to this worker"
        } else {
            "does not exist"
        };
        ToolFailure::new(
            "unknown_tool",
            format!("The tool `{name}` {reason}. The tools are: {}.", names.join(", ")),
        )
    }
}

/// The result of a tool that did what was requested.
struct Done {
    content: String,
    ok: bool,
    finish: Option<Finish>,
}

impl Done {
    fn text(content: String) -> Self {
        Self {
            content,
            ok: true,
            finish: None,
        }
    }
}

fn spec(tool: Tool) -> Spec {
    let (description, parameters) = match tool {
        Tool::EditFile => (edit_file::DESCRIPTION, arguments::schema::<edit_file::Arguments>()),
        Tool::Finish => (finish::DESCRIPTION, arguments::schema::<Finish>()),
        Tool::ListDir => (list_dir::DESCRIPTION, arguments::schema::<list_dir::Arguments>()),
        Tool::ReadFile => (read_file::DESCRIPTION, arguments::schema::<read_file::Arguments>()),
        Tool::Search => (search::DESCRIPTION, arguments::schema::<search::Arguments>()),
        Tool::Shell => (shell::DESCRIPTION, arguments::schema::<shell::Arguments>()),
        Tool::WriteFile => (write_file::DESCRIPTION, arguments::schema::<write_file::Arguments>()),
    };
    Spec {
        name: tool.name(),
        description,
        parameters,
    }
}

/// Runs blocking file work on a thread for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ToolFailure> + Send + 'static,
) -> Result<T, ToolFailure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(ToolFailure::new(
            "internal",
            format!("The tool broke down ({error}); try another way."),
        ))
    })
}

#[cfg(test)]
mod tests;
