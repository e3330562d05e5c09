//! The properties that the product relies on, each tested in a real bubblewrap sandbox before the server starts.
//!
//! A command in the sandbox reports what it sees and which actions fail. Meanwhile this process inspects the command's
//! processes from outside, because only the host shows their accounts.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{OpenOptions, Receiver, Sender};

use crate::bubblewrap::Mount;
use crate::environment::HOME;
use crate::identity::{Identity, Subordinate};
use crate::probe_report::Report;
use crate::{Finished, Isolation, Job, Sandbox, SandboxError};

const PROBE_TIME: Duration = Duration::from_secs(20);

/// Larger than any report, so that nothing is cut out.
const REPORT_BYTES: usize = 1024 * 1024;

/// The command. Redirecting with `>>` opens a file without writing; one process is left running on purpose.
const SCRIPT: &str = r#"section() { printf '\n==%s\n' "$1"; }
attempt() { if ("$@") >/dev/null 2>&1; then echo "$*"; fi; }
opens() { : >>"$1"; }
section status; cat /proc/self/status
section namespaces; for name in pid net ipc uts user mnt; do readlink /proc/self/ns/$name; done
section mounts; cat /proc/self/mountinfo
section network; cat /proc/net/dev
section files; ls -l /proc/self/fd
section oom; cat /proc/self/oom_score_adj
section settings
for path in /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /proc/sysrq-trigger /proc/self/oom_score_adj \
    /proc/self/mem /proc/self/uid_map; do attempt opens $path; done
section calls
: >plain; attempt chmod u+s plain; attempt chmod 2755 plain
command -v unshare >/dev/null && attempt unshare --user true
section landlock; attempt mknod whiteout c 0 0; attempt kill -0 1
section visible; for path in "$@"; do attempt test -e "$path"; done
section end
(trap '' HUP; exec sleep 1000) </dev/null >/dev/null 2>&1 &
readlink /proc/self/ns/pid >report
read -r _ <go
"#;

/// One property that the product relies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The property, in a few words.
    pub name: &'static str,
    /// Whether it holds.
    pub state: PropertyState,
}

/// What the probe saw of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyState {
    /// It holds.
    Holds,
    /// It does not hold, with what the probe saw.
    Fails(String),
}

impl Property {
    fn new(name: &'static str, failure: Option<String>) -> Self {
        let state = failure.map_or(PropertyState::Holds, PropertyState::Fails);
        Self { name, state }
    }

    /// The name with what the probe saw, if it does not hold.
    pub(crate) fn failure(&self) -> Option<String> {
        match &self.state {
            PropertyState::Holds => None,
            PropertyState::Fails(seen) => Some(format!("{} ({seen})", self.name)),
        }
    }
}

/// The result of the probe.
pub(crate) struct Proof {
    pub(crate) properties: Vec<Property>,
    /// Actions that succeeded although Landlock should stop them. Nothing else does: the kernel's other checks allow
    /// overlay whiteouts, and bubblewrap runs as the same user.
    pub(crate) not_stopped_by_landlock: Vec<String>,
}

/// What the host shows of the sandbox.
struct Outside {
    /// The user ids of the running processes.
    users: Vec<u32>,
    left_over: usize,
    file_owner: Option<u32>,
}

impl Sandbox {
    /// Runs the command and evaluates its report and what the host shows.
    pub(crate) async fn check_properties(&self) -> Result<Proof, SandboxError> {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("sandbox-probe-");
        let place = match self.settings.probe_directory.as_deref().filter(|path| path.is_dir()) {
            Some(directory) => builder.tempdir_in(directory),
            None => builder.tempdir(),
        };
        let place = place.map_err(SandboxError::system("creating a directory to test the sandbox in"))?;
        let place = &place
            .path()
            .canonicalize()
            .map_err(SandboxError::system("resolving that directory"))?;
        let worktree = place.join("worktree");
        prepare(place, &worktree).map_err(SandboxError::system("creating files to test the sandbox with"))?;
        let mut job = Job::shell(SCRIPT, worktree.clone());
        job.argv.push("sh".to_owned());
        job.argv.extend(self.hidden_paths(place));
        job.time_limit = PROBE_TIME;
        job.output_limit_bytes = REPORT_BYTES;
        let (finished, outside) = self.run_and_watch(job, &worktree).await?;
        let report = Report::read(&finished.output_head_tail);
        if !finished.succeeded() || !report.is_whole() {
            return Err(SandboxError::Setup {
                output: format!(
                    "the command that tests the sandbox ended with {:?}: {}",
                    finished.exit, finished.output_head_tail
                ),
            });
        }
        Ok(Proof {
            properties: self.judge(&report, &outside, &worktree),
            not_stopped_by_landlock: report.lines("landlock").to_vec(),
        })
    }

