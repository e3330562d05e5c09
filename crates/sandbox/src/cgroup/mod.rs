//! Control groups: one per job, below one for all jobs of this process.
//!
//! Each controller is detected separately, because a host may have some in version 2 and some in version 1. A controller
//! that is missing or not permitted is reported with the reason; the other limits still apply.

mod controller;
mod host;
mod memory;
mod owned;
mod processes;

pub(crate) use controller::Controller;
pub(crate) use host::Host;

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use controller::{Amounts, Events, Version, limit};
use host::Candidate;
use memory::machine_bytes;
use owned::Owned;

use crate::limit::Limit;
use crate::{SandboxError, Settings};

/// Processes of the sandbox itself that count in the job's group: bubblewrap outside and inside.
const OWN_PROCESSES: u64 = 3;

/// Waits between attempts to remove a group whose last process is still exiting.
const REMOVAL_RESTS: [Duration; 8] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
    Duration::from_millis(8),
    Duration::from_millis(16),
    Duration::from_millis(32),
    Duration::from_millis(64),
    Duration::from_millis(128),
];

/// The resource limits of jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobLimits {
    pub(crate) memory_bytes: u64,
    pub(crate) total_memory_bytes: u64,
    pub(crate) processes: u64,
    pub(crate) cpu_weight: u64,
}

impl JobLimits {
    /// The configured limits, or a share of this machine.
    pub(crate) fn of(settings: &Settings, host: &Host) -> Self {
        let machine_bytes = machine_bytes(host);
        Self {
            memory_bytes: settings.memory_bytes.unwrap_or(machine_bytes / 2),
            total_memory_bytes: settings.total_memory_bytes.unwrap_or(machine_bytes / 5 * 4),
            processes: settings.processes,
            cpu_weight: settings.cpu_weight,
        }
    }
}

/// The control groups of one sandbox.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) limits: JobLimits,
    directories: Vec<Directory>,
    /// Controllers that can't be used, with the reason.
    missing: Vec<(Controller, String)>,
    jobs: AtomicU64,
    /// Groups of ended jobs that could not be removed yet.
    ended: Mutex<Vec<PathBuf>>,
}

/// The group of all jobs in one cgroup hierarchy.
#[derive(Debug)]
struct Directory {
    version: Version,
    /// The parent directory of the group.
    parent: PathBuf,
    owned: Owned,
    controllers: Vec<Controller>,
}

impl Groups {
    /// No groups, for no jobs.
    pub(crate) fn unused() -> Self {
        let limits = JobLimits {
            memory_bytes: 0,
            total_memory_bytes: 0,
            processes: 0,
            cpu_weight: 0,
        };
        Self {
            limits,
            directories: Vec::new(),
            missing: Controller::ALL
                .map(|controller| (controller, "no command runs".to_owned()))
                .to_vec(),
            jobs: AtomicU64::new(0),
            ended: Mutex::default(),
        }
    }

    /// Creates the groups that this host allows, after removing leftovers of crashed processes.
    pub(crate) fn open(limits: JobLimits, host: &Host) -> Self {
        let mut groups = Self {
            limits,
            directories: Vec::new(),
            missing: Vec::new(),
            jobs: AtomicU64::new(0),
            ended: Mutex::default(),
        };
        for controller in Controller::ALL {
            let mut reason = "no mounted cgroup hierarchy has it".to_owned();
            let added = host.candidates(controller).iter().any(|candidate| {
                let added = groups.add(controller, candidate);
                if let Err(error) = &added {
                    reason = format!("{}: {error}", candidate.path.display());
                }
                added.is_ok()
            });
            if !added {
                groups.missing.push((controller, reason));
            }
        }
        groups
    }

    fn add(&mut self, controller: Controller, candidate: &Candidate) -> io::Result<()> {
        if candidate.version == Version::Two {
            owned::enable(candidate, controller)?;
        }
        let found = self.directories.iter().position(|known| known.parent == candidate.path);
        let at = match found {
            Some(at) => at,
            None => {
                owned::remove_leftovers(&candidate.path);
                self.directories.push(Directory {
                    version: candidate.version,
                    parent: candidate.path.clone(),
                    owned: Owned::make(&candidate.path)?,
                    controllers: Vec::new(),
                });
                self.directories.len() - 1
            }
        };
        let set_up = self.set_up(at, controller);
        match &set_up {
            Ok(()) => self.directories[at].controllers.push(controller),
            Err(_) if found.is_none() => drop(self.directories.remove(at)),
            Err(_) => {}
        }
        set_up
    }

    /// Limits all jobs together, and tests the limits of one job.
    fn set_up(&self, at: usize, controller: Controller) -> io::Result<()> {
        let directory = &self.directories[at];
        let group = &directory.owned.path;
        if directory.version == Version::Two {
            controller::write(group, "cgroup.subtree_control", format!("+{}", controller.name()))?;
        }
        let together = Amounts {
            memory_bytes: self.limits.total_memory_bytes,
            processes: None,
            cpu_weight: self.limits.cpu_weight,
        };
        limit(group, directory.version, controller, together)?;
        let tried = group.join("try");
        fs::create_dir(&tried)?;
        let limited = limit(&tried, directory.version, controller, self.of_one());
        let removed = fs::remove_dir(&tried);
        limited.and(removed)
    }

