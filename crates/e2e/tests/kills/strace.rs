//! SIGKILL at a system call: `strace` runs the server and stops it there, and the test kills it.
//!
//! strace counts per thread, but many threads make the calls that change files. So the whole process is stopped after each
//! of them (SIGSTOP) and continued (SIGCONT) until the chosen one, which counts per process. One thread uses the database
//! (`TOKIO_WORKER_THREADS=1`), and a `rename` is a thread's last action on a file: there strace's count suffices, and the
//! call never happens.

use crate::watch::{QUIET, Watch};
use e2e::{server, signal};
use rustix::process::Signal;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
    task::JoinHandle,
};

/// Calls that change or flush something on disk.
const FILE_CALLS: &str = "fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink";

/// How long strace may take to report an end.
const GRACE: Duration = Duration::from_secs(3);
const CHECKOUT_CALLS: &str = "openat,write,copy_file_range,close,rename,link,linkat,unlink";
const CHECKOUT_FILES: [&str; 6] = [
    "index",
    "index.lock",
    "orchestrator-index",
    "orchestrator-index-lock",
    "refs/heads/main",
    "refs/heads/main.lock",
];

/// When the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillPoint {
    /// After this many calls that change files, over all threads.
    AfterFile(usize),
    /// Before a thread's nth `rename`: its lock file is written and closed.
    BeforeRename(usize),
    /// Before the nth call on a file of the user's checkout: its index, its branch, their locks.
    InCheckout(usize),
    /// Before a thread's nth send, which is nearly always to the database.
    BeforeSend(usize),
    /// After a time.
    AtRandom(Duration),
    /// Never, to count the calls.
    Never,
    /// Never, without strace.
    Spared,
}

impl KillPoint {
    /// The kind, as named in the table.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::AfterFile(_) => "after fsync, rename, link, unlink",
            Self::BeforeRename(_) => "before rename",
            Self::InCheckout(_) => "before a call on the checkout",
            Self::BeforeSend(_) => "before a send",
            Self::AtRandom(_) => "at a random time",
            Self::Never | Self::Spared => "never",
        }
    }

    fn arguments(self, repository: &Path) -> Vec<String> {
        let (trace, inject) = match self {
            Self::AfterFile(_) | Self::Never => (FILE_CALLS, "signal=STOP".to_owned()),
            Self::BeforeRename(when) => ("rename", format!("signal=KILL:when={when}")),
            Self::InCheckout(when) => (CHECKOUT_CALLS, format!("signal=KILL:when={when}")),
            Self::BeforeSend(when) => ("sendto", format!("signal=KILL:when={when}")),
            Self::AtRandom(_) | Self::Spared => return Vec::new(),
        };
        let mut arguments = ["strace", "-f", "-y", "-s", "160", "-o", "/dev/stdout"]
            .map(str::to_owned)
            .to_vec();
        if let Self::InCheckout(_) = self {
            let paths = CHECKOUT_FILES.map(|file| repository.join(".git").join(file).display().to_string());
            arguments.extend(paths.into_iter().flat_map(|path| ["-P".into(), path]));
        }
        arguments.extend(["-e".into(), format!("trace=execve,{trace}")]);
        arguments.extend(["-e".into(), format!("inject={trace}:{inject}")]);
        arguments
    }
}

/// A server that will be killed, with its strace.
pub(crate) struct Doomed {
    kill_point: KillPoint,
    data_dir: PathBuf,
    child: Child,
    watching: JoinHandle<Watched>,
    /// Only used without strace.
    pid: Option<u32>,
}

/// What strace saw of a server.
#[derive(Default)]
pub(crate) struct Watched {
    /// The calls that change files, in order, without parts that differ between runs.
    pub(crate) calls: Vec<String>,
    /// The most `rename`s of one thread.
    pub(crate) renames: usize,
    /// The call at which it was killed.
    pub(crate) site: Option<String>,
}

