//! One process of a test, which strace can stop at system calls.

use crate::harness::Harness;
use e2e::{eventually, signal};
use rustix::process::Signal;
use serde_json::json;
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
};

/// One process.
pub(crate) struct Process {
    pub(crate) data_dir: PathBuf,
    child: Child,
    /// The output of strace, if it runs.
    lines: Option<Lines<BufReader<ChildStdout>>>,
    pid: Option<u32>,
}

impl Process {
    /// Starts a server or worker and waits until it serves; strace stops it after each of these system calls.
    pub(crate) async fn start(
        command: &str,
        data_dir: PathBuf,
        model: &str,
        stopped_at: &str,
        environment: Vec<(String, String)>,
        log: File,
    ) -> Self {
        let (trace, inject) = (
            format!("trace={stopped_at}"),
            format!("inject={stopped_at}:signal=STOP"),
        );
        let traced = ["strace", "-f", "-o", "/dev/stdout", "-e", &trace, "-e", &inject];
        let by = if stopped_at.is_empty() { &[][..] } else { &traced[..] };
        e2e::forget_address(&data_dir);
        let mut child = e2e::process(by, command, &data_dir, model)
            .envs(environment)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{error}: is strace installed? On Debian: sudo apt-get install strace"));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut process = Self {
            data_dir,
            pid: child.id().filter(|_| by.is_empty()),
            child,
            lines: (!by.is_empty()).then_some(lines),
        };
        process.step_until_it_serves().await;
        process.pid = published(&process.data_dir.join("server.json"))["pid"]
            .as_u64()
            .and_then(|pid| u32::try_from(pid).ok());
        process
    }

    pub(crate) async fn submit(&self, repository: &Path, check: &str) {
        let address = address(&self.data_dir.join("server.json")).unwrap();
        e2e::submit(&address, repository, Some(check)).await.unwrap();
    }

    /// The error with which it rejects a run.
    pub(crate) async fn refused(&self, repository: &Path) -> String {
        let address = address(&self.data_dir.join("server.json")).unwrap();
        let body = json!({"objective": "Do it", "workspace_path": repository});
        let answer = reqwest::Client::new()
            .post(format!("{address}/runs"))
            .json(&body)
            .send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 503);
        answer.text().await.unwrap()
    }

    /// Runs `clean` for all ended runs.
    pub(crate) async fn clean(&self) -> serde_json::Value {
        let address = address(&self.data_dir.join("server.json")).unwrap();
        let body = json!({"older_than_days": 0});
        let answer = reqwest::Client::new()
            .post(format!("{address}/clean"))
            .json(&body)
            .send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.unwrap()
    }

    /// Submits in the background, while it is stepped from stop to stop.
    pub(crate) fn submitting(&self, repository: &Path, check: &str) {
        let address = address(&self.data_dir.join("server.json")).unwrap();
        let (repository, check) = (repository.to_owned(), check.to_owned());
        tokio::spawn(async move { e2e::submit(&address, &repository, Some(&check)).await });
    }

    /// Steps it from stop to stop until it serves.
    async fn step_until_it_serves(&mut self) {
        let published = self.data_dir.join("server.json");
        let serves = eventually("the server is ready", || async { address(&published) });
        tokio::pin!(serves);
        loop {
            tokio::select! {
                _ = &mut serves => return,
                thread = next_stop(self.lines.as_mut()) => signal(thread, Signal::CONT),
            }
        }
    }

    /// Steps it from stop to stop until a condition holds; then it stays stopped.
    pub(crate) async fn step_until(&mut self, mut holds: impl AsyncFnMut() -> bool) {
        let stepping = async {
            loop {
                let thread = next_stop(self.lines.as_mut()).await;
                if holds().await {
                    return;
                }
                signal(thread, Signal::CONT);
            }
        };
        tokio::time::timeout(e2e::TIMEOUT, stepping)
            .await
            .expect("the process reaches the point");
    }

    pub(crate) fn stop(&self) {
        signal(self.pid.unwrap(), Signal::STOP);
    }

    /// Continues it for good: further stops are continued at once.
    pub(crate) fn wake(&mut self) {
        let pid = self.pid.unwrap();
        if let Some(mut lines) = self.lines.take() {
            tokio::spawn(async move {
                loop {
                    signal(next_stop(Some(&mut lines)).await, Signal::CONT);
                }
            });
        }
        signal(pid, Signal::CONT);
    }

    /// Waits for this many heartbeats: whatever it was doing when it woke has then ended or failed.
    pub(crate) async fn beats(&self, harness: &Harness, times: usize) {
        let mut last = String::new();
        let pid = i32::try_from(self.pid.unwrap()).unwrap();
        for _ in 0..times {
            last = eventually("the process sends a heartbeat", || async {
                let said: String =
                    sqlx::query_scalar("select expires_at::text from process where pid = $1 and expires_at > now()")
                        .bind(pid)
                        .fetch_optional(harness.pool())
                        .await
                        .unwrap()?;
                (said != last).then_some(said)
            })
            .await;
        }
        let worktrees = self.data_dir.join("worktrees");
        eventually("its worktrees are removed", || async {
            std::fs::read_dir(&worktrees).unwrap().next().is_none().then_some(())
        })
        .await;
    }

    pub(crate) async fn leave(mut self) {
        if let Some(pid) = self.pid.take() {
            signal(pid, Signal::KILL);
        }
        self.child.kill().await.unwrap();
    }
}

impl Drop for Process {
    /// Kills the server too, because strace doesn't.
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            signal(pid, Signal::KILL);
        }
    }
}

/// The next stopped thread; never resolves if nothing stops it or it has ended.
async fn next_stop(lines: Option<&mut Lines<BufReader<ChildStdout>>>) -> u32 {
    if let Some(lines) = lines {
        while let Ok(Some(line)) = lines.next_line().await {
            let stopped = line
                .split_once(' ')
                .filter(|(_, said)| said.contains("stopped by SIGSTOP"));
            if let Some(thread) = stopped.and_then(|(thread, _)| thread.parse().ok()) {
                return thread;
            }
        }
    }
    std::future::pending().await
}

fn published(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn address(path: &Path) -> Option<String> {
    published(path)["address"].as_str().map(str::to_owned)
}
