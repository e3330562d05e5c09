//! Runs one job until all its processes have ended.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::sleep_until;

use crate::capture::Capture;
use crate::cgroup::{Controller, JOIN, JobGroup};
use crate::guard::{self, Guard};
use crate::identity::Identity;
use crate::init::Init;
use crate::launch::{Limits, launch_by_shell};
use crate::process::ProcessGroup;
use crate::stage::Stage;
use crate::{Exit, Finished, Isolation, Job, Sandbox, SandboxError, bubblewrap};

/// How long to keep reading output after the end: killed grandchildren may hold the pipe open for a moment.
const DRAIN: Duration = Duration::from_secs(2);

const CHUNK_BYTES: usize = 64 * 1024;

impl Sandbox {
    /// Runs a job and returns when all its processes have ended.
    ///
    /// A command that fails, is killed or times out is a [`Finished`]; an error means that it was never started.
    /// Dropping the future kills the process tree.
    ///
    /// # Errors
    /// When the job is invalid or its sandbox can't be set up.
    pub async fn run(&self, job: Job) -> Result<Finished, SandboxError> {
        job.check()?;
        if matches!(self.isolation, Isolation::None { home: None }) {
            return Err(SandboxError::Unavailable);
        }
        let started = Instant::now();
        let file = job
            .output_file
            .clone()
            .map(|path| (path, self.settings.output_file_bytes));
        let mut capture = Capture::new(job.output_limit_bytes, file).await?;
        let mut guard = Guard::start(self, &job).await?;
        let (command, mut init) = self.command(&job, guard.group.as_ref())?;
        let (command, output) = with_output(command).map_err(SandboxError::system("creating a pipe"))?;
        let mut group = match ProcessGroup::spawn(command).await {
            Ok(group) => group,
            Err(error) => return Err(self.not_started(error, output).await),
        };
        let _active = telemetry::sandbox::active();
        let followed = follow(&mut group, output, &mut capture, &mut init, &mut guard, &job, started).await;
        if let Some(init) = init {
            init.gone(DRAIN).await;
        }
        let reached = guard.end().await;
        if !capture.ready() && followed.stopped.is_none() {
            let output = reached
                .over
                .map_or_else(|| capture.setup_text(), |limit| limit.to_string());
            return Err(SandboxError::Setup { output });
        }
        let captured = capture.finish().await;
        let stopped = followed.stopped.or(reached.over.map(Exit::OverLimit));
        let exit = stopped.unwrap_or_else(|| exit(followed.status));
        for limit in exit.limit().into_iter().chain(reached.noted) {
            telemetry::sandbox::limit_reached(limit.name());
        }
        Ok(Finished {
            exit,
            reached: reached.noted,
            output_head_tail: captured.text,
            output_cut: captured.cut,
            output_bytes: captured.bytes,
            duration: started.elapsed(),
            created_in: followed.created_in.unwrap_or_else(|| started.elapsed()),
        })
    }

    fn command(&self, job: &Job, group: Option<&JobGroup>) -> Result<(Command, Option<Init>), SandboxError> {
        let mut stage = match &self.isolation {
            Isolation::Bubblewrap(_, identity, _) => Stage::new(identity),
            Isolation::None { .. } => Stage::new(&Identity::Own),
        };
        for file in group.into_iter().flat_map(JobGroup::files) {
            stage.write(file, JOIN.to_vec());
        }
        Ok(match &self.isolation {
            Isolation::Bubblewrap(features, _, filters) => {
                let (announce, init) = Init::announced().map_err(SandboxError::system("creating a file in memory"))?;
                let mut command = Command::new(&features.program);
                command
                    .args(["--info-fd", &stage.inherit(announce).to_string()])
                    .args(bubblewrap::arguments(self, features, filters, job, &mut stage)?)
                    .env_clear()
                    .current_dir("/");
                stage.prepare(&mut command);
                (command, Some(init))
            }
            Isolation::None { home: None } => return Err(SandboxError::Unavailable),
            Isolation::None { home: Some(home) } => {
                let argv = launch_by_shell(self.limits(), &job.argv);
                let mut command = Command::new(&argv[0]);
                command
                    .args(&argv[1..])
                    .env_clear()
                    .envs(self.variables(job, home.path()))
                    .current_dir(&job.worktree);
                stage.prepare(&mut command);
                (command, None)
            }
        })
    }

