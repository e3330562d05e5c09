//! One command to run, and its result.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{Limit, SandboxError};

/// The kernel takes no single argument longer than this.
const ARGUMENT_BYTES: usize = 128 * 1024 - 1;

/// What a job may do with its worktree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and write; `.git` stays read-only.
    ReadWrite,
    /// Read only.
    ReadOnly,
}

/// One command with everything it is granted.
#[derive(Clone, Debug)]
pub struct Job {
    /// Program and arguments, usually `["sh", "-c", command]`.
    pub argv: Vec<String>,
    /// The directory the command starts in, visible at its own path.
    pub worktree: PathBuf,
    /// Whether it may write there.
    pub worktree_access: Access,
    /// The bare repository behind the worktree, read-only at its own path.
    pub hub: Option<PathBuf>,
    /// More directories or files, read-only at their own paths.
    pub extra_read_only: Vec<PathBuf>,
    /// More directories, writable at their own paths, such as a shared build cache.
    pub extra_read_write: Vec<PathBuf>,
    /// Variables on top of the clean environment.
    pub env: Vec<(String, String)>,
    /// Time limit, after which the whole process tree is killed.
    pub time_limit: Duration,
    /// How much output is kept in memory: half for the beginning, half for the end.
    pub output_limit_bytes: usize,
    /// Where the whole output goes; an existing file is replaced.
    pub output_file: Option<PathBuf>,
    /// Cancelling it kills the whole process tree.
    pub cancel: CancellationToken,
}

impl Job {
    /// A command with a writable worktree, a limit of ten minutes, 64 KiB of output and no other grants.
    #[must_use]
    pub fn new(argv: Vec<String>, worktree: PathBuf) -> Self {
        Self {
            argv,
            worktree,
            worktree_access: Access::ReadWrite,
            hub: None,
            extra_read_only: Vec::new(),
            extra_read_write: Vec::new(),
            env: Vec::new(),
            time_limit: Duration::from_secs(600),
            output_limit_bytes: 64 * 1024,
            output_file: None,
            cancel: CancellationToken::new(),
        }
    }

    /// A shell command line; see [`Job::new`].
    #[must_use]
    pub fn shell(command: &str, worktree: PathBuf) -> Self {
        Self::new(vec!["sh".to_owned(), "-c".to_owned(), command.to_owned()], worktree)
    }

    /// Rejects what bubblewrap or the kernel would reject with a less clear error.
    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        if self.argv.first().is_none_or(String::is_empty) {
            return Err(SandboxError::BadJob("it names no program".to_owned()));
        }
        for argument in &self.argv {
            check_text("an argument", argument)?;
        }
        for (name, value) in &self.env {
            check_text(name, value)?;
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(SandboxError::BadJob(format!(
                    "`{name}` is not a valid name of an environment variable"
                )));
            }
        }
        let granted = self
            .hub
            .iter()
            .chain(&self.extra_read_only)
            .chain(&self.extra_read_write);
        for path in std::iter::once(&self.worktree).chain(granted) {
            check_grant(path).map_err(|reason| SandboxError::BadJob(format!("`{}` {reason}", path.display())))?;
        }
        // Its target would be granted, and a command may have created the link.
        if self.worktree.join(".git").is_symlink() {
            return Err(SandboxError::BadJob(format!(
                "`.git` of `{}` is a symbolic link; remove it",
                self.worktree.display()
            )));
        }
        if !self.worktree.is_dir() {
            return Err(SandboxError::BadJob(format!(
                "`{}` is not a directory",
                self.worktree.display()
            )));
        }
        Ok(())
    }
}

/// Whether a path can be bound into a sandbox; the error completes "`path` …".
pub(crate) fn check_grant(path: &Path) -> Result<(), String> {
    if !path.is_absolute() {
        return Err("is not an absolute path".to_owned());
    }
    if path == Path::new("/") {
        return Err("is the whole file system".to_owned());
    }
    if OsStr::as_bytes(path.as_os_str()).contains(&0) {
        return Err("contains a NUL byte".to_owned());
    }
    path.metadata()
        .map(drop)
        .map_err(|error| format!("is not accessible: {error}"))
}

fn check_text(what: &str, text: &str) -> Result<(), SandboxError> {
    if text.contains('\0') {
        return Err(SandboxError::BadJob(format!("{what} contains a NUL byte")));
    }
    if text.len() > ARGUMENT_BYTES {
        return Err(SandboxError::BadJob(format!(
            "{what} is {} bytes long, the system takes at most {ARGUMENT_BYTES}; write it to a file and run that",
            text.len()
        )));
    }
    Ok(())
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It ended by itself with this code; 128 + n usually means that signal n ended it.
    Code(i32),
    /// This signal ended it, from outside the sandbox.
    Signal(i32),
    /// Its time limit passed and it was killed.
    TimedOut,
    /// It was cancelled and killed.
    Cancelled,
    /// It reached this limit and was killed.
    OverLimit(Limit),
}

impl Exit {
    /// The limit it was killed for.
    #[must_use]
    pub fn limit(self) -> Option<Limit> {
        match self {
            Self::OverLimit(limit) => Some(limit),
            Self::Code(_) | Self::Signal(_) | Self::TimedOut | Self::Cancelled => None,
        }
    }
}

/// The result of a job whose command was started.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// Standard output and error in their order; if too long, a line replaces the middle.
    pub output_head_tail: String,
    /// Whether `output_head_tail` lacks the middle.
    pub output_cut: bool,
    /// A limit that it reached without being killed for it.
    pub reached: Option<Limit>,
    /// How much the command wrote.
    pub output_bytes: u64,
    /// From the start to the end, set-up included.
    pub duration: Duration,
    /// From the start until the command ran in its sandbox.
    pub created_in: Duration,
}

impl Finished {
    /// Whether the command ended by itself with code 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.exit == Exit::Code(0)
    }
}
