//! SIGKILL from outside, at a call to the system: `strace` runs the server, stops it there, and the test decides.
//!
//! What strace counts it counts for each thread. The calls that change files are made by many threads, so the whole
//! process is stopped after each of them (SIGSTOP) and told to go on (SIGCONT) until the one that is wanted: the
//! count is the process's. The database is spoken to by one thread (`TOKIO_WORKER_THREADS=1`), and a `rename` is the
//! last thing that its thread does to a file: there strace's own count serves, and the call never happens.

use e2e::{server, signal};
use rustix::process::Signal;
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
    task::JoinHandle,
};

/// Calls after which something on the disk is otherwise than before, or is sure to stay.
const FILE_CALLS: &str = "fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink";

/// So long is nothing heard of a process that stands still.
const QUIET: Duration = Duration::from_millis(250);
/// So long strace has to tell of an end.
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

/// When the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// After so many calls that change files, counted over all threads.
    AfterFile(usize),
    /// Before a thread's so manieth `rename`: its lock file is written and closed.
    BeforeRename(usize),
    /// Before the so manieth call on a file of the person's checkout: its index, its branch, their locks.
    InCheckout(usize),
    /// Before a thread's so manieth send: to the database, nearly always.
    BeforeSend(usize),
    /// After a time.
    AtRandom(Duration),
    /// Never: to count what there is.
    Never,
    /// Never, and nobody watches.
    Spared,
}