    /// The limits that the launcher sets. A control group limits processes where there is one, because it reports when the
    /// limit was reached.
    pub(crate) fn limits(&self) -> Limits {
        let grouped = self.groups.found(Controller::Processes).is_ok();
        Limits {
            file_bytes: self.settings.file_bytes,
            processes: (!grouped).then_some(self.settings.processes),
            address_space_bytes: self.settings.address_space_bytes,
        }
    }

    /// Names the failed step, which the child prints, or the missing program.
    async fn not_started(&self, error: SandboxError, output: Receiver) -> SandboxError {
        let mut said = String::new();
        // The child has ended, and a step prints few words.
        output
            .take(CHUNK_BYTES as u64)
            .read_to_string(&mut said)
            .await
            .unwrap_or_default();
        match (&self.isolation, error) {
            (_, SandboxError::System { source, .. }) if !said.is_empty() => SandboxError::Setup {
                output: format!("{said}: {source}"),
            },
            (Isolation::Bubblewrap(features, ..), SandboxError::System { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                SandboxError::Missing {
                    program: features.program.clone(),
                }
            }
            (Isolation::Bubblewrap(features, Identity::Subordinate(_), _), SandboxError::System { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                SandboxError::Root {
                    reason: format!("an ordinary account can't execute `{}`", features.program.display()),
                }
            }
            (_, error) => error,
        }
    }
}

/// Gives a command its own process group, no input, and one pipe for both outputs, which keeps their order.
fn with_output(mut command: Command) -> io::Result<(Command, Receiver)> {
    let (reader, writer) = io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    Ok((command, Receiver::from_owned_fd(OwnedFd::from(reader))?))
}

/// How a command ran.
struct Followed {
    status: Option<ExitStatus>,
    /// Why it was killed, if it was.
    stopped: Option<Exit>,
    created_in: Option<Duration>,
}

/// Reads output until the command has ended and the pipe is closed, or until its time limit.
async fn follow(
    group: &mut ProcessGroup,
    mut output: Receiver,
    capture: &mut Capture,
    init: &mut Option<Init>,
    guard: &mut Guard,
    job: &Job,
    started: Instant,
) -> Followed {
    let (watch, limited) = guard.parts();
    let reached = guard::reached(watch, limited);
    tokio::pin!(reached);
    let kill = |group: &ProcessGroup| {
        group.kill();
        if let Some(limited) = limited {
            limited.kill();
        }
    };
    let mut followed = Followed {
        status: None,
        stopped: None,
        created_in: None,
    };
    let mut deadline = started + job.time_limit;
    let (mut ended, mut closed) = (false, false);
    let mut chunk = vec![0; CHUNK_BYTES];
    while !(ended && closed) {
        let stopping = ended || followed.stopped.is_some();
        tokio::select! {
            read = output.read(&mut chunk), if !closed => match read {
                Ok(bytes) if bytes > 0 => {
                    capture.push(&chunk[..bytes]).await;
                    if capture.ready() && followed.created_in.is_none() {
                        let created_in = started.elapsed();
                        telemetry::sandbox::created(created_in);
                        followed.created_in = Some(created_in);
                        if let Some(init) = init {
                            init.hold();
                        }
                    }
                }
                Ok(_) | Err(_) => closed = true,
            },
            status = group.ended(), if !ended => {
                ended = true;
                followed.status = status.ok();
                deadline = Instant::now() + DRAIN;
            }
            () = job.cancel.cancelled(), if !stopping => {
                followed.stopped = Some(Exit::Cancelled);
                kill(group);
                deadline = Instant::now() + DRAIN;
            }
            () = sleep_until(deadline.into()) => {
                if stopping {
                    break;
                }
                followed.stopped = Some(Exit::TimedOut);
                kill(group);
                deadline = Instant::now() + DRAIN;
            }
            limit = &mut reached, if !stopping => {
                followed.stopped = Some(Exit::OverLimit(limit));
                kill(group);
                deadline = Instant::now() + DRAIN;
            }
        }
    }
    followed
}

fn exit(status: Option<ExitStatus>) -> Exit {
    // The follower stops without a status only after it killed the command.
    let killed = Exit::Signal(rustix::process::Signal::KILL.as_raw());
    status.map_or(killed, |status| match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => killed,
    })
}