impl Doomed {
    /// Starts the server; its log goes to a file beside its data.
    pub(crate) fn start(kill_point: KillPoint, data_dir: &Path, model: &str, environment: &[(&str, &str)]) -> Self {
        let arguments = kill_point.arguments(&data_dir.with_file_name("repository"));
        let by: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(data_dir.with_extension("log"))
            .unwrap();
        e2e::forget_address(data_dir);
        let mut command = server(&by, data_dir, model);
        command
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log);
        if matches!(kill_point, KillPoint::BeforeSend(_)) {
            command.env("TOKIO_WORKER_THREADS", "1");
        }
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{error}: is strace installed? On Debian: sudo apt-get install strace"));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let pid = by.is_empty().then(|| child.id().unwrap());
        let watching = tokio::spawn(Watch::new(kill_point).follow(lines));
        if let (KillPoint::AtRandom(after), Some(pid)) = (kill_point, pid) {
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                signal(pid, Signal::KILL);
            });
        }
        Self {
            kill_point,
            data_dir: data_dir.to_owned(),
            child,
            watching,
            pid,
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_dead(&mut self) -> bool {
        self.watching.is_finished() || self.child.try_wait().is_ok_and(|status| status.is_some()) || self.is_zombie()
    }

    /// Whether its first thread has ended and is not reaped yet.
    fn is_zombie(&self) -> bool {
        let status = self
            .server()
            .map(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")));
        matches!(status, Some(Ok(status)) if status.contains("State:\tZ"))
    }

    /// Waits for its end and returns what strace saw.
    pub(crate) async fn end(mut self) -> Watched {
        let outlived = !self.is_dead();
        if outlived {
            self.kill();
        }
        // About once in a thousand times, strace waits for the first thread of a killed process while its other threads
        // wait for strace.
        let ended = tokio::time::timeout(GRACE, async {
            while !self.watching.is_finished() {
                tokio::time::sleep(QUIET / 10).await;
            }
        });
        if ended.await.is_err() && self.is_zombie() {
            self.child.start_kill().unwrap();
        }
        let watched = tokio::time::timeout(e2e::TIMEOUT, &mut self.watching).await;
        let mut watched = watched.expect("strace ends with its process").unwrap();
        if let (KillPoint::AtRandom(_), false) = (self.kill_point, outlived) {
            watched.site = Some("whatever was under way".into());
        }
        self.child.kill().await.unwrap();
        watched
    }
}

impl Doomed {
    fn kill(&self) {
        if let Some(pid) = self.server() {
            signal(pid, Signal::KILL);
        }
    }

    fn server(&self) -> Option<u32> {
        let published = std::fs::read_to_string(self.data_dir.join("server.json")).unwrap_or_default();
        let published: Option<serde_json::Value> = serde_json::from_str(&published).ok();
        let pid = published.and_then(|published| published["pid"].as_u64());
        self.pid.or(pid.and_then(|pid| u32::try_from(pid).ok()))
    }

    /// The state of each thread of the server, its children and strace, for failure messages.
    pub(crate) fn at(&self) -> String {
        let mut lines = Vec::new();
        let family = [self.server(), self.child.id()];
        for process in family.into_iter().flatten().flat_map(descendants) {
            let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
            for thread in threads.flatten().map(|thread| thread.path()) {
                let read = |name: &str| std::fs::read_to_string(thread.join(name)).unwrap_or_default();
                let status = read("status");
                let state = status
                    .lines()
                    .find(|line| line.starts_with("State:"))
                    .unwrap_or_default();
                let (name, waits, call) = (read("comm"), read("wchan"), read("syscall"));
                lines.push(format!(
                    "{process} {} {} {state} waits in {waits} call {}",
                    thread.display(),
                    name.trim(),
                    call.trim()
                ));
            }
        }
        lines.join("\n")
    }
}

/// A process and its living descendants.
fn descendants(process: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    let children = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let children: String = children.collect();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    std::iter::once(process).chain(children.flat_map(descendants)).collect()
}

impl Drop for Doomed {
    /// Kills the server too, because strace doesn't.
    fn drop(&mut self) {
        if !self.is_dead() {
            self.kill();
        }
    }
}
