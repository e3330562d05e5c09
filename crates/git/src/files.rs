//! Directories and files of any repository: flushing them to disk, and removing them.

use crate::error::{At, GitError, GitResult};
use std::{
    collections::HashSet,
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    thread,
};

/// Removes a directory, also where a worker took the permission to write from parts of it. Follows no symlink; one
/// that is not there is fine.
pub fn remove_directory(directory: &Path) -> GitResult<()> {
    match fs::remove_dir_all(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(directory)?;
            fs::remove_dir_all(directory).at("can't remove", directory)
        }
        Err(error) => Err(GitError::io("can't remove", directory, error)),
    }
}

fn make_writable(directory: &Path) -> GitResult<()> {
    let permissions = fs::Permissions::from_mode(0o700);
    fs::set_permissions(directory, permissions).at("can't change the permissions of", directory)?;
    for entry in fs::read_dir(directory).at("can't read", directory)? {
        let entry = entry.at("can't read", directory)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

/// So many threads flush at one time: a file system writes what is asked for together in one go.
const FLUSHERS: usize = 8;

pub(crate) fn sync_side_by_side(paths: &[PathBuf]) -> GitResult<()> {
    let share = paths.len().div_ceil(FLUSHERS).max(1);
    thread::scope(|scope| {
        let flushers: Vec<_> = paths
            .chunks(share)
            .map(|paths| {
                scope.spawn(move || {
                    paths.iter().try_for_each(|path| {
                        File::open(path)
                            .and_then(|opened| opened.sync_all())
                            .at("can't flush", path)
                    })
                })
            })
            .collect();
        flushers.into_iter().try_for_each(|flusher| {
            flusher.join().unwrap_or_else(|_| {
                let source = io::Error::other("a thread that flushes broke off");
                Err(GitError::io("can't flush below", &paths[0], source))
            })
        })
    })
}

/// The packs of a repository at one moment: libgit2 writes packs without flushing them.
pub(crate) struct PackFiles {
    directory: PathBuf,
    known: HashSet<OsString>,
}

impl PackFiles {
    pub(crate) fn of(git_directory: &Path) -> GitResult<Self> {
        let directory = git_directory.join("objects/pack");
        let known = pack_names(&directory)?.collect();
        Ok(Self { directory, known })
    }

    /// Flushes the packs that came since.
    pub(crate) fn flush_new(&self) -> GitResult<()> {
        let mut found = false;
        for name in pack_names(&self.directory)?.filter(|name| !self.known.contains(name)) {
            let path = self.directory.join(name);
            File::open(&path)
                .and_then(|file| file.sync_all())
                .at("can't flush", &path)?;
            found = true;
        }
        if found { sync_directory(&self.directory) } else { Ok(()) }
    }
}

fn pack_names(directory: &Path) -> GitResult<impl Iterator<Item = OsString>> {
    let entries = fs::read_dir(directory).at("can't read the packs in", directory)?;
    Ok(entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with("pack-") && (name.ends_with(".pack") || name.ends_with(".idx"))
        }))
}

pub(crate) fn sync_directory(directory: &Path) -> GitResult<()> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .at("can't flush the directory", directory)
}
