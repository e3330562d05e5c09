//! Writing the tree of a directory that a worker filled. Nothing in it is trusted: no git configuration, hook, filter
//! or nested repository is looked at, and no symlink is followed.

use crate::{
    error::{Doing, GitResult},
    ids::RepoPath,
    snapshot::{
        ignores::Ignores,
        limits::{TreeLimits, WalkError},
        stat_cache::StatCache,
    },
    tree::{
        MAX_DEPTH,
        reserved::{control_file, is_dot_git},
        withheld::is_withheld,
    },
};
use git2::{ObjectType, Oid, Repository, Tree};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use std::{
    collections::HashSet,
    ffi::{CStr, CString},
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
};

/// Writes the tree of `root` as it differs from `base`, and returns its id.
pub(crate) fn write_tree(
    objects: &Repository,
    root: &Path,
    base: Option<Tree<'_>>,
    stat_cache: StatCache,
    limits: &TreeLimits,
) -> Result<Oid, WalkError> {
    let mut walk = Walk {
        objects,
        root,
        stat_cache,
        limits,
        files: 0,
        bytes: 0,
        written: HashSet::new(),
        ignores: Ignores::default(),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, root, flags, Mode::empty()).map_err(|errno| walk.unreadable(b"", errno))?;
    match walk.directory(directory, b"", base, Take::Everything)? {
        Some(tree) => Ok(tree),
        None => Ok(empty_tree(objects)?),
    }
}

/// What is taken of a directory.
#[derive(Clone, Copy, PartialEq)]
enum Take {
    Everything,
    /// The directory is ignored: what the base holds is taken, and nothing new.
    Tracked,
}

struct Walk<'a> {
    objects: &'a Repository,
    root: &'a Path,
    stat_cache: StatCache,
    limits: &'a TreeLimits,
    files: usize,
    bytes: u64,
    /// Contents that many files share are written once.
    written: HashSet<Oid>,
    ignores: Ignores,
}

/// An entry of a tree.
#[derive(Clone, Copy, PartialEq)]
struct Entry {
    oid: Oid,
    mode: i32,
}

impl Entry {
    fn is_no_file(self) -> bool {
        !matches!(self.mode, FILE | EXECUTABLE)
    }

    /// Whether the base has it as well: a directory may have changed inside.
    fn stands_for(self, before: Option<Self>) -> bool {
        before.is_some_and(|before| before == self || before.mode == TREE && self.mode == TREE)
    }
}

const TREE: i32 = 0o040_000;
const FILE: i32 = 0o100_644;
const EXECUTABLE: i32 = 0o100_755;
const LINK: i32 = 0o120_000;
const GITLINK: i32 = 0o160_000;

