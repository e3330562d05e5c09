//! Measures what a sandbox costs per command: `cargo bench -p sandbox --bench command`. It prints tables and asserts
//! nothing.
//!
//! It runs `/usr/bin/true` in turns, so that other load affects all rows alike: without a sandbox; in bubblewrap with the
//! mounts of a real job; with system call filters; with the launcher, which applies Landlock; and as a job. As root it
//! prints tables with and without control groups and then one for an ordinary user, by running itself again.

#![expect(clippy::unwrap_used, reason = "a benchmark stops at its first error")]

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::FdFlags;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;
use sandbox::{Enforcement, HostEnvironment, Job, Property, Sandbox, Settings, State, Tier};

const REPEATS: usize = 200;

/// The row that the others are compared with.
const BASELINE: usize = 1;

/// A user id that most machines don't use.
const ORDINARY_USER: u32 = 54_321;

const PROGRAM: &str = "/usr/bin/true";

/// The variable that names the account to the measuring process.
const WHO: &str = "BENCH_WHO";

/// A wrapper around bubblewrap that records the arguments and filters of the last job.
const RECORDER: &str = r#"#!/bin/sh
[ "$1" = --info-fd ] || exec bwrap "$@"
printf '%s\0' "$@" >"$0.arguments"
count=0 before=
for argument in "$@"; do
    case $before in
    --add-seccomp-fd | --seccomp)
        cat "/proc/self/fd/$argument" >"$0.filter$count"
        count=$((count + 1))
        ;;
    esac
    before=$argument
done
exec bwrap "$@"
"#;

fn main() {
    if let Some(who) = std::env::var_os(WHO) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(measure(&who.to_string_lossy()));
    } else if rustix::process::geteuid().is_root() {
        again("root", |_| {});
        again("root, without control groups", |command| {
            #[expect(unsafe_code, reason = "std has no other way to do something between fork and exec")]
            // SAFETY: system calls only.
            unsafe {
                command.pre_exec(hide_control_groups);
            }
        });
        again("an ordinary user", |command| {
            command.uid(ORDINARY_USER).gid(ORDINARY_USER);
        });
    } else {
        again("this user", |_| {});
    }
}

/// Runs this program again, from a directory where any account may execute it.
fn again(who: &str, prepare: impl FnOnce(&mut Command)) {
    let directory = open_directory();
    let program = directory.path().join("bench");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::copy(
        env!("CARGO_BIN_EXE_sandbox-launcher"),
        directory.path().join("launcher"),
    )
    .unwrap();
    let mut command = Command::new(&program);
    command.env(WHO, who).current_dir("/");
    prepare(&mut command);
    match command.status() {
        Ok(status) if status.success() => {}
        other => println!("as {who}: not measured ({other:?})\n"),
    }
}

fn open_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    directory
}

fn hide_control_groups() -> std::io::Result<()> {
    #[expect(unsafe_code, reason = "marked unsafe for the sake of another flag")]
    // SAFETY: only unsharing descriptors endangers other threads.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)?;
    }
    rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    Ok(rustix::mount::unmount(c"/sys/fs/cgroup", UnmountFlags::DETACH)?)
}

async fn measure(who: &str) {
    let (worktree, place) = (tempfile::tempdir().unwrap(), open_directory());
    fs::set_permissions(place.path(), Permissions::from_mode(0o777)).unwrap();
    let settings = Settings {
        launcher: Some(std::env::current_exe().unwrap().with_file_name("launcher")),
        // No toolchains: the same mounts for everybody.
        host: HostEnvironment {
            home: None,
            variables: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
        },
        ..Settings::default()
    };
    let by_shell = Settings {
        launcher: None,
        ..settings.clone()
    };
    let recorded = Recorded::of_a_job(&settings, place.path(), worktree.path()).await;
    let sandbox = Sandbox::probe(Tier::Bubblewrap, settings).await.unwrap();
    let by_shell = Sandbox::probe(Tier::Bubblewrap, by_shell).await.unwrap();
    let lacking = lacking(&sandbox.enforcement());

    let mut rows = [
        "no sandbox",
        "bubblewrap, the same mounts",
        "… and filters",
        "… and launcher, Landlock",
        "a job, started by a shell",
        "a job",
    ]
    .map(|name| (name, Vec::with_capacity(REPEATS)));
    for _ in 0..REPEATS {
        rows[0].1.push(timed(&mut Command::new(PROGRAM)));
        for (row, parts) in [(BASELINE, Parts::Mounts), (2, Parts::Filters), (3, Parts::Launcher)] {
            let (mut command, _open) = recorded.command(parts);
            rows[row].1.push(timed(&mut command));
        }
        rows[4].1.push(timed_job(&by_shell, worktree.path()).await);
        rows[5].1.push(timed_job(&sandbox, worktree.path()).await);
    }
    print(who, &lacking, &rows);
}

/// What this account or kernel does not enforce, so that the job does not pay for it.
fn lacking(found: &[Enforcement]) -> String {
    let layers = [
        Property::SystemCalls,
        Property::Landlock,
        Property::Memory,
        Property::Processes,
    ];
    let found = found.iter().filter(|found| layers.contains(&found.property));
    let lacking = found.filter(|found| found.state != State::Enforced);
    let names: Vec<String> = lacking.map(|found| found.property.to_string()).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(" (not enforced: {})", names.join(", "))
    }
}

/// Which parts of a job a measured command has.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Parts {
    Mounts,
    Filters,
    Launcher,
}

/// The arguments of a real job.
struct Recorded {
    arguments: Vec<OsString>,
    filters: Vec<PathBuf>,
    launcher: PathBuf,
}

