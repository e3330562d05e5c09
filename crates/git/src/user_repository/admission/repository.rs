//! The parts of a repository: all in its `.git`, or where that and the other side name each other. A directory that was
//! unpacked from somewhere may hold a `.git` that leads to another repository of its reader's.

use super::refused::NotAdmitted;
use crate::user_repository::{account, format, inspect::WorkspaceError};
use git2::{Config, Repository};
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Alternates may have alternates; git itself stops at five.
const ALTERNATES_DEPTH: usize = 5;
/// The most that a file which names another place may hold.
const POINTER_BYTES: u64 = 64 << 10;
/// The most that a configuration may hold.
const CONFIG_BYTES: u64 = 1 << 20;

/// How deep references may lie: their names have so many parts at most.
const ENTRIES_DEPTH: usize = 32;

/// Parts that are directories, or missing.
const DIRECTORIES: [&str; 6] = [
    "objects",
    "objects/info",
    "objects/pack",
    "refs",
    "refs/heads",
    "refs/tags",
];
/// Parts that are files, or missing.
const FILES: [&str; 6] = [
    "config",
    "config.worktree",
    "HEAD",
    "packed-refs",
    "shallow",
    "objects/info/alternates",
];

type CheckPlace<'a> = dyn Fn(&Path) -> Result<(), NotAdmitted> + 'a;

/// Looks at the parts of a repository before it is opened. `trusted` are those of another account that were named.
pub(super) fn check(path: &Path, place: &CheckPlace<'_>, trusted: bool) -> Result<(), NotAdmitted> {
    let Some(git) = git_directory(path)? else {
        // Not a repository, and no pointer to one: who opens it says what it lacks.
        return Ok(());
    };
    let checking = Checking { path, place, trusted };
    if git != path.join(".git") {
        checking.part("git directory", &git)?;
    }
    let common = checking.common(&git)?;
    // Before its parts are looked at: another format has other parts.
    format::check(path)?;
    for directory in [&git, &common] {
        checking.kinds(directory)?;
    }
    checking.alternates(&common.join("objects"), ALTERNATES_DEPTH)?;
    // By its configuration its files may be elsewhere.
    let Ok(repository) = Repository::open(path) else {
        return Ok(());
    };
    match repository.workdir().map(Path::canonicalize) {
        Some(Ok(files)) if files == path => Ok(()),
        None => Ok(()),
        Some(files) => Err(checking.elsewhere("files", &files.unwrap_or_default())),
    }
}

/// The directory that `.git` is or names. One that is elsewhere names the workspace in return: a linked worktree, or a
/// submodule.
fn git_directory(path: &Path) -> Result<Option<PathBuf>, NotAdmitted> {
    let git = path.join(".git");
    let kind = fs::symlink_metadata(&git)
        .map_err(|error| unreadable(&git, error))?
        .file_type();
    if kind.is_dir() {
        return Ok(Some(git));
    }
    let elsewhere = |target: &Path| NotAdmitted::Elsewhere {
        path: path.to_owned(),
        part: "git directory",
        target: target.to_owned(),
    };
    if kind.is_symlink() {
        return Err(elsewhere(&fs::read_link(&git).unwrap_or_default()));
    }
    let text = read(&git, POINTER_BYTES)?.unwrap_or_default();
    let Some(named) = text.strip_prefix("gitdir:").map(str::trim) else {
        return Ok(None);
    };
    let named = path.join(named);
    let Ok(target) = named.canonicalize() else {
        // A worktree whose repository is gone.
        return Ok(None);
    };
    let back = read(&target.join("gitdir"), POINTER_BYTES)?;
    let back = back.map(|back| target.join(back.trim_end()));
    let is_worktree = back.is_some_and(|back| back.canonicalize().is_ok_and(|back| back == git));
    match is_worktree || is_submodule(&target, path)? {
        true => Ok(Some(target)),
        false => Err(elsewhere(&target)),
    }
}

fn is_submodule(target: &Path, path: &Path) -> Result<bool, NotAdmitted> {
    let file = target.join("config");
    if read(&file, CONFIG_BYTES)?.is_none() {
        return Ok(false);
    }
    let files = Config::open(&file).and_then(|config| config.get_string("core.worktree"));
    Ok(files.is_ok_and(|files| target.join(files).canonicalize().is_ok_and(|files| files == path)))
}

struct Checking<'a> {
    path: &'a Path,
    place: &'a CheckPlace<'a>,
    trusted: bool,
}

