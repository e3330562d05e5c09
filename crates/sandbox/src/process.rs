//! A process group that ends with its owner.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::sync::oneshot;

use crate::SandboxError;

/// A running command that leads its own process group. Dropping it kills the group.
pub(crate) struct ProcessGroup {
    group: Arc<Group>,
    status: oneshot::Receiver<io::Result<ExitStatus>>,
}

impl ProcessGroup {
    /// Starts a command that was given its own process group.
    pub(crate) async fn spawn(command: Command) -> Result<Self, SandboxError> {
        spawn_from_lasting_thread(command)
            .await
            .map_err(SandboxError::system("starting the command"))
    }

    /// Completes when the leader has ended and the rest of its group was killed. Await it only once.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        (&mut self.status).await.map_err(io::Error::other)?
    }

    pub(crate) fn kill(&self) {
        self.group.kill();
    }

    /// Starts a thread that waits for the child, kills the rest of its group and reaps it.
    fn watch(mut child: Child) -> io::Result<Self> {
        let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let number = number.ok_or_else(|| io::Error::other("the process number is out of range"))?;
        let group = Arc::new(Group {
            number,
            reaped: Mutex::new(false),
        });
        let (sender, status) = oneshot::channel();
        let watched = Arc::clone(&group);
        let watcher = std::thread::Builder::new().name("sandbox-watcher".to_owned());
        let watching = watcher.spawn(move || drop(sender.send(watched.wait(&mut child))));
        let process_group = Self { group, status };
        // If the thread can't start, dropping the process group kills it.
        watching.map(|_| process_group)
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process group. Its number is its own until the leader is reaped; after that, the kernel may reuse it.
struct Group {
    number: Pid,
    reaped: Mutex<bool>,
}

impl Group {
    fn kill(&self) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // It can only fail because nothing is left to kill.
            kill_process_group(self.number, Signal::KILL).unwrap_or_default();
        }
    }

    fn wait(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let wait = || waitid(WaitId::Pid(self.number), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        while wait().err() == Some(rustix::io::Errno::INTR) {}
        self.kill();
        let mut reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        *reaped = true;
        child.wait()
    }
}

struct Request {
    command: Command,
    reply: oneshot::Sender<io::Result<ProcessGroup>>,
}

/// Starts every command from one thread that lives as long as this process: `--die-with-parent` watches the *thread* that
/// started bubblewrap, and runtime threads come and go.
async fn spawn_from_lasting_thread(command: Command) -> io::Result<ProcessGroup> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    let spawner = match SPAWNER.get() {
        Some(spawner) => spawner,
        None => {
            let started = start_spawner()?;
            SPAWNER.get_or_init(|| started)
        }
    };
    let (reply, answer) = oneshot::channel();
    let gone = || io::Error::other("the thread that starts commands has ended");
    spawner.send(Request { command, reply }).map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

fn start_spawner() -> io::Result<Sender<Request>> {
    let (sender, requests) = channel::<Request>();
    std::thread::Builder::new()
        .name("sandbox-spawner".to_owned())
        .spawn(move || {
            for Request { mut command, reply } in requests {
                let process_group = command.spawn().and_then(ProcessGroup::watch);
                // The command holds the write end of the output pipe.
                drop(command);
                // If the requester is gone, this drops the process group, which kills it.
                drop(reply.send(process_group));
            }
        })?;
    Ok(sender)
}
