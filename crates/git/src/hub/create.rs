//! Creation of a hub from the user's repository. Objects are hard links and never alternates, so the user's `git gc`
//! can't remove what the hub holds.

use crate::{
    error::{At, Doing, GitError, GitResult},
    files::{remove_directory, sync_directory},
    private::{self, Private},
    refs,
};
use domain::RunId;
use git2::{Config, Repository, RepositoryInitOptions};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The configuration that our own handles read: the hub's, and what only libgit2 understands (git would warn of it
/// in every command of a worker).
pub(crate) const OWN_CONFIG: &str = "orchestrator.config";
/// Written last into our configuration: a directory without it was never finished, or is not ours.
const MARK: &str = "orchestrator.hubVersion";
const VERSION: i32 = 1;
/// Names that another file system would take for `.git` are refused, whichever this one is.
const PROTECTION: [&str; 2] = ["core.protectHFS", "core.protectNTFS"];
/// The files of the user's repository change while they are read (`git gc`); this many passes are made.
const LINK_PASSES: usize = 5;
/// Alternates may have alternates; git itself stops at five.
const ALTERNATES_DEPTH: usize = 5;

/// The canonical path of the hub, which is made if it does not exist.
/// It starts empty where no repository is given: all that it holds comes from an upstream.
pub(crate) fn ensure(hub: &Path, user_repository: Option<&Path>) -> GitResult<PathBuf> {
    if hub.join(OWN_CONFIG).exists() {
        return existing(hub);
    }
    let parent = hub
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = hub
        .file_name()
        .ok_or_else(|| GitError::NotAHub { path: hub.to_owned() })?
        .to_string_lossy();
    let _private = Private::begin();
    fs::create_dir_all(parent).at("can't make the directory", parent)?;

    // The lock dies with its process, so whatever half-made hub is found while holding it has no maker any more.
    let lock_path = parent.join(format!(".{name}.making.lock"));
    let lock = File::create(&lock_path).at("can't make the lock file", &lock_path)?;
    flock(&lock, FlockOperation::LockExclusive).at("can't take the lock", &lock_path)?;
    if hub.join(OWN_CONFIG).exists() {
        return existing(hub);
    }
    if fs::read_dir(hub).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(GitError::NotAHub { path: hub.to_owned() });
    }
    let making = parent.join(format!(".{name}.making"));
    if making.exists() {
        fs::remove_dir_all(&making).at("can't remove the half-made hub", &making)?;
    }
    if let Err(error) = make(&making, user_repository) {
        // What could not be removed either is by the next attempt.
        drop(remove_directory(&making));
        return Err(error);
    }
    fs::rename(&making, hub).at("can't put the new hub in place at", hub)?;
    sync_directory(parent)?;
    existing(hub)
}

/// Removes a hub that only one run has anything in.
pub(crate) fn remove_unused(hub: &Path, run: RunId) -> GitResult<()> {
    let Ok(path) = existing(hub) else {
        return Ok(());
    };
    let doing = || format!("can't look at the hub {}", path.display());
    let (own, all) = (refs::all_of(&run), refs::ALL);
    let repository = Repository::open_bare(&path).doing(doing)?;
    let named = |glob: &str| -> GitResult<usize> { Ok(repository.references_glob(glob).doing(doing)?.count()) };
    let branches = named("refs/heads/*")?;
    let of_run = repository.find_reference(&refs::integration(&run)).is_ok();
    if named(all)? > named(&own)? || branches > usize::from(of_run) {
        return Ok(());
    }
    drop(repository);
    // A process that opened it meanwhile finds it gone, and makes it again with its next attempt.
    let making = path.with_file_name(format!(
        ".{}.making",
        path.file_name().unwrap_or_default().to_string_lossy()
    ));
    remove_directory(&making)?;
    fs::rename(&path, &making).at("can't remove", &path)?;
    remove_directory(&making)
}

/// The canonical path of a finished hub.
pub(crate) fn existing(hub: &Path) -> GitResult<PathBuf> {
    let not_ours = || GitError::NotAHub { path: hub.to_owned() };
    let path = hub.canonicalize().at("can't find the hub", hub)?;
    let config = Config::open(&path.join(OWN_CONFIG)).map_err(|_| not_ours())?;
    match config.get_i32(MARK) {
        Ok(VERSION) => protect(&path, &config).map(|()| path),
        _ => Err(not_ours()),
    }
}