    /// Paths that no job may see: files beside a worktree, and common locations of secrets in the server's home.
    fn hidden_paths(&self, place: &Path) -> Vec<String> {
        let home = self.settings.host.home.iter();
        let secrets = home.flat_map(|home| [".ssh", ".aws", ".netrc", ".bash_history"].map(|name| home.join(name)));
        // An explicitly granted path is meant to be visible.
        let granted = &self.settings.extra_read_only;
        let secrets = secrets.filter(|path| !granted.iter().any(|grant| path.starts_with(grant)));
        std::iter::once(place.join("outside"))
            .chain(secrets)
            .filter_map(|path| path.to_str().map(str::to_owned))
            .collect()
    }

    async fn run_and_watch(&self, job: Job, worktree: &Path) -> Result<(Finished, Outside), SandboxError> {
        let mut pipes = Pipes::open(worktree).map_err(SandboxError::system("opening a pipe to the sandbox"))?;
        let run = self.run(job);
        tokio::pin!(run);
        let mut seen = None;
        let finished = loop {
            tokio::select! {
                finished = &mut run => break finished?,
                processes = pipes.look(), if seen.is_none() => seen = Some(processes),
            }
        };
        let (namespace, users) = match seen {
            Some(Ok(seen)) => seen,
            // `judge` reports that no process was seen.
            Some(Err(_)) | None => (String::new(), Vec::new()),
        };
        let outside = Outside {
            users,
            left_over: users_of(&namespace).len(),
            file_owner: fs::metadata(worktree.join("plain")).map(|metadata| metadata.uid()).ok(),
        };
        Ok((finished, outside))
    }

    fn judge(&self, report: &Report, outside: &Outside, worktree: &Path) -> Vec<Property> {
        let own = rustix::process::geteuid().as_raw();
        let status = |name: &str, wanted: &str| {
            let found = report.status(name);
            (found.trim_start_matches('0') != wanted.trim_start_matches('0')).then(|| format!("{name} is `{found}`"))
        };
        let listed = |section: &str, what: &str| {
            let lines = report.lines(section);
            (!lines.is_empty()).then(|| format!("{what}: {}", lines.join(", ")))
        };
        vec![
            Property::new("not root on the host", self.unexpected_account(&outside.users, own)),
            Property::new(
                "no capabilities",
                ["CapEff", "CapPrm", "CapBnd", "CapAmb"]
                    .into_iter()
                    .find_map(|name| status(name, "0")),
            ),
            Property::new("no new privileges", status("NoNewPrivs", "1")),
            Property::new("system calls filtered", status("Seccomp", "2")),
            Property::new("refused calls fail", listed("calls", "succeeded")),
            Property::new("own namespaces", shared_namespaces(report)),
            Property::new("no network", report.interfaces_beside_loopback()),
            Property::new("settings of the kernel not writable", listed("settings", "succeeded")),
            Property::new(
                "nothing writable but the worktree and memory",
                self.writable(report, worktree),
            ),
            Property::new(
                "data directory and secrets of the home not visible",
                listed("visible", "succeeded"),
            ),
            Property::new("no open files of the server", report.foreign_files()),
            Property::new("ended first when memory runs out", oom(report)),
            Property::new(
                "files in the worktree belong to the server",
                (outside.file_owner != Some(own))
                    .then(|| format!("the owner of a new file is {:?}", outside.file_owner)),
            ),
            Property::new(
                "no process left over",
                (outside.left_over > 0).then(|| format!("{} still run", outside.left_over)),
            ),
        ]
    }