impl Walk<'_> {
    /// The tree of a directory; `None` if nothing in it is taken.
    fn directory(
        &mut self,
        directory: OwnedFd,
        path: &[u8],
        base: Option<Tree<'_>>,
        take: Take,
    ) -> Result<Option<Oid>, WalkError> {
        if path.iter().filter(|byte| **byte == b'/').count() >= MAX_DEPTH {
            return Err(WalkError::TooDeep {
                path: RepoPath::new(path),
            });
        }
        self.ignores.enter(&directory, path);
        let mut names = Vec::new();
        for entry in Dir::read_from(&directory).map_err(|errno| self.unreadable(path, errno))? {
            let entry = entry.map_err(|errno| self.unreadable(path, errno))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort_unstable();
        let withheld = self.withheld(base.as_ref(), &names)?;
        let mut found = Vec::with_capacity(names.len());
        for name in &names {
            let before = base.as_ref().and_then(|tree| entry_of(tree, name.to_bytes()));
            if let Some(entry) = self.entry(&directory, name, &join(path, name.to_bytes()), before, take)? {
                found.push((name.to_bytes(), entry));
            }
        }
        self.ignores.leave();
        found.extend(withheld.iter().map(|(name, entry)| (name.as_slice(), *entry)));
        found.sort_unstable_by_key(|(name, _)| *name);
        Ok(write_changes(self.objects, base.as_ref(), &found, path)?)
    }

    /// What the base holds and no checkout of ours does: it stays as it is.
    fn withheld(&self, base: Option<&Tree<'_>>, there: &[CString]) -> Result<Vec<(Vec<u8>, Entry)>, WalkError> {
        let mut withheld = Vec::new();
        for entry in base.into_iter().flat_map(Tree::iter) {
            let name = entry.name_bytes();
            if there.binary_search_by(|other| other.to_bytes().cmp(name)).is_ok() {
                continue;
            }
            let (oid, mode) = (entry.id(), entry.filemode_raw());
            if is_withheld(self.objects, &entry, 0).doing(|| format!("can't read the tree {oid}"))? {
                withheld.push((name.to_vec(), Entry { oid, mode }));
            }
        }
        Ok(withheld)
    }

    fn entry(
        &mut self,
        directory: &OwnedFd,
        name: &CStr,
        path: &[u8],
        before: Option<Entry>,
        take: Take,
    ) -> Result<Option<Entry>, WalkError> {
        let at_root = path == name.to_bytes();
        if at_root && (name == c".git" || name.to_bytes() == UNFINISHED_GIT) {
            return Ok(None);
        }
        let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.unreadable(path, errno)),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let ignored = take == Take::Tracked || self.ignores.contain(path, kind == FileType::Directory);
        if ignored && before.is_none() {
            return Ok(None);
        }
        if is_dot_git(name.to_bytes()) {
            let path = RepoPath::new(path);
            return Err(match name.to_bytes().eq_ignore_ascii_case(b".git") && !at_root {
                true => WalkError::NestedRepository { path },
                false => WalkError::ReservedName { path },
            });
        }
        let entry = match kind {
            FileType::Directory => self.subdirectory(directory, name, path, before, ignored)?,
            FileType::RegularFile => Some(self.file(directory, name, path, before, &stat)?),
            FileType::Symlink => Some(self.symlink(directory, name, path, before)?),
            // Pipes, sockets and devices are nothing to git.
            _ => None,
        };
        match (entry, control_file(name.to_bytes())) {
            (Some(new), Some(file)) if new.is_no_file() && !new.stands_for(before) => Err(WalkError::NoFile {
                path: RepoPath::new(path),
                file,
            }),
            (entry, _) => Ok(entry),
        }
    }

    fn subdirectory(
        &mut self,
        directory: &OwnedFd,
        name: &CStr,
        path: &[u8],
        before: Option<Entry>,
        ignored: bool,
    ) -> Result<Option<Entry>, WalkError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(directory, name, flags, Mode::empty()).map_err(|errno| self.unreadable(path, errno))?;
        match before {
            Some(gitlink) if gitlink.mode == GITLINK => {
                let mut entries = Dir::read_from(&opened).map_err(|errno| self.unreadable(path, errno))?;
                match entries
                    .any(|entry| entry.is_ok_and(|entry| !matches!(entry.file_name().to_bytes(), b"." | b"..")))
                {
                    true => Err(WalkError::InsideSubmodule {
                        path: RepoPath::new(path),
                    }),
                    false => Ok(Some(gitlink)),
                }
            }
            Some(tree) if tree.mode == TREE => {
                let base = self
                    .objects
                    .find_tree(tree.oid)
                    .doing(|| format!("can't read the tree {}", tree.oid))?;
                let take = if ignored { Take::Tracked } else { Take::Everything };
                Ok(self
                    .directory(opened, path, Some(base), take)?
                    .map(|oid| Entry { oid, mode: TREE }))
            }
            // A file became a directory; an ignored one holds nothing that was tracked.
            _ if ignored => Ok(None),
            _ => Ok(self
                .directory(opened, path, None, Take::Everything)?
                .map(|oid| Entry { oid, mode: TREE })),
        }
    }

    fn file(
        &mut self,
        directory: &OwnedFd,
        name: &CStr,
        path: &[u8],
        before: Option<Entry>,
        stat: &Stat,
    ) -> Result<Entry, WalkError> {
        let mode = if stat.st_mode & 0o100 != 0 { EXECUTABLE } else { FILE };
        if let Some(oid) = self.stat_cache.unchanged(path, stat) {
            return Ok(Entry { oid, mode });
        }
        let bytes = stat.st_size as u64;
        let limit = self.limits.max_file_bytes;
        let may_be_unchanged = before.is_some_and(|entry| self.blob_size(entry.oid) == Some(bytes));
        if bytes > limit && !may_be_unchanged {
            return Err(WalkError::FileTooLarge {
                path: RepoPath::new(path),
                bytes,
                limit,
            });
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = openat(directory, name, flags, Mode::empty()).map_err(|errno| self.unreadable(path, errno))?;
        let mut content = Vec::new();
        File::from(opened)
            .take(bytes.max(limit) + 1)
            .read_to_end(&mut content)
            .map_err(|source| self.unreadable_because(path, source))?;
        Ok(Entry {
            oid: self.blob(path, &content, before)?,
            mode,
        })
    }

    fn symlink(
        &mut self,
        directory: &OwnedFd,
        name: &CStr,
        path: &[u8],
        before: Option<Entry>,
    ) -> Result<Entry, WalkError> {
        let target = readlinkat(directory, name, Vec::new()).map_err(|errno| self.unreadable(path, errno))?;
        Ok(Entry {
            oid: self.blob(path, target.as_bytes(), before)?,
            mode: LINK,
        })
    }

    fn blob(&mut self, path: &[u8], content: &[u8], before: Option<Entry>) -> Result<Oid, WalkError> {
        let hashed = Oid::hash_object(ObjectType::Blob, content).doing(|| "can't hash a file".to_owned())?;
        if before.is_some_and(|entry| entry.oid == hashed) {
            return Ok(hashed);
        }
        self.files += 1;
        self.bytes += content.len() as u64;
        let limits = self.limits;
        if content.len() as u64 > limits.max_file_bytes {
            let (bytes, limit) = (content.len() as u64, limits.max_file_bytes);
            return Err(WalkError::FileTooLarge {
                path: RepoPath::new(path),
                bytes,
                limit,
            });
        }
        if self.files > limits.max_changed_files {
            return Err(WalkError::TooManyFiles {
                path: RepoPath::new(path),
                limit: limits.max_changed_files,
            });
        }
        if self.bytes > limits.max_changed_bytes {
            return Err(WalkError::TooManyBytes {
                path: RepoPath::new(path),
                limit: limits.max_changed_bytes,
            });
        }
        if self.written.insert(hashed) {
            let doing = || format!("can't write '{}' into the hub", RepoPath::new(path));
            self.objects.blob(content).doing(doing)?;
        }
        Ok(hashed)
    }

    fn blob_size(&self, oid: Oid) -> Option<u64> {
        Some(self.objects.odb().ok()?.read_header(oid).ok()?.0 as u64)
    }

    fn unreadable(&self, path: &[u8], errno: rustix::io::Errno) -> WalkError {
        self.unreadable_because(path, errno.into())
    }

    fn unreadable_because(&self, path: &[u8], source: io::Error) -> WalkError {
        WalkError::Unreadable {
            root: self.root.to_owned(),
            path: RepoPath::new(path),
            source,
        }
    }
}

