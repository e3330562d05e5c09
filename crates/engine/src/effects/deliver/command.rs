//! Runs the operator's command outside the sandbox: without a shell, in an empty directory, with a clean environment and
//! limits.

use rustix::process::{Pid, Signal, kill_process_group};
use std::{ffi::OsString, io, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
};

/// The search path if this process has none.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The command to run.
pub(super) struct HostCommand<'a> {
    /// Program and arguments.
    pub(super) argv: &'a [String],
    /// Its environment besides PATH.
    pub(super) environment: &'a [(String, String)],
    /// Its working directory.
    pub(super) directory: &'a Path,
    /// The time limit.
    pub(super) limit: Duration,
    /// Bytes that are kept of each of its outputs; the rest is discarded.
    pub(super) output_bytes: usize,
}

/// The result of a command.
pub(super) struct Output {
    /// Whether it exited with 0.
    pub(super) is_success: bool,
    /// The exit code or the signal, for people.
    pub(super) status: String,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Kills the command's processes when dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Usually it has ended already.
            kill_process_group(group, Signal::KILL).unwrap_or_default();
        }
    }
}

/// Runs a command to its end; `None` at the time limit.
pub(super) async fn run(command: &HostCommand<'_>) -> io::Result<Option<Output>> {
    let mut child = spawn(command)?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let limit = command.output_bytes;
    let ended = tokio::time::timeout(command.limit, async {
        tokio::join!(child.wait(), read(stdout, limit), read(stderr, limit))
    })
    .await;
    drop(group);
    let Ok((status, stdout, stderr)) = ended else {
        child.wait().await?;
        return Ok(None);
    };
    let status = status?;
    Ok(Some(Output {
        is_success: status.success(),
        status: status.to_string(),
        stdout: stdout?,
        stderr: stderr?,
    }))
}

fn spawn(command: &HostCommand<'_>) -> io::Result<Child> {
    let (program, arguments) = command
        .argv
        .split_first()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from(PATH));
    Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .envs(command.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(command.directory)
        .process_group(0)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: usize) -> io::Result<String> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(limit as u64).read_to_end(&mut kept).await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, limit: Duration) -> Option<Output> {
        let argv = ["sh", "-c", script].map(str::to_owned);
        let environment = [("NAMED".to_owned(), "given".to_owned())];
        let command = HostCommand {
            argv: &argv,
            environment: &environment,
            directory: Path::new("/"),
            limit,
            output_bytes: 20,
        };
        run(&command).await.unwrap()
    }

    #[tokio::test]
    async fn it_sees_what_it_is_given_and_no_more() {
        let output = sh("echo $NAMED-$HOME-$CARGO_PKG_NAME; exit 3", Duration::from_secs(60)).await;
        let output = output.unwrap();
        assert_eq!((output.stdout.trim(), output.is_success), ("given--", false));
        assert!(output.status.contains('3'), "{}", output.status);
    }

    #[tokio::test]
    async fn its_output_and_its_time_are_limited() {
        let output = sh("head -c 1000000 /dev/zero | tr '\\0' x", Duration::from_secs(60)).await;
        assert_eq!(output.unwrap().stdout.len(), 20);
        assert!(
            sh("sleep 86400 & sleep 86400", Duration::from_millis(50))
                .await
                .is_none()
        );
    }
}