/// Hubs that were made before these settings were known get them when they are opened.
fn protect(hub: &Path, own: &Config) -> GitResult<()> {
    if PROTECTION.iter().all(|key| own.get_bool(key).unwrap_or(false)) {
        return Ok(());
    }
    let doing = || format!("can't set {} in the hub {}", PROTECTION.join(" and "), hub.display());
    let path = hub.join("orchestrator-configure.lock");
    let lock = File::create(&path).at("can't make the lock file", &path)?;
    flock(&lock, FlockOperation::LockExclusive).at("can't take the lock", &path)?;
    // Ours comes last: it says that both are done.
    for file in ["config", OWN_CONFIG] {
        let mut config = Config::open(&hub.join(file)).doing(doing)?;
        for key in PROTECTION {
            config.set_bool(key, true).doing(doing)?;
        }
    }
    Ok(())
}

/// A shallow clone has a file that says where its history ends. The hub needs the same one, and when the user
/// deepens the clone, the objects behind the old end as well.
pub(crate) fn follow_shallow(hub: &Path, user_repository: &Path) -> GitResult<()> {
    let source = open_source(user_repository)?;
    let theirs = fs::read(source.commondir().join("shallow")).ok();
    let ours = hub.join("shallow");
    if theirs == fs::read(&ours).ok() {
        return Ok(());
    }
    link_objects(&source.commondir().join("objects"), &hub.join("objects"))?;
    match theirs {
        Some(bytes) => fs::write(&ours, bytes).at("can't write", &ours),
        None => fs::remove_file(&ours).at("can't remove", &ours),
    }
}

fn open_source(user_repository: &Path) -> GitResult<Repository> {
    Repository::open(user_repository).doing(|| format!("can't open the repository {}", user_repository.display()))
}

/// Makes the repository that machines share, at a path.
pub(crate) fn upstream(path: &Path) -> GitResult<()> {
    let doing = || format!("can't make the shared hub {}", path.display());
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).at("can't make the directory", parent)?;
    let making = tempfile::Builder::new().prefix(".making-").tempdir_in(parent);
    let making = making.at("can't make a directory in", parent)?;
    init(making.path()).doing(doing)?;
    let mut config = Config::open(&making.path().join("config")).doing(doing)?;
    config.set_str("core.fsync", "committed,reference").doing(doing)?;
    config.set_bool("receive.autogc", false).doing(doing)?;
    for key in PROTECTION {
        config.set_bool(key, true).doing(doing)?;
    }
    sync_tree(making.path())?;
    match fs::rename(making.path(), path) {
        // Another machine was faster.
        Err(_) if path.join("HEAD").exists() => Ok(()),
        Err(error) => Err(GitError::io("can't put the shared hub in place at", path, error)),
        Ok(()) => sync_directory(parent),
    }
}

fn init(path: &Path) -> Result<Repository, git2::Error> {
    let mut options = RepositoryInitOptions::new();
    options
        .bare(true)
        .no_reinit(true)
        .external_template(false)
        .initial_head("orchestrator/none");
    Repository::init_opts(path, &options)
}

fn make(making: &Path, user_repository: Option<&Path>) -> GitResult<()> {
    let doing = || format!("can't make a hub at {}", making.display());
    private::create_directory(making)?;
    init(making).doing(doing)?;
    private::close(making)?;
    if let Some(user_repository) = user_repository {
        let source = open_source(user_repository)?;
        link_objects(&source.commondir().join("objects"), &making.join("objects"))?;
        if let Ok(shallow) = fs::read(source.commondir().join("shallow")) {
            let ours = making.join("shallow");
            fs::write(&ours, shallow).at("can't write", &ours)?;
        }
    }
    let (shared, own) = (making.join("config"), making.join(OWN_CONFIG));
    configure(&shared).doing(doing)?;
    fs::copy(&shared, &own).at("can't write", &own)?;
    mark(&own).doing(doing)?;
    sync_tree(making)
}

