//! The steps of a job's child process between fork and exec, while it still has the rights of this process.
//!
//! Everything is prepared before the fork, because the child may neither allocate nor take a lock. If jobs run as another
//! host account ([`Identity::Subordinate`]), the sources of a job's mounts are staged for that account: bubblewrap resolves
//! paths itself and could not pass a data or home directory of mode 0700. Files keep their owner on disk; id-mapped mounts
//! show them as the job's own, so the server and the job both see them as theirs.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::{Errno, FdFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags};
use rustix::process::{Gid, Uid};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::identity::{Identity, Subordinate};
use crate::{Access, SandboxError};

/// Where sources are staged: a directory that every Linux has and that nothing uses before the command starts.
const STAGE: &CStr = c"/sys";

/// The `oom_score_adj` of a job, of 1000: the kernel kills processes with a higher score first.
pub(crate) const OOM_SCORE: i32 = 800;

/// The first descriptor that is not standard input, output or error.
pub(crate) const FIRST_OTHER: RawFd = 3;

/// How many descriptors to close one by one if the kernel (before 5.11) can't mark them all at once.
const MAX_DESCRIPTORS: RawFd = 65_536;

/// The steps of one child process.
pub(crate) struct Stage {
    identity: Identity,
    writes: Vec<Write>,
    trees: Vec<Tree>,
    inherited: Vec<OwnedFd>,
}

/// Text that the child writes to a system file.
struct Write {
    path: CString,
    text: Vec<u8>,
    needed: bool,
}

/// A detached copy of mounts, and where the child attaches it.
struct Tree {
    tree: OwnedFd,
    place: CString,
    is_directory: bool,
}

impl Stage {
    /// The steps of every job.
    pub(crate) fn new(identity: &Identity) -> Self {
        let mut stage = Self {
            identity: identity.clone(),
            writes: Vec::new(),
            trees: Vec::new(),
            inherited: Vec::new(),
        };
        // If memory runs out, the kernel should kill a worker's command, not the server or its database. If root writes
        // it, the command can't set less. It fails if the server's own score is higher.
        stage.try_write(c"/proc/self/oom_score_adj".into(), OOM_SCORE.to_string().into_bytes());
        stage
    }

    /// Writes a text to a file with the rights of this process; the job fails if that fails.
    pub(crate) fn write(&mut self, path: CString, text: Vec<u8>) {
        self.writes.push(Write {
            path,
            text,
            needed: true,
        });
    }

    /// Like [`Stage::write`], but ignores a failure.
    pub(crate) fn try_write(&mut self, path: CString, text: Vec<u8>) {
        self.writes.push(Write {
            path,
            text,
            needed: false,
        });
    }

    /// Keeps a descriptor open for the started program, under the same number.
    pub(crate) fn inherit(&mut self, descriptor: OwnedFd) -> RawFd {
        let number = descriptor.as_raw_fd();
        self.inherited.push(descriptor);
        number
    }

    /// The path at which bubblewrap finds this grant.
    ///
    /// # Errors
    /// When its owner can't be mapped to the job's account.
    pub(crate) fn source(&mut self, path: &Path, access: Access) -> Result<PathBuf, SandboxError> {
        let Identity::Subordinate(subordinate) = &self.identity else {
            return Ok(path.to_owned());
        };
        let tree = open_tree(path, subordinate, access)?;
        let place = PathBuf::from(format!("/sys/{}", self.trees.len()));
        self.trees.push(Tree {
            is_directory: is_directory(&tree).map_err(|error| not_granted(path, &error.into()))?,
            tree,
            place: c_string(&place),
        });
        Ok(place)
    }

    /// Adds the steps to the child process of this command.
    pub(crate) fn prepare(self, command: &mut Command) {
        #[expect(unsafe_code, reason = "std has no other way to do something between fork and exec")]
        // SAFETY: the closure makes system calls on what was prepared; it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(move || self.enter());
        }
    }

    fn enter(&self) -> io::Result<()> {
        for write in &self.writes {
            match write.perform() {
                Err(error) if write.needed => return failed(b"setting a limit", error),
                _ => {}
            }
        }
        if let Identity::Subordinate(subordinate) = &self.identity {
            self.attach_sources(subordinate)?;
            subordinate.become_it()?;
        }
        self.close_others()
            .or_else(|error| failed(b"closing files of the server", error))
    }

    /// Attaches the sources where the job's account can reach them, in the child's own mount namespace.
    fn attach_sources(&self, subordinate: &Subordinate) -> io::Result<()> {
        let (user, group) = subordinate.ids();
        for descriptor in [rustix::stdio::stdout(), rustix::stdio::stderr()] {
            // Otherwise the job could not open `/dev/stdout`.
            rustix::fs::fchown(descriptor, Some(user), Some(group))
                .or_else(|error| failed(b"changing the owner of its output", error))?;
        }
        own_mount_namespace().or_else(|error| failed(b"creating a mount namespace", error))?;
        for tree in &self.trees {
            tree.put().or_else(|error| failed(b"attaching a granted path", error))?;
        }
        Ok(())
    }

    /// Closes all descriptors of this process but the inherited ones.
    fn close_others(&self) -> rustix::io::Result<()> {
        close_on_exec_from(FIRST_OTHER);
        for descriptor in &self.inherited {
            rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        Ok(())
    }
}