impl Blow {
    /// The kind, as the table names it.
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

/// A server that is to die, and who watches it.
pub(crate) struct Doomed {
    blow: Blow,
    data_dir: PathBuf,
    child: Child,
    watching: JoinHandle<Watched>,
    /// Only of use where no strace runs.
    pid: Option<u32>,
}

/// What was seen of a life.
#[derive(Default)]
pub(crate) struct Watched {
    /// The calls that change files, in order, without what differs from run to run.
    pub(crate) calls: Vec<String>,
    /// How many `rename`s the thread that made the most of them made.
    pub(crate) renames: usize,
    /// The call at which it was killed.
    pub(crate) site: Option<String>,
}

impl Doomed {
    /// Starts the server. It writes what it says into a file beside its data.
    pub(crate) fn start(blow: Blow, data_dir: &Path, model: &str, environment: &[(&str, &str)]) -> Self {
        let arguments = blow.arguments(&data_dir.with_file_name("repository"));
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
        if matches!(blow, Blow::BeforeSend(_)) {
            command.env("TOKIO_WORKER_THREADS", "1");
        }
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{error}: is strace installed? On Debian: sudo apt-get install strace"));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let pid = by.is_empty().then(|| child.id().unwrap());
        let watching = tokio::spawn(Watch::new(blow).follow(lines));
        if let (Blow::AtRandom(after), Some(pid)) = (blow, pid) {
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                signal(pid, Signal::KILL);
            });
        }
        Self {
            blow,
            data_dir: data_dir.to_owned(),
            child,
            watching,
            pid,
        }
    }

    /// Whether it is dead.
    pub(crate) fn is_dead(&mut self) -> bool {
        self.watching.is_finished() || self.child.try_wait().is_ok_and(|status| status.is_some()) || self.is_zombie()
    }

    /// Whether its first thread has ended, although nobody has taken note yet.
    fn is_zombie(&self) -> bool {
        let status = self
            .server()
            .map(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")));
        matches!(status, Some(Ok(status)) if status.contains("State:\tZ"))
    }

    /// Waits until it is dead, which it will be, and tells what was seen.
    pub(crate) async fn end(mut self) -> Watched {
        let outlived = !self.is_dead();
        if outlived {
            self.kill();
        }
        // Once in a thousand times strace waits for the first thread of a process that was killed, whose other threads
        // wait at their ends for strace.
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
        if let (Blow::AtRandom(_), false) = (self.blow, outlived) {
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

    /// What each thread of the server, of what it started and of strace is at, for the message of a test that failed.
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

/// A process and all that its threads started, as far as they live.
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
    /// strace does not take its process along.
    fn drop(&mut self) {
        if !self.is_dead() {
            self.kill();
        }
    }
}

/// Reads what strace writes.
struct Watch {
    blow: Blow,
    main: Option<u32>,
    /// Calls that another's line came into, by thread.
    unfinished: HashMap<u32, String>,
    renames: HashMap<u32, usize>,
    /// Programs that the server started: their ends are not its own.
    children: HashSet<u32>,
    stopped: HashSet<u32>,
    watched: Watched,
}

impl Watch {
    fn new(blow: Blow) -> Self {
        Self {
            blow,
            main: None,
            unfinished: HashMap::new(),
            renames: HashMap::new(),
            children: HashSet::new(),
            stopped: HashSet::new(),
            watched: Watched::default(),
        }
    }

    async fn follow(mut self, mut lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>) -> Watched {
        loop {
            let line = match tokio::time::timeout(QUIET, lines.next_line()).await {
                Ok(Ok(Some(line))) => line,
                Ok(Ok(None) | Err(_)) => break,
                Err(_) => {
                    self.wake();
                    continue;
                }
            };
            let Some((thread, said)) = line.split_once(' ') else {
                continue;
            };
            if let Ok(thread) = thread.parse() {
                self.heard(thread, said.trim_start());
            }
        }
        self.watched
    }

    /// A word to go on that came a moment before the stop it was for would leave the process standing for good.
    fn wake(&self) {
        for thread in self.stopped.iter().copied().chain(self.main) {
            let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
            if status.contains("State:\tT") || status.contains("State:\tt") {
                signal(thread, Signal::CONT);
            }
        }
    }

    fn heard(&mut self, thread: u32, said: &str) {
        let main = *self.main.get_or_insert(thread);
        if thread != main && said.contains("execve(") {
            self.children.insert(thread);
        }
        if said.starts_with("--- stopped by SIGSTOP") {
            if let Blow::AfterFile(count) = self.blow
                && self.watched.calls.len() >= count
                && self.watched.site.is_none()
            {
                self.watched.site = self.watched.calls.last().cloned();
                signal(main, Signal::KILL);
            }
            signal(thread, Signal::CONT);
            self.stopped.insert(thread);
        } else if let Some(begun) = said.strip_suffix("<unfinished ...>") {
            self.unfinished.insert(thread, begun.to_owned());
        } else if !said.starts_with("---") && !said.starts_with("+++") && !said.contains("execve") {
            let begun = self.unfinished.remove(&thread).filter(|_| said.starts_with("<..."));
            let call = shape(begun.as_deref().unwrap_or(said));
            if call.starts_with("rename ") {
                let made = self.renames.entry(thread).or_default();
                *made += 1;
                self.watched.renames = self.watched.renames.max(*made);
            }
            if said.ends_with("= 0") {
                self.watched.calls.push(call);
            } else if said.ends_with("= ?")
                && !self.children.contains(&thread)
                && matches!(
                    self.blow,
                    Blow::BeforeRename(_) | Blow::InCheckout(_) | Blow::BeforeSend(_)
                )
            {
                // The call that never came back.
                self.watched.site.get_or_insert(call);
            }
        }
    }
}

/// A call without what differs from run to run: numbers, hashes, the directory of the test.
fn shape(call: &str) -> String {
    let name = call.split('(').next().unwrap_or_default();
    if name == "sendto" {
        return sent(call);
    }
    let path = call
        .rsplit(['<', '"'])
        .find(|part| part.contains('/'))
        .unwrap_or_default();
    let path = path.split(['>', '"']).next().unwrap_or_default();
    let parts = path
        .split('/')
        .skip_while(|part| !matches!(*part, "data" | "repository" | "shared" | "remote.git"));
    let parts: Vec<String> = parts.map(part).collect();
    format!("{name} {}", parts.join("/"))
}

/// One part of a path.
fn part(part: &str) -> String {
    let words = part.split(['.', '-', '_']).map(|word| {
        let hex = word.len() >= 2 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hex || word.starts_with("tmp") { "*" } else { word }
    });
    let mut words: Vec<&str> = words.collect();
    words.dedup();
    words.join(".")
}

/// What a send says: the statement where it is a new one, else only that it is one.
fn sent(call: &str) -> String {
    let text = call.split('"').nth(1).unwrap_or_default();
    let statement = text.split("\\0").find(|word| {
        let first = word.split(' ').next().unwrap_or_default();
        matches!(
            first.to_ascii_lowercase().as_str(),
            "select" | "insert" | "update" | "delete" | "with"
        )
    });
    let words = |text: &str| text.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    match statement {
        Some(statement) => format!("send parse: {}", words(statement)),
        None if text.starts_with("POST") => "send to the model".into(),
        None if text.starts_with("HTTP") => "send an answer".into(),
        None => match text.chars().next() {
            Some('B') => format!(
                "send bind {}",
                text.split("sqlx_s_")
                    .nth(1)
                    .unwrap_or("?")
                    .split('\\')
                    .next()
                    .unwrap_or("?")
            ),
            Some('Q') => format!(
                "send query {}",
                words(text.trim_start_matches(|c: char| !c.is_ascii_alphabetic() || c == 'Q'))
            ),
            Some('S') => "send sync".into(),
            Some('P') => "send parse".into(),
            Some('X') => "send goodbye".into(),
            _ => format!("send {}", text.chars().take(12).collect::<String>()),
        },
    }
}