    /// A process that runs as an unexpected host account, if there is one.
    fn unexpected_account(&self, users: &[u32], own: u32) -> Option<String> {
        let meant = match &self.isolation {
            Isolation::Bubblewrap(_, Identity::Subordinate(Subordinate { first_id, .. }), _) => *first_id,
            Isolation::Bubblewrap(_, Identity::Own, _) | Isolation::None { .. } => own,
        };
        if users.is_empty() {
            return Some("none of its processes was seen in /proc".to_owned());
        }
        let other = users.iter().find(|user| **user != meant);
        other.map(|user| format!("a process is user {user} instead of {meant}"))
    }

    /// Unexpected writable mounts, if there are any.
    fn writable(&self, report: &Report, worktree: &Path) -> Option<String> {
        let in_memory = self.toolchains.mounts.iter().filter_map(|mount| match mount {
            Mount::Temporary(path) => Some(path.as_path()),
            Mount::ReadOnly(_) | Mount::ReadWrite(_) => None,
        });
        let meant: Vec<&Path> = [worktree, Path::new("/tmp"), Path::new(HOME)]
            .into_iter()
            .chain(in_memory)
            .collect();
        let more = report.writable_mounts().into_iter();
        let more: Vec<String> = more
            .filter(|point| !meant.contains(&point.as_path()) && !point.starts_with("/dev/"))
            .map(|point| point.display().to_string())
            .collect();
        (!more.is_empty()).then(|| more.join(", "))
    }
}

fn prepare(place: &Path, worktree: &Path) -> io::Result<()> {
    fs::create_dir(worktree)?;
    fs::write(place.join("outside"), "")?;
    for name in ["report", "go"] {
        rustix::fs::mknodat(CWD, worktree.join(name), FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
    }
    Ok(())
}

/// The command's two pipes, open at both ends, so that neither side waits for the other to open them.
struct Pipes {
    report: Receiver,
    go: Sender,
}

impl Pipes {
    fn open(worktree: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read_write(true);
        Ok(Self {
            report: options.open_receiver(worktree.join("report"))?,
            go: options.open_sender(worktree.join("go"))?,
        })
    }

    /// Waits until the command reports its process namespace, inspects the processes in it, and lets it continue.
    async fn look(&mut self) -> io::Result<(String, Vec<u32>)> {
        let mut namespace = Vec::new();
        while namespace.last() != Some(&b'\n') {
            namespace.push(self.report.read_u8().await?);
        }
        let namespace = String::from_utf8_lossy(&namespace).trim().to_owned();
        let users = users_of(&namespace);
        self.go.write_all(b"\n").await?;
        Ok((namespace, users))
    }
}

/// The user ids, as this process sees them, of every process in a process namespace.
fn users_of(namespace: &str) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let inside = |process: &fs::DirEntry| {
        fs::read_link(process.path().join("ns/pid")).is_ok_and(|link| link.as_os_str() == namespace)
    };
    processes
        .filter_map(Result::ok)
        .filter(inside)
        .filter_map(|process| fs::read_to_string(process.path().join("status")).ok())
        .filter(|status| !is_dead(status))
        .flat_map(|status| user_ids(&status))
        .collect()
}

/// Whether the process is a zombie or dead.
fn is_dead(status: &str) -> bool {
    let mut lines = status.lines();
    lines.any(|line| {
        line.strip_prefix("State:")
            .is_some_and(|state| state.trim_start().starts_with(['Z', 'X']))
    })
}

/// Real, effective, saved and file system's.
fn user_ids(status: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line.map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect())
        .unwrap_or_default()
}

fn shared_namespaces(report: &Report) -> Option<String> {
    let names = report.lines("namespaces");
    if names.len() != 6 {
        return Some(format!("it named {} of 6", names.len()));
    }
    let shared = names.iter().find(|link| {
        let kind = link.split(':').next().unwrap_or_default();
        fs::read_link(format!("/proc/self/ns/{kind}")).is_ok_and(|own| own.as_os_str() == link.as_str())
    });
    shared.map(|link| format!("it shares {link} with this process"))
}

fn oom(report: &Report) -> Option<String> {
    let score = report.lines("oom").first().and_then(|line| line.parse::<i32>().ok());
    (score.unwrap_or(0) < crate::stage::OOM_SCORE).then(|| format!("its oom_score_adj is {score:?}"))
}
