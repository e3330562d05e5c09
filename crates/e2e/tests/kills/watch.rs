//! Parses the output of strace while the server runs, and kills it at its point.

use crate::strace::{KillPoint, Watched};
use e2e::signal;
use rustix::process::Signal;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use tokio::io::BufReader;

/// How long a stopped process is silent before it is woken again.
pub(super) const QUIET: Duration = Duration::from_millis(250);

/// Parses strace's output.
pub(crate) struct Watch {
    kill_point: KillPoint,
    main: Option<u32>,
    /// Unfinished calls by thread.
    unfinished: HashMap<u32, String>,
    renames: HashMap<u32, usize>,
    /// Processes that the server started; their ends are not the server's.
    children: HashSet<u32>,
    stopped: HashSet<u32>,
    watched: Watched,
}

impl Watch {
    pub(crate) fn new(kill_point: KillPoint) -> Self {
        Self {
            kill_point,
            main: None,
            unfinished: HashMap::new(),
            renames: HashMap::new(),
            children: HashSet::new(),
            stopped: HashSet::new(),
            watched: Watched::default(),
        }
    }

    pub(crate) async fn follow(
        mut self,
        mut lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    ) -> Watched {
        loop {
            let line = match tokio::time::timeout(QUIET, lines.next_line()).await {
                Ok(Ok(Some(line))) => line,
                Ok(Ok(None) | Err(_)) => break,
                Err(_) => {
                    self.wake();
                    continue;
                }
            };
            let Some((thread, text)) = line.split_once(' ') else {
                continue;
            };
            if let Ok(thread) = thread.parse() {
                self.read_line(thread, text.trim_start());
            }
        }
        self.watched
    }

    /// Continues the process. Repeated, because a SIGCONT just before its SIGSTOP would have no effect.
    fn wake(&self) {
        for thread in self.stopped.iter().copied().chain(self.main) {
            let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
            if status.contains("State:\tT") || status.contains("State:\tt") {
                signal(thread, Signal::CONT);
            }
        }
    }

    fn read_line(&mut self, thread: u32, text: &str) {
        let main = *self.main.get_or_insert(thread);
        if thread != main && text.contains("execve(") {
            self.children.insert(thread);
        }
        if text.starts_with("--- stopped by SIGSTOP") {
            if let KillPoint::AfterFile(count) = self.kill_point
                && self.watched.calls.len() >= count
                && self.watched.site.is_none()
            {
                self.watched.site = self.watched.calls.last().cloned();
                signal(main, Signal::KILL);
            }
            signal(thread, Signal::CONT);
            self.stopped.insert(thread);
        } else if let Some(begun) = text.strip_suffix("<unfinished ...>") {
            self.unfinished.insert(thread, begun.to_owned());
        } else if !text.starts_with("---") && !text.starts_with("+++") && !text.contains("execve") {
            let begun = self.unfinished.remove(&thread).filter(|_| text.starts_with("<..."));
            let call = shape(begun.as_deref().unwrap_or(text));
            if call.starts_with("rename ") {
                let made = self.renames.entry(thread).or_default();
                *made += 1;
                self.watched.renames = self.watched.renames.max(*made);
            }
            if text.ends_with("= 0") {
                self.watched.calls.push(call);
            } else if text.ends_with("= ?")
                && !self.children.contains(&thread)
                && matches!(
                    self.kill_point,
                    KillPoint::BeforeRename(_) | KillPoint::InCheckout(_) | KillPoint::BeforeSend(_)
                )
            {
                // The call that never returned.
                self.watched.site.get_or_insert(call);
            }
        }
    }
}

/// A call without parts that differ between runs: numbers, hashes, the test's directory.
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

/// A description of a send: its statement if it is a new one.
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