impl Subordinate {
    fn ids(&self) -> (Uid, Gid) {
        (Uid::from_raw(self.first_id), Gid::from_raw(self.first_id))
    }

    /// Becomes root of the namespace, which is an unused account on the host.
    fn become_it(&self) -> io::Result<()> {
        let (user, group) = (Uid::ROOT, Gid::ROOT);
        rustix::thread::move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::User))
            .and_then(|()| rustix::thread::set_thread_groups(&[]))
            .and_then(|()| rustix::thread::set_thread_res_gid(group, group, group))
            .and_then(|()| rustix::thread::set_thread_res_uid(user, user, user))
            .or_else(|error| failed(b"dropping the rights of root", error))
    }
}

impl Write {
    fn perform(&self) -> rustix::io::Result<()> {
        let file = rustix::fs::open(self.path.as_c_str(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(file, &self.text).map(drop)
    }
}

impl Tree {
    fn put(&self) -> rustix::io::Result<()> {
        let place = self.place.as_c_str();
        if self.is_directory {
            rustix::fs::mkdir(place, Mode::from_raw_mode(0o755))?;
        } else {
            rustix::fs::open(
                place,
                OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC,
                Mode::from_raw_mode(0o644),
            )?;
        }
        rustix::mount::move_mount(&self.tree, c"", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
    }
}

/// Writes the failed step to the setup's output, because std passes on only the error number.
fn failed<T>(doing: &[u8], error: impl Into<io::Error>) -> io::Result<T> {
    for text in [doing, b" failed"] {
        // If even that fails, the number remains.
        rustix::io::write(rustix::stdio::stderr(), text).unwrap_or_default();
    }
    Err(error.into())
}

fn own_mount_namespace() -> rustix::io::Result<()> {
    #[expect(unsafe_code, reason = "marked unsafe for the sake of another flag")]
    // SAFETY: only unsharing descriptors endangers other threads.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)?;
    }
    rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount(c"tmpfs", STAGE, c"tmpfs", flags, c"mode=0755")
}

/// A detached copy of the mounts at a path, in which this process's files belong to the job.
pub(crate) fn open_tree(path: &Path, subordinate: &Subordinate, access: Access) -> Result<OwnedFd, SandboxError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(CWD, path, flags).map_err(|error| match error {
        // The path exists, so the capability or the system call is missing.
        Errno::PERM | Errno::NOSYS => SandboxError::Root {
            reason: format!("mounts can't be copied: {error}"),
        },
        _ => not_granted(path, &error.into()),
    })?;
    let attributes = (libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV)
        | match access {
            Access::ReadOnly => libc::MOUNT_ATTR_RDONLY,
            Access::ReadWrite => 0,
        };
    match map_owners(tree.as_fd(), attributes, subordinate.namespace.as_fd()) {
        Ok(()) => Ok(tree),
        // World-readable files are useful without a mapped owner too.
        Err(_) if access == Access::ReadOnly => Ok(tree),
        Err(error) => Err(SandboxError::NotMappable {
            path: path.to_owned(),
            file_system: crate::file_system::name(path),
            source: error,
        }),
    }
}

fn is_directory(tree: &OwnedFd) -> rustix::io::Result<bool> {
    let status = rustix::fs::fstat(tree)?;
    Ok(FileType::from_raw_mode(status.st_mode) == FileType::Directory)
}

/// `mount_setattr(2)` on a detached tree and all mounts in it.
fn map_owners(tree: BorrowedFd<'_>, attributes: u64, namespace: BorrowedFd<'_>) -> io::Result<()> {
    #[expect(clippy::cast_sign_loss, reason = "a descriptor that is open is not negative")]
    let attributes = libc::mount_attr {
        attr_set: attributes | libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace.as_raw_fd() as u64,
    };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    #[expect(unsafe_code, reason = "rustix does not have this call")]
    // SAFETY: both pointers live through the call, and the size is that of what the second points to.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Marks this descriptor and all later ones to be closed when the next program starts.
pub(crate) fn close_on_exec_from(first: RawFd) {
    #[expect(unsafe_code, reason = "rustix does not have this call")]
    // SAFETY: it marks descriptors and touches no memory.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result == 0 {
        return;
    }
    for number in first..MAX_DESCRIPTORS {
        #[expect(unsafe_code, reason = "the descriptors belong to other code")]
        // SAFETY: as above; a descriptor that is not open only returns an error.
        unsafe {
            libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

fn not_granted(path: &Path, source: &io::Error) -> SandboxError {
    SandboxError::BadJob(format!("`{}` can't be granted to it: {source}", path.display()))
}

/// A path without a NUL byte: the system has accepted it before.
fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}
