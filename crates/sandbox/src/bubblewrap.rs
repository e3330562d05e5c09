//! The bubblewrap tier: builds the arguments of `bwrap`.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::MemfdFlags;

use crate::environment::HOME;
use crate::launch::launch_by_shell;
use crate::seccomp::Filters;
use crate::stage::Stage;
use crate::{Access, Job, Sandbox, SandboxError, Settings};

/// One path made visible inside, at the same path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mount {
    ReadOnly(PathBuf),
    ReadWrite(PathBuf),
    /// An empty writable directory in memory, removed with the sandbox.
    Temporary(PathBuf),
}

impl Mount {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Mount::ReadOnly(path) | Mount::ReadWrite(path) | Mount::Temporary(path) => path,
        }
    }
}

/// System directories; most systems link them into `/usr`.
const SYSTEM_DIRECTORIES: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// What programs need from `/etc`: loader, names, time, certificates. None of it is secret.
const SYSTEM_FILES: [&str; 17] = [
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "group",
    "hosts",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki/tls/certs",
    "protocols",
    "ssl/certs",
];

/// The size of `/dev/shm`.
const SHARED_MEMORY_BYTES: u64 = 64 * 1024 * 1024;

/// The bubblewrap program and the features of its version.
#[derive(Clone, Debug)]
pub(crate) struct Features {
    pub(crate) program: PathBuf,
    pub(crate) version: String,
    pub(crate) sized_tmpfs: bool,
    pub(crate) disable_userns: bool,
    /// Whether it takes more than one system call filter.
    pub(crate) many_filters: bool,
}

impl Features {
    /// Reads the version line and the help text.
    pub(crate) fn parse(program: PathBuf, version: &str, help: &str) -> Self {
        Self {
            program,
            version: version
                .split_whitespace()
                .last()
                .unwrap_or("of unknown version")
                .to_owned(),
            sized_tmpfs: help.contains("--size "),
            disable_userns: help.contains("--disable-userns"),
            many_filters: help.contains("--add-seccomp-fd"),
        }
    }

    pub(crate) fn describe(&self) -> String {
        let mut text = format!(
            "bubblewrap {}: no network, no home directory, own processes, only the worktree is writable, system calls filtered",
            self.version
        );
        if !self.disable_userns {
            text.push_str("; this version (before 0.8) does not refuse nested user namespaces");
        }
        if !self.sized_tmpfs {
            text.push_str("; this version does not limit the size of /tmp");
        }
        text
    }
}

/// Builds the list of arguments, keeping the order: later mounts lie on top of earlier ones.
struct Arguments {
    list: Vec<OsString>,
    sized_tmpfs: bool,
    /// Paths that are writable inside.
    writable: Vec<PathBuf>,
}

impl Arguments {
    fn add<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&mut self, arguments: I) {
        self.list
            .extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
    }

    fn read_only(&mut self, path: &Path) {
        self.add([OsStr::new("--ro-bind"), path.as_os_str(), path.as_os_str()]);
    }

    fn temporary(&mut self, path: &Path, bytes: u64) {
        if self.sized_tmpfs {
            self.add(["--size", &bytes.to_string()]);
        }
        self.add([OsStr::new("--tmpfs"), path.as_os_str()]);
        self.writable.push(path.to_owned());
    }

    fn mount(&mut self, mount: &Mount, settings: &Settings, stage: &mut Stage) -> Result<(), SandboxError> {
        let (option, path, access) = match mount {
            Mount::ReadOnly(path) => ("--ro-bind", path, Access::ReadOnly),
            Mount::ReadWrite(path) => ("--bind", path, Access::ReadWrite),
            Mount::Temporary(path) => {
                self.temporary(path, settings.temporary_bytes);
                return Ok(());
            }
        };
        if access == Access::ReadWrite {
            self.writable.push(path.clone());
        }
        let source = stage.source(path, access)?;
        self.add([OsStr::new(option), source.as_os_str(), path.as_os_str()]);
        Ok(())
    }

    /// `/usr` and the system directories beside it, whether they are links or directories.
    fn system(&mut self) {
        self.read_only(Path::new("/usr"));
        for name in SYSTEM_DIRECTORIES {
            let path = Path::new("/").join(name);
            if let Ok(target) = fs::read_link(&path) {
                self.add([OsStr::new("--symlink"), target.as_os_str(), path.as_os_str()]);
            } else if path.is_dir() {
                self.read_only(&path);
            }
        }
        self.add(["--dir", "/etc"]);
        for name in SYSTEM_FILES {
            let path = Path::new("/etc").join(name);
            if path.exists() {
                self.read_only(&path);
            }
        }
    }
}