/// Settings for every git that reads the hub: ours, and a worker's in its sandbox.
fn configure(path: &Path) -> Result<(), git2::Error> {
    let mut config = Config::open(path)?;
    for (key, value) in [
        ("core.symlinks", true),
        ("core.fileMode", true),
        ("core.ignoreCase", false),
        ("core.autocrlf", false),
        ("core.fsmonitor", false),
        ("core.logAllRefUpdates", false),
        ("maintenance.auto", false),
    ] {
        config.set_bool(key, value)?;
    }
    for key in PROTECTION {
        config.set_bool(key, true)?;
    }
    config.set_i32("gc.auto", 0)?;
    config.set_str("core.hooksPath", "/dev/null")?;
    config.set_str("protocol.ext.allow", "never")
}

fn mark(path: &Path) -> Result<(), git2::Error> {
    let mut config = Config::open(path)?;
    config.set_bool("core.fsyncObjectFiles", true)?;
    config.set_i32(MARK, VERSION)
}

fn link_objects(from: &Path, to: &Path) -> GitResult<()> {
    link_store(from, to, ALTERNATES_DEPTH)
}

fn link_store(from: &Path, to: &Path, depth: usize) -> GitResult<()> {
    let mut passes = LINK_PASSES;
    while !link_pass(from, to)? {
        passes -= 1;
        if passes == 0 {
            let source = io::Error::other("its files kept changing: wait for the `git gc` that runs there, then retry");
            return Err(GitError::io("can't read", from, source));
        }
    }
    let Ok(alternates) = fs::read_to_string(from.join("info/alternates")) else {
        return Ok(());
    };
    if depth == 0 {
        return Err(GitError::io(
            "can't follow more alternates from",
            from,
            io::Error::other("they are nested too deep"),
        ));
    }
    for line in alternates
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        link_store(&from.join(line), to, depth - 1)?;
    }
    Ok(())
}

/// One pass over loose objects, then packs: git writes the new pack before it deletes what it replaces, so in this
/// order nothing falls between. False if a file vanished on the way.
fn link_pass(from: &Path, to: &Path) -> GitResult<bool> {
    let mut complete = true;
    let mut directories = Vec::new();
    for entry in fs::read_dir(from).at("can't read the objects in", from)? {
        let name = entry.at("can't read the objects in", from)?.file_name();
        let text = name.to_string_lossy();
        if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            directories.push(name);
        }
    }
    directories.push("pack".into());
    for directory in directories {
        let (from, to) = (from.join(&directory), to.join(&directory));
        let entries = match fs::read_dir(&from) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(GitError::io("can't read the objects in", &from, error)),
        };
        fs::create_dir_all(&to).at("can't make the directory", &to)?;
        for entry in entries {
            let name = entry.at("can't read the objects in", &from)?.file_name();
            if is_object_file(&name.to_string_lossy()) {
                complete &= link_file(&from.join(&name), &to.join(&name))?;
            }
        }
    }
    Ok(complete)
}

fn is_object_file(name: &str) -> bool {
    let loose = name.len() == 38 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    loose || name.starts_with("pack-") && (name.ends_with(".pack") || name.ends_with(".idx"))
}

fn link_file(from: &Path, to: &Path) -> GitResult<bool> {
    match fs::symlink_metadata(from) {
        Ok(metadata) if metadata.is_file() => {}
        // A link would be followed to what is no object, a pipe waited for.
        Ok(_) => {
            return Err(GitError::io(
                "can't take the object",
                from,
                io::Error::other("it is no plain file"),
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(GitError::io("can't look at", from, error)),
    }
    match fs::hard_link(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        // Another file system, a file system without links, or files of another user: copy, complete or not at all.
        Err(_) => {
            let partial = to.with_extension("partial");
            // With the rights of the original, which are not ours to follow.
            match fs::copy(from, &partial)
                .and_then(|_| fs::set_permissions(&partial, fs::Permissions::from_mode(0o400)))
            {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(GitError::io("can't copy", from, error)),
            }
            fs::rename(&partial, to).at("can't write", to)?;
            Ok(true)
        }
    }
}

/// Flushes every file and directory below. Linked files are clean already, so this costs little.
fn sync_tree(directory: &Path) -> GitResult<()> {
    for entry in fs::read_dir(directory).at("can't read", directory)? {
        let path = entry.at("can't read", directory)?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            File::open(&path)
                .and_then(|file| file.sync_all())
                .at("can't flush", &path)?;
        }
    }
    sync_directory(directory)
}
