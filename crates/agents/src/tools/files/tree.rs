//! Opens paths beneath one directory and nowhere else.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{FileError, is_git_name};

/// Retries when the kernel fails to resolve a path because directories move meanwhile.
const RESOLVE_TRIES: usize = 16;

/// An open directory.
#[derive(Debug)]
pub(in super::super) struct Tree {
    /// As configured; models see this path in their shell.
    root: PathBuf,
    /// The canonical path.
    real_root: PathBuf,
    directory: OwnedFd,
    resolver: Resolver,
}

/// How a path is kept beneath the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolver {
    /// `openat2`: links inside the directory work, links out of it are refused.
    Kernel,
    /// Step by step, without any links, where the kernel has no `openat2` or the container forbids it.
    Steps,
}

/// The kind of file at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    File,
    Directory,
    Link,
    Special,
}

impl Kind {
    pub(in super::super) fn of(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Link,
            _ => Kind::Special,
        }
    }
}

/// An existing file with its resolved path beneath the directory.
pub(super) struct Found {
    pub(super) real: PathBuf,
    pub(super) stat: Stat,
}

impl Tree {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(root, flags, Mode::empty())?;
        let real_root = name_of(&directory)?;
        let mut tree = Self {
            root: root.to_owned(),
            real_root,
            directory,
            resolver: Resolver::Kernel,
        };
        if let Err(Errno::NOSYS | Errno::PERM) = tree.open_beneath(Path::new(""), flags) {
            tree.resolver = Resolver::Steps;
        }
        Ok(tree)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The canonical path of the directory, for walks.
    pub(in super::super) fn real_root(&self) -> &Path {
        &self.real_root
    }

    /// The part of an absolute path beneath this directory.
    pub(super) fn relative<'path>(&self, path: &'path Path) -> Option<&'path Path> {
        path.strip_prefix(&self.root)
            .or_else(|_| path.strip_prefix(&self.real_root))
            .ok()
    }

    /// Opens a regular file for reading. Returns its size as well.
    pub(in super::super) fn open_file(&self, relative: &Path, given: &str) -> Result<(File, u64), FileError> {
        // Without O_NONBLOCK, opening a pipe would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = self
            .open_beneath(relative, flags)
            .map_err(|error| self.explain(error, given))?;
        let found = self.found(&opened, given)?;
        match Kind::of(&found.stat) {
            Kind::File => Ok((File::from(opened), u64::try_from(found.stat.st_size).unwrap_or(0))),
            Kind::Directory => Err(FileError::IsDirectory { path: given.to_owned() }),
            Kind::Link | Kind::Special => Err(FileError::Special { path: given.to_owned() }),
        }
    }

    /// Opens a directory. Returns its resolved path as well.
    pub(in super::super) fn open_directory(
        &self,
        relative: &Path,
        given: &str,
    ) -> Result<(OwnedFd, PathBuf), FileError> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = self.open_beneath(relative, flags).map_err(|error| match error {
            Errno::NOTDIR => FileError::NotADirectory { path: given.to_owned() },
            other => self.explain(other, given),
        })?;
        let found = self.found(&opened, given)?;
        Ok((opened, found.real))
    }

    /// The target of a path with links followed; `None` if it does not exist.
    pub(in super::super) fn look(&self, relative: &Path, given: &str) -> Result<Option<(Kind, PathBuf)>, FileError> {
        Ok(self
            .find(relative, given)?
            .map(|found| (Kind::of(&found.stat), found.real)))
    }

    pub(super) fn find(&self, relative: &Path, given: &str) -> Result<Option<Found>, FileError> {
        match self.open_beneath(relative, OFlags::PATH | OFlags::CLOEXEC) {
            Ok(opened) => self.found(&opened, given).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.explain(error, given)),
        }
    }

    /// Whether a path is itself a symbolic link.
    pub(super) fn is_link(&self, relative: &Path) -> bool {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let stat = self.open_beneath(relative, flags).and_then(rustix::fs::fstat);
        stat.is_ok_and(|stat| Kind::of(&stat) == Kind::Link)
    }

    /// Refuses a link inside the worktree that leads to git's own files.
    pub(super) fn found(&self, opened: &OwnedFd, given: &str) -> Result<Found, FileError> {
        let system = |source| FileError::System {
            doing: "open",
            path: given.to_owned(),
            source,
        };
        let real = name_of(opened).map_err(system)?;
        let real = real
            .strip_prefix(&self.real_root)
            .map_err(|_| self.outside(given))?
            .to_owned();
        if real.iter().any(is_git_name) {
            return Err(FileError::Git { path: given.to_owned() });
        }
        let stat = rustix::fs::fstat(opened).map_err(|error| system(error.into()))?;
        Ok(Found { real, stat })
    }

    pub(super) fn open_beneath(&self, relative: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if relative.as_os_str().is_empty() {
            Path::new(".")
        } else {
            relative
        };
        if self.resolver == Resolver::Steps {
            return self.open_by_steps(path, flags);
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        for _ in 1..RESOLVE_TRIES {
            match rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), resolve)
    }

    fn open_by_steps(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let step = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = rustix::fs::openat(&self.directory, ".", step, Mode::empty())?;
        let mut names = path.iter().peekable();
        while let Some(name) = names.next() {
            let last = names.peek().is_none();
            let next = rustix::fs::openat(
                &at,
                name,
                if last { flags | OFlags::NOFOLLOW } else { step },
                Mode::empty(),
            )?;
            let is_link = Kind::of(&rustix::fs::fstat(&next)?) == Kind::Link;
            if is_link && !(last && flags.contains(OFlags::NOFOLLOW)) {
                return Err(Errno::LOOP);
            }
            at = next;
        }
        Ok(at)
    }

    fn outside(&self, given: &str) -> FileError {
        FileError::Outside {
            path: given.to_owned(),
            root: self.root.clone(),
        }
    }

    pub(super) fn explain(&self, error: Errno, given: &str) -> FileError {
        let path = given.to_owned();
        match error {
            Errno::XDEV | Errno::LOOP => self.outside(given),
            Errno::NOENT => FileError::NotFound { path },
            Errno::NOTDIR => FileError::ThroughFile { path },
            Errno::NXIO => FileError::Special { path },
            other => FileError::System {
                doing: "open",
                path,
                source: other.into(),
            },
        }
    }

    /// The same directory as a kernel without `openat2` would be asked for it.
    #[cfg(test)]
    pub(super) fn by_steps(self) -> Self {
        Self {
            resolver: Resolver::Steps,
            ..self
        }
    }
}

/// The kernel's name of an open file.
fn name_of(opened: &impl AsFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", opened.as_fd().as_raw_fd()))
}
