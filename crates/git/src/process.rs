//! Git processes: each sees none of the user's configuration, asks nobody, and ends in time.

use crate::error::{GitError, GitResult};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    ffi::OsString,
    io::Read,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Settings of git's own that refuse what another file system would take for `.git`, whatever a repository says.
const PROTECTION: [(&str, &str); 5] = [
    ("GIT_CONFIG_COUNT", "2"),
    ("GIT_CONFIG_KEY_0", "core.protectHFS"),
    ("GIT_CONFIG_VALUE_0", "true"),
    ("GIT_CONFIG_KEY_1", "core.protectNTFS"),
    ("GIT_CONFIG_VALUE_1", "true"),
];

/// A command that sees none of the user's, the system's or the caller's configuration.
pub(crate) fn isolated(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env(
            "PATH",
            std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin")),
        )
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .envs(PROTECTION)
        .stdin(Stdio::null());
    command
}

pub(crate) fn join(option: &str, path: &Path) -> OsString {
    let mut joined = OsString::from(option);
    joined.push(path);
    joined
}

pub(crate) struct Output {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Runs to the end or to the limit, whichever comes first. At the limit the command's own children end with it.
pub(crate) fn run(mut command: Command, name: &str, limit: Duration) -> GitResult<Output> {
    let failed = |source: std::io::Error| GitError::NotStarted {
        command: name.to_owned(),
        source,
    };
    let mut child = command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let Ok(stdout) = stdout.recv_timeout(limit) else {
        end(&mut child).map_err(failed)?;
        return Err(GitError::ProgramTooSlow {
            command: name.to_owned(),
            limit_s: limit.as_secs(),
        });
    };
    let status = child.wait().map_err(failed)?;
    // The process has ended, so its end of the pipe is closed.
    Ok(Output {
        status: status.code(),
        stdout,
        stderr: stderr.recv().unwrap_or_default(),
    })
}

fn end(child: &mut Child) -> std::io::Result<()> {
    match i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        Some(group) => kill_process_group(group, Signal::KILL)?,
        None => child.kill()?,
    }
    child.wait().map(drop)
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error still says more than nothing.
            pipe.read_to_end(&mut bytes).ok();
        }
        // The receiver is gone only after the time limit.
        sender.send(bytes).ok();
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::{isolated, run};
    use crate::GitError;
    use std::time::Duration;

    #[test]
    fn command_is_killed_with_its_children_at_its_limit() {
        let mut command = isolated("sh");
        command.args(["-c", "sleep 86400 & sleep 86400"]);
        let ended = run(command, "sh", Duration::from_millis(50));
        assert!(matches!(ended, Err(GitError::ProgramTooSlow { .. })));
    }
}