    fn of_one(&self) -> Amounts {
        Amounts {
            memory_bytes: self.limits.memory_bytes,
            processes: Some(self.limits.processes.saturating_add(OWN_PROCESSES)),
            cpu_weight: self.limits.cpu_weight,
        }
    }

    /// What enforces this controller's limits, or why nothing does.
    pub(crate) fn found(&self, controller: Controller) -> Result<&'static str, &str> {
        if let Some(directory) = self.directory_of(controller) {
            return Ok(match directory.version {
                Version::One => "control groups, version 1",
                Version::Two => "control groups, version 2",
            });
        }
        let missing = self.missing.iter().find(|(missing, _)| *missing == controller);
        Err(missing.map_or("not checked", |(_, reason)| reason))
    }

    fn directory_of(&self, controller: Controller) -> Option<&Directory> {
        self.directories
            .iter()
            .find(|directory| directory.controllers.contains(&controller))
    }

    /// A limited group for one job; `None` if this host allows none.
    pub(crate) fn job(self: &Arc<Self>) -> Result<Option<JobGroup>, SandboxError> {
        if self.directories.is_empty() {
            return Ok(None);
        }
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        let mut group = JobGroup {
            groups: Arc::clone(self),
            paths: Vec::with_capacity(self.directories.len()),
        };
        for directory in &self.directories {
            group
                .make(directory, number)
                .map_err(SandboxError::system("creating the command's control group"))?;
        }
        Ok(Some(group))
    }

    /// Removes the groups of ended jobs; busy ones are tried again next time.
    fn remove(&self, paths: Vec<PathBuf>) {
        for (path, directory) in paths.iter().zip(&self.directories) {
            processes::kill(path, directory.version);
        }
        let earlier = std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = earlier.into_iter().chain(paths);
        let busy: Vec<PathBuf> = ended.filter(|path| !remove_soon(path)).collect();
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).extend(busy);
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for directory in &self.directories {
            directory.owned.remove();
        }
    }
}

/// Removes a group, waiting shortly for its last process; returns whether it is gone.
fn remove_soon(path: &Path) -> bool {
    REMOVAL_RESTS.iter().any(|rest| {
        let gone = match fs::remove_dir(path) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if !gone {
            std::thread::sleep(*rest);
        }
        gone
    })
}

/// The group of one job. Dropping it kills the remaining processes and removes the group.
#[derive(Debug)]
pub(crate) struct JobGroup {
    groups: Arc<Groups>,
    /// One per hierarchy.
    paths: Vec<PathBuf>,
}

/// What a process writes to each file of [`JobGroup::files`] to join the group.
pub(crate) const JOIN: &[u8] = b"0";

impl JobGroup {
    fn make(&mut self, directory: &Directory, number: u64) -> io::Result<()> {
        let path = directory.owned.path.join(format!("job-{number}"));
        fs::create_dir(&path)?;
        self.paths.push(path.clone());
        let amounts = self.groups.of_one();
        for controller in &directory.controllers {
            limit(&path, directory.version, *controller, amounts)?;
        }
        Ok(())
    }

    /// The files to which a process writes [`JOIN`].
    pub(crate) fn files(&self) -> impl Iterator<Item = CString> {
        let files = self.paths.iter().map(|path| path.join("cgroup.procs"));
        // Paths from the system have no NUL byte.
        files.filter_map(|file| CString::new(file.as_os_str().as_bytes()).ok())
    }

    fn events(&self) -> Events {
        let mut events = Events::default();
        for (path, directory) in self.paths.iter().zip(&self.groups.directories) {
            for controller in &directory.controllers {
                events.add(path, directory.version, *controller);
            }
        }
        events
    }

    /// The memory limit for which the kernel killed a process.
    pub(crate) fn out_of_memory(&self) -> Option<Limit> {
        let events = self.events();
        if events.killed == 0 {
            return None;
        }
        let limits = self.groups.limits;
        if events.memory_full > 0 {
            let bytes = limits.memory_bytes;
            return Some(Limit::Memory { bytes });
        }
        let mut together = Events::default();
        if let Some(directory) = self.groups.directory_of(Controller::Memory) {
            together.add(&directory.owned.path, directory.version, Controller::Memory);
        }
        Some(match together.memory_full {
            0 => Limit::MachineMemory,
            _ => Limit::TotalMemory {
                bytes: limits.total_memory_bytes,
            },
        })
    }

    /// The process limit, if it refused a process.
    pub(crate) fn out_of_processes(&self) -> Option<Limit> {
        let count = self.groups.limits.processes;
        (self.events().refused_processes > 0).then_some(Limit::Processes { count })
    }

    /// Kills every process of the job.
    pub(crate) fn kill(&self) {
        for (path, directory) in self.paths.iter().zip(&self.groups.directories) {
            processes::kill(path, directory.version);
        }
    }
}

impl Drop for JobGroup {
    fn drop(&mut self) {
        let (groups, paths) = (Arc::clone(&self.groups), std::mem::take(&mut self.paths));
        // It waits for exiting processes. If the runtime ends first, dropping the groups removes this one.
        let remove = move || groups.remove(paths);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}
