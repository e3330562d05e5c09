//! What the child process of a job does between fork and exec, while it still has the rights of this process.
//!
//! Everything is prepared before the fork, as the child may neither allocate nor take a lock. Where jobs are somebody
//! else outside ([`Identity::Subordinate`]), what a job is granted is laid out for that account: bubblewrap looks paths
//! up itself and could not pass a data directory or a home directory of mode 0700. Files keep their owner on the disk and
//! are the job's own only in its mounts, so the server and a job see the same files as theirs.

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

/// Where sources are laid out: a directory that every Linux has and that nothing needs from here to the command.
const STAGE: &CStr = c"/sys";

/// How much sooner than others the kernel ends a job when memory runs out, of 1000.
pub(crate) const OOM_SCORE: i32 = 800;

/// The first descriptor that is not standard input, output or error.
pub(crate) const FIRST_OTHER: RawFd = 3;

/// Descriptors closed one by one where the kernel (before 5.11) can't mark them all at once.
const MOST_DESCRIPTORS: RawFd = 65_536;

/// The steps of one child process.
pub(crate) struct Stage {
    identity: Identity,
    writes: Vec<Write>,
    trees: Vec<Tree>,
    inherited: Vec<OwnedFd>,
}

/// Text that the child writes to a file of the system.
struct Write {
    path: CString,
    text: Vec<u8>,
    needed: bool,
}

/// A copy of mounts that is nowhere yet, and where the child puts it.
struct Tree {
    tree: OwnedFd,
    place: CString,
    is_directory: bool,
}

impl Stage {
    /// The steps that every job has.
    pub(crate) fn new(identity: &Identity) -> Self {
        let mut stage = Self {
            identity: identity.clone(),
            writes: Vec::new(),
            trees: Vec::new(),
            inherited: Vec::new(),
        };
        // Where memory runs out, the kernel shall end a worker's command, not the server or its database. Written by
        // root, it is also the least that the command may set. It fails where the server itself comes before.
        stage.try_write(c"/proc/self/oom_score_adj".into(), OOM_SCORE.to_string().into_bytes());
        stage
    }

    /// Writes a text to a file, with the rights of this process; without it there is no job.
    pub(crate) fn write(&mut self, path: CString, text: Vec<u8>) {
        self.writes.push(Write {
            path,
            text,
            needed: true,
        });
    }

    /// As [`Stage::write`], but a failure is no reason to stop.
    pub(crate) fn try_write(&mut self, path: CString, text: Vec<u8>) {
        self.writes.push(Write {
            path,
            text,
            needed: false,
        });
    }

    /// Leaves a descriptor open for the program that is started; its number stays.
    pub(crate) fn inherit(&mut self, descriptor: OwnedFd) -> RawFd {
        let number = descriptor.as_raw_fd();
        self.inherited.push(descriptor);
        number
    }

    /// The path at which bubblewrap finds what a job is granted.
    ///
    /// # Errors
    /// When it can't be made the job's own.
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

    /// Makes the child of this command do the steps.
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
            self.lay_out(subordinate)?;
            subordinate.become_it()?;
        }
        self.close_others()
            .or_else(|error| failed(b"closing files of the server", error))
    }

    /// Puts the sources where the job's account may look, in a mount namespace of the child's own.
    fn lay_out(&self, subordinate: &Subordinate) -> io::Result<()> {
        let (user, group) = subordinate.ids();
        for descriptor in [rustix::stdio::stdout(), rustix::stdio::stderr()] {
            // Or the job could not open `/dev/stdout`.
            rustix::fs::fchown(descriptor, Some(user), Some(group))
                .or_else(|error| failed(b"giving it its output", error))?;
        }
        own_mount_namespace().or_else(|error| failed(b"making a mount namespace", error))?;
        for tree in &self.trees {
            tree.put()
                .or_else(|error| failed(b"laying out what is granted", error))?;
        }
        Ok(())
    }

    /// Whatever this process was started with or holds open, the job gets none of it.
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

    /// Becomes root of the namespace, which is nobody outside.
    fn become_it(&self) -> io::Result<()> {
        let (user, group) = (Uid::ROOT, Gid::ROOT);
        rustix::thread::move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::User))
            .and_then(|()| rustix::thread::set_thread_groups(&[]))
            .and_then(|()| rustix::thread::set_thread_res_gid(group, group, group))
            .and_then(|()| rustix::thread::set_thread_res_uid(user, user, user))
            .or_else(|error| failed(b"giving up the rights of root", error))
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

/// Says what failed where the room's own trouble is read; std passes on the number of the error alone.
fn failed<T>(doing: &[u8], error: impl Into<io::Error>) -> io::Result<T> {
    for text in [doing, b" failed"] {
        // Where even that fails, the number has to do.
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

/// A copy of the mounts at a path in which files of this process's account belong to the job.
pub(crate) fn open_tree(path: &Path, subordinate: &Subordinate, access: Access) -> Result<OwnedFd, SandboxError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(CWD, path, flags).map_err(|error| match error {
        // The path was found before; what is missing are the rights of root or the call.
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
        // What all may read is of use without an owner as well.
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

/// Closes this descriptor and all after it when the next program is started.
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
    for number in first..MOST_DESCRIPTORS {
        #[expect(unsafe_code, reason = "the descriptors are those of code that knows nothing of this")]
        // SAFETY: as above; one that is not open is an error and nothing else.
        unsafe {
            libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

fn not_granted(path: &Path, source: &io::Error) -> SandboxError {
    SandboxError::BadJob(format!("`{}` can't be granted to it: {source}", path.display()))
}

/// A path that holds no NUL byte, as none does that the system was asked for before.
fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}