impl Checking<'_> {
    /// A part that lies elsewhere: in a place that may be used, and ours.
    fn part(&self, part: &'static str, target: &Path) -> Result<(), NotAdmitted> {
        let wrong = |why: NotAdmitted| NotAdmitted::Part {
            path: self.path.to_owned(),
            part,
            why: Box::new(why),
        };
        (self.place)(target).map_err(wrong)?;
        let owner = fs::metadata(target)
            .map_err(|error| wrong(unreadable(target, error)))?
            .uid();
        if !account::is_ours(owner) && !self.trusted {
            let (path, owner) = (target.to_owned(), Some(owner));
            return Err(wrong(WorkspaceError::OwnedByAnother { path, owner }.into()));
        }
        Ok(())
    }

    fn elsewhere(&self, part: &'static str, target: &Path) -> NotAdmitted {
        NotAdmitted::Elsewhere {
            path: self.path.to_owned(),
            part,
            target: target.to_owned(),
        }
    }

    /// Where what a linked worktree shares with others is.
    fn common(&self, git: &Path) -> Result<PathBuf, NotAdmitted> {
        let Some(text) = read(&git.join("commondir"), POINTER_BYTES)? else {
            return Ok(git.to_owned());
        };
        let named = git.join(text.trim_end());
        let common = named.canonicalize().map_err(|error| unreadable(&named, error))?;
        // A worktree is registered below what it shares: that names it in return.
        if !git.starts_with(&common) {
            return Err(self.elsewhere("common directory", &common));
        }
        self.part("common directory", &common)?;
        Ok(common)
    }

    /// Each part is what it is called, and no link, pipe or device.
    fn kinds(&self, directory: &Path) -> Result<(), NotAdmitted> {
        let owner = fs::metadata(directory)
            .map_err(|error| unreadable(directory, error))?
            .uid();
        if !account::is_ours(owner) && !self.trusted {
            let (path, owner) = (self.path.to_owned(), Some(owner));
            return Err(WorkspaceError::OwnedByAnother { path, owner }.into());
        }
        let parts = DIRECTORIES.iter().map(|part| (part, true));
        for (part, is_directory) in parts.chain(FILES.iter().map(|part| (part, false))) {
            let file = directory.join(part);
            let Ok(metadata) = fs::symlink_metadata(&file) else {
                continue;
            };
            let kind = metadata.file_type();
            if kind.is_symlink() {
                return Err(self.elsewhere(part, &fs::read_link(&file).unwrap_or_default()));
            }
            if kind.is_dir() != is_directory || !is_directory && !kind.is_file() {
                return Err(self.unusable(format!("its {part} is of the wrong kind")));
            }
            if *part == "config" && metadata.len() > CONFIG_BYTES {
                return Err(self.unusable(format!("its config has more than {CONFIG_BYTES} bytes")));
            }
        }
        let index = fs::metadata(directory.join("index"));
        if index.is_ok_and(|metadata| !metadata.is_file()) {
            return Err(self.unusable("its index is no plain file".into()));
        }
        self.plain_below(&directory.join("refs"), ENTRIES_DEPTH)?;
        self.plain_below(&directory.join("objects"), ENTRIES_DEPTH)
    }

    /// References and objects are plain files: a link would be followed where it leads, a pipe waited for.
    fn plain_below(&self, directory: &Path, depth: usize) -> Result<(), NotAdmitted> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(unreadable(directory, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(directory, error))?;
            let kind = entry.file_type().map_err(|error| unreadable(&entry.path(), error))?;
            if kind.is_dir() && depth > 0 {
                self.plain_below(&entry.path(), depth - 1)?;
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path()).unwrap_or_default();
                return Err(self.elsewhere("references or objects", &target));
            } else if !kind.is_file() {
                return Err(self.unusable(format!("{} is no plain file", entry.path().display())));
            }
        }
        Ok(())
    }

    /// Object stores that this one borrows from: `git clone --shared` and `--reference` make them.
    fn alternates(&self, objects: &Path, depth: usize) -> Result<(), NotAdmitted> {
        let Some(text) = read(&objects.join("info/alternates"), POINTER_BYTES)? else {
            return Ok(());
        };
        if depth == 0 {
            return Err(self.unusable("its alternates are nested too deep".into()));
        }
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let named = objects.join(line);
            let target = named.canonicalize().map_err(|error| unreadable(&named, error))?;
            // What is borrowed from is a repository, and not just any directory.
            if target.file_name() != Some("objects".as_ref()) || !target.with_file_name("HEAD").is_file() {
                return Err(self.elsewhere("objects", &target));
            }
            self.part("objects", &target)?;
            self.alternates(&target, depth - 1)?;
        }
        Ok(())
    }

    fn unusable(&self, said: String) -> NotAdmitted {
        let path = self.path.to_owned();
        WorkspaceError::Unusable { path, said }.into()
    }
}

/// The text of a small plain file; `None` if there is none. A pipe or a device is not opened.
fn read(file: &Path, most: u64) -> Result<Option<String>, NotAdmitted> {
    match fs::metadata(file) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(unreadable(file, io::Error::other("it is not a plain file"))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(file, error)),
    }
    let mut text = Vec::new();
    let opened = File::open(file).and_then(|open| open.take(most + 1).read_to_end(&mut text));
    opened.map_err(|error| unreadable(file, error))?;
    if text.len() as u64 > most {
        return Err(unreadable(
            file,
            io::Error::other(format!("it has more than {most} bytes")),
        ));
    }
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

fn unreadable(path: &Path, source: io::Error) -> NotAdmitted {
    let path = path.to_owned();
    WorkspaceError::Unreadable { path, source }.into()
}