impl Recorded {
    async fn of_a_job(settings: &Settings, place: &Path, worktree: &Path) -> Self {
        let recorder = place.join("recorder");
        fs::write(&recorder, RECORDER).unwrap();
        fs::set_permissions(&recorder, Permissions::from_mode(0o755)).unwrap();
        let recording = Settings {
            bubblewrap: recorder.clone(),
            ..settings.clone()
        };
        let sandbox = Sandbox::probe(Tier::Bubblewrap, recording).await.unwrap();
        timed_job(&sandbox, worktree).await;
        let with = |suffix: &str| PathBuf::from(format!("{}{suffix}", recorder.display()));
        let arguments = fs::read(with(".arguments")).unwrap();
        let arguments = arguments
            .split(|byte| *byte == 0)
            .map(|argument| OsString::from_vec(argument.to_vec()));
        let mut arguments: Vec<OsString> = arguments.collect();
        // The empty part after the last NUL.
        arguments.pop();
        let filters = (0..)
            .map(|number| with(&format!(".filter{number}")))
            .take_while(|path| path.exists());
        Self {
            arguments,
            filters: filters.collect(),
            launcher: settings.launcher.clone().unwrap(),
        }
    }

    /// The recorded command, with the files that it needs open.
    fn command(&self, parts: Parts) -> (Command, Vec<File>) {
        let mut open = Vec::new();
        let mut number_of = |path: &Path| {
            let file = File::open(path).unwrap();
            let number = file.as_raw_fd().to_string();
            open.push(file);
            number
        };
        let mut command = Command::new("bwrap");
        let (mut arguments, mut filters) = (self.arguments.iter(), self.filters.iter());
        while let Some(argument) = arguments.next() {
            match argument.to_str().unwrap_or_default() {
                "--info-fd" => drop(arguments.next()),
                "--add-seccomp-fd" | "--seccomp" => {
                    arguments.next();
                    let filter = filters.next().unwrap();
                    if parts >= Parts::Filters {
                        command.arg(argument).arg(number_of(filter));
                    }
                }
                // If the server is root, the sources are staged elsewhere.
                "--bind" | "--ro-bind" => {
                    let destination = arguments.nth(1).unwrap();
                    command.args([argument.as_os_str(), destination, destination]);
                }
                "--" => break,
                _ => {
                    command.arg(argument);
                }
            }
        }
        command.arg("--");
        match arguments.next() {
            Some(first) if parts == Parts::Launcher && first.as_encoded_bytes().starts_with(b"/proc/") => {
                let launcher = format!("/proc/self/fd/{}", number_of(&self.launcher));
                command.arg(launcher).args(arguments);
            }
            _ => {
                command.arg(PROGRAM);
            }
        }
        for file in &open {
            rustix::io::fcntl_setfd(file, FdFlags::empty()).unwrap();
        }
        command.env_clear().current_dir("/");
        (command, open)
    }
}

/// What one start cost.
struct Sample {
    elapsed: Duration,
    /// CPU time of the started processes, which is less noisy on a busy machine.
    worked: Duration,
}

struct Stopwatch {
    started: Instant,
    worked: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        Self {
            worked: work_of_children(),
            started: Instant::now(),
        }
    }

    fn stop(&self) -> Sample {
        Sample {
            elapsed: self.started.elapsed(),
            worked: work_of_children() - self.worked,
        }
    }
}

/// CPU time of ended children and their descendants.
fn work_of_children() -> Duration {
    #[expect(unsafe_code, reason = "rustix does not have this call")]
    // SAFETY: numbers alone, which may all be zero, and which the call fills in.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage), 0);
        usage
    };
    let duration = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

fn timed(command: &mut Command) -> Sample {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let stopwatch = Stopwatch::start();
    let status = command.status().unwrap();
    assert!(status.success(), "{status}: {command:?}");
    stopwatch.stop()
}

async fn timed_job(sandbox: &Sandbox, worktree: &Path) -> Sample {
    let job = Job::new(vec![PROGRAM.to_owned()], worktree.to_owned());
    let stopwatch = Stopwatch::start();
    let finished = sandbox.run(job).await.unwrap();
    assert!(finished.succeeded(), "{finished:?}");
    stopwatch.stop()
}

fn print(who: &str, lacking: &str, rows: &[(&str, Vec<Sample>)]) {
    println!("as {who}{lacking}");
    println!("{:<28}{:>40}{:>20}", "", "elapsed ms", "processor ms");
    let columns = ["p50", "p90", "p99", "p50 ratio", "p50", "ratio"];
    let columns: String = columns.iter().map(|column| format!("{column:>10}")).collect();
    println!("{:<28}{columns}", "");
    let elapsed = |sample: &Sample| sample.elapsed;
    let worked = |sample: &Sample| sample.worked;
    let baseline = &rows[BASELINE].1;
    for (name, samples) in rows {
        let [half, most, nearly_all] = [50, 90, 99].map(|percent| milliseconds(samples, elapsed, percent));
        let work = milliseconds(samples, worked, 50);
        let ratio = half / milliseconds(baseline, elapsed, 50);
        let work_ratio = work / milliseconds(baseline, worked, 50);
        println!("{name:<28}{half:>10.2}{most:>10.2}{nearly_all:>10.2}{ratio:>10.2}{work:>10.2}{work_ratio:>10.2}");
    }
    println!();
}

fn milliseconds(samples: &[Sample], of: impl Fn(&Sample) -> Duration, percent: usize) -> f64 {
    let mut times: Vec<Duration> = samples.iter().map(of).collect();
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3
}