/// The repository that [`crate::initialise()`] has not finished yet.
pub(crate) const UNFINISHED_GIT: &[u8] = b".git.orchestrator-making";

fn entry_of(tree: &Tree<'_>, name: &[u8]) -> Option<Entry> {
    tree.get_name_bytes(name).map(|entry| Entry {
        oid: entry.id(),
        mode: entry.filemode_raw(),
    })
}

/// Writes only what differs from the base: a directory that is as it was costs no object.
fn write_changes(
    objects: &Repository,
    base: Option<&Tree<'_>>,
    found: &[(&[u8], Entry)],
    path: &[u8],
) -> GitResult<Option<Oid>> {
    if found.is_empty() {
        return Ok(None);
    }
    let before = |name: &[u8]| base.and_then(|tree| entry_of(tree, name));
    let changed: Vec<_> = found
        .iter()
        .filter(|(name, entry)| before(name) != Some(*entry))
        .collect();
    let gone: Vec<_> = base
        .iter()
        .flat_map(|tree| tree.iter().map(|entry| entry.name_bytes().to_vec()).collect::<Vec<_>>())
        .filter(|name| found.binary_search_by(|(other, _)| (*other).cmp(name)).is_err())
        .collect();
    if let (Some(base), true, true) = (base, changed.is_empty(), gone.is_empty()) {
        return Ok(Some(base.id()));
    }
    let doing = || format!("can't write the tree of '{}'", RepoPath::new(path));
    let mut builder = objects.treebuilder(base).doing(doing)?;
    for name in &gone {
        builder.remove(name.as_slice()).doing(doing)?;
    }
    for (name, entry) in changed {
        builder.insert(*name, entry.oid, entry.mode).doing(doing)?;
    }
    builder.write().map(Some).doing(doing)
}

fn empty_tree(objects: &Repository) -> GitResult<Oid> {
    objects
        .treebuilder(None)
        .and_then(|builder| builder.write())
        .doing(|| "can't write the empty tree".to_owned())
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        [] => name.to_vec(),
        _ => [directory, b"/", name].concat(),
    }
}
