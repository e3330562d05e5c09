//! A command of the operator's, outside the sandbox: no shell, an empty directory, a clean environment, limits.

use rustix::process::{Pid, Signal, kill_process_group};
use std::{ffi::OsString, io, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
};

/// Where programs are looked for when this process has no path of its own.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What to run.
pub(super) struct HostCommand<'a> {
    /// Program and arguments.
    pub(super) argv: &'a [String],
    /// The variables it is given, besides PATH.
    pub(super) environment: &'a [(String, String)],
    /// Where it runs.
    pub(super) directory: &'a Path,
    /// How long it may take.
    pub(super) limit: Duration,
    /// Bytes that are read of each of its outputs; it goes on writing into nothing.
    pub(super) output_bytes: usize,
}

/// What it came to.
pub(super) struct Output {
    /// Whether it ended by itself and with 0.
    pub(super) is_success: bool,
    /// The exit code or the signal, in words.
    pub(super) status: String,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Its processes end with it, also when the future is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It has ended already, more often than not.
            kill_process_group(group, Signal::KILL).unwrap_or_default();
        }
    }
}

/// Runs it to its end. `None` at the time limit.
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