/// The arguments of `bwrap` for one job; the stage prepares the sources of its mounts.
pub(crate) fn arguments(
    sandbox: &Sandbox,
    features: &Features,
    filters: &Filters,
    job: &Job,
    stage: &mut Stage,
) -> Result<Vec<OsString>, SandboxError> {
    let settings = &sandbox.settings;
    let mut arguments = Arguments {
        list: Vec::new(),
        sized_tmpfs: features.sized_tmpfs,
        writable: Vec::new(),
    };
    arguments.add([
        "--unshare-all",
        "--unshare-user",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
    ]);
    if features.disable_userns {
        arguments.add(["--disable-userns"]);
    }
    let filter = if features.many_filters {
        "--add-seccomp-fd"
    } else {
        "--seccomp"
    };
    for program in &filters.programs {
        let descriptor = in_memory(program).map_err(SandboxError::system("storing a system call filter"))?;
        arguments.add([filter, &stage.inherit(descriptor).to_string()]);
    }
    arguments.add(["--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]);
    for (name, value) in sandbox.variables(job, Path::new(HOME)) {
        arguments.add([OsStr::new("--setenv"), OsStr::new(&name), &value]);
    }
    arguments.system();
    arguments.add(["--proc", "/proc", "--dev", "/dev"]);
    arguments.temporary(Path::new("/dev/shm"), SHARED_MEMORY_BYTES);
    arguments.temporary(Path::new("/tmp"), settings.temporary_bytes);
    arguments.temporary(Path::new(HOME), settings.temporary_bytes);
    for mount in sandbox.toolchains.mounts.iter().chain(&job_mounts(settings, job)) {
        arguments.mount(mount, settings, stage)?;
    }
    // Directories created as mount points use memory that no limit counts.
    arguments.add(["--remount-ro", "/dev", "--remount-ro", "/"]);
    // A job must not write kernel settings, nor settings of processes.
    arguments.add(["--remount-ro", "/proc", "--chdir"]);
    arguments.add([job.worktree.as_os_str()]);
    arguments.add(["--"]);
    let launch = match &sandbox.launcher {
        Some(launcher) => launcher
            .launch(stage, sandbox.limits(), &arguments.writable, &job.argv)
            .map_err(SandboxError::system("passing the launcher to the sandbox"))?,
        None => launch_by_shell(sandbox.limits(), &job.argv),
    };
    arguments.add(launch);
    Ok(arguments.list)
}

/// An unnamed file with these bytes, positioned at its start.
fn in_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("filter", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// What the settings and the job grant, outer directories before nested ones.
fn job_mounts(settings: &Settings, job: &Job) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    let read_only = settings
        .extra_read_only
        .iter()
        .chain(&job.hub)
        .chain(&job.extra_read_only);
    mounts.extend(read_only.cloned().map(Mount::ReadOnly));
    mounts.extend(job.extra_read_write.iter().cloned().map(Mount::ReadWrite));
    mounts.push(match job.worktree_access {
        Access::ReadWrite => Mount::ReadWrite(job.worktree.clone()),
        Access::ReadOnly => Mount::ReadOnly(job.worktree.clone()),
    });
    // A worker that replaces it would choose the repository that git commands read.
    let git = job.worktree.join(".git");
    if git.exists() {
        mounts.push(Mount::ReadOnly(git));
    }
    mounts.sort_by_key(|mount| mount.path().components().count());
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_bubblewrap_reports_missing_features() {
        let features = Features::parse("bwrap".into(), "bubblewrap 0.4.1\n", "--tmpfs DEST  Mount new tmpfs");
        let text = features.describe();
        assert!(
            text.contains("0.4.1") && text.contains("nested user namespaces") && text.contains("/tmp"),
            "{text}"
        );
    }

    #[test]
    fn nested_grant_is_mounted_after_outer_grant() {
        let mut job = Job::new(vec!["true".to_owned()], PathBuf::from("/data"));
        job.extra_read_only = vec![PathBuf::from("/data/a/b"), PathBuf::from("/data/a")];
        let mounts = job_mounts(&Settings::default(), &job);
        let paths: Vec<&str> = mounts.iter().filter_map(|mount| mount.path().to_str()).collect();
        assert_eq!(paths, ["/data", "/data/a", "/data/a/b"]);
    }
}
