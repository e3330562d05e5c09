//! Files and directories for our own account only: what is made in hubs, and in repositories that we make.
//!
//! What git and libgit2 make has the rights that the umask leaves. That is the process's, and the user's for what is
//! delivered; so a thread gets one of its own before it changes it.
#![expect(
    unsafe_code,
    reason = "a thread takes leave of the process's umask by a call that rustix marks unsafe"
)]

use crate::error::{At, GitResult};
use rustix::{fs::Mode, process::umask, thread::UnshareFlags};
use std::{
    cell::Cell,
    fs,
    marker::PhantomData,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

/// The rights of everybody but the owner.
const OTHERS: u32 = 0o077;

thread_local! {
    /// Whether this thread has an umask of its own; `None` until it asks for one.
    static OWN_UMASK: Cell<Option<bool>> = const { Cell::new(None) };
    /// The umask of the user, while it is not in force.
    static USERS: Cell<Option<Mode>> = const { Cell::new(None) };
}

/// Until this is dropped, what the thread makes is for our own account only.
pub(crate) struct Private {
    before: Option<Mode>,
    /// It is the thread's.
    _not_sent: PhantomData<*const ()>,
}

impl Private {
    /// Where the system gives a thread no umask of its own nothing changes: the directory around is closed then.
    pub(crate) fn begin() -> Self {
        let before = has_own_umask().then(|| umask(Mode::from_raw_mode(OTHERS)));
        if USERS.get().is_none() {
            USERS.set(before);
        }
        Self {
            before,
            _not_sent: PhantomData,
        }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            umask(before);
            if USERS.get() == Some(before) {
                USERS.set(None);
            }
        }
    }
}

/// Does what makes files of the user's with the user's own umask.
pub(crate) fn as_the_user<T>(work: impl FnOnce() -> T) -> T {
    let Some(users) = USERS.get() else {
        return work();
    };
    let ours = umask(users);
    let done = work();
    umask(ours);
    done
}

fn has_own_umask() -> bool {
    if let Some(known) = OWN_UMASK.get() {
        return known;
    }
    // SAFETY: of all that threads can share, only the working directory, the root and the umask are taken apart, and no
    // memory or file descriptor depends on them. Nothing here changes the first two.
    let own = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }.is_ok();
    OWN_UMASK.set(Some(own));
    own
}

/// Makes a directory, and those above it, for our own account.
pub(crate) fn create_directory(path: &Path) -> GitResult<()> {
    let _private = Private::begin();
    fs::create_dir_all(path).at("can't make the directory", path)?;
    close(path)
}

/// Takes the rights of other accounts from one directory.
pub(crate) fn close(directory: &Path) -> GitResult<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).at("can't change the permissions of", directory)
}

/// Takes the rights of other accounts from everything below a directory, and from itself last: where that is closed, so
/// is the rest. Files that are linked from the user's repository are the user's, and stay as they are.
pub(crate) fn close_tree(directory: &Path) -> GitResult<()> {
    let metadata = fs::metadata(directory).at("can't look at", directory)?;
    if metadata.mode() & OTHERS == 0 {
        return Ok(());
    }
    close_below(directory)?;
    close(directory)
}

fn close_below(directory: &Path) -> GitResult<()> {
    for entry in fs::read_dir(directory).at("can't read", directory)? {
        let entry = entry.at("can't read", directory)?;
        let path = entry.path();
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            // What others work on may go meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).at("can't look at", &path),
        };
        if metadata.is_dir() {
            close_below(&path)?;
            close(&path)?;
        } else if metadata.is_file() && metadata.nlink() == 1 && metadata.mode() & OTHERS != 0 {
            let permissions = fs::Permissions::from_mode(metadata.mode() & 0o700);
            fs::set_permissions(&path, permissions).at("can't change the permissions of", &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, path::PathBuf, sync::mpsc, thread};

    fn mode_of_new(path: &Path) -> u32 {
        File::create(path).unwrap();
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn only_the_thread_that_asks_makes_private_files() {
        let directory = tempfile::tempdir().unwrap();
        let usual = mode_of_new(&directory.path().join("usual"));
        let (asked, asks) = mpsc::channel::<PathBuf>();
        let (answers, answered) = mpsc::channel();
        // Begun before: a thread shares what the one that begins it has.
        let other = thread::spawn(move || asks.iter().for_each(|path| answers.send(mode_of_new(&path)).unwrap()));
        let private = Private::begin();
        assert_eq!(mode_of_new(&directory.path().join("private")) & OTHERS, 0);
        let nested = Private::begin();
        assert_eq!(as_the_user(|| mode_of_new(&directory.path().join("users"))), usual);
        assert_eq!(mode_of_new(&directory.path().join("nested")) & OTHERS, 0);
        drop(nested);
        assert_eq!(mode_of_new(&directory.path().join("still")) & OTHERS, 0);
        asked.send(directory.path().join("other")).unwrap();
        assert_eq!(answered.recv().unwrap(), usual, "the process keeps its umask");
        drop(asked);
        other.join().unwrap();
        drop(private);
        assert_eq!(mode_of_new(&directory.path().join("after")), usual);
        assert_eq!(as_the_user(|| mode_of_new(&directory.path().join("end"))), usual);
    }

    #[test]
    fn a_tree_is_closed_but_for_what_is_linked_from_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        for (path, mode) in [("tree", 0o755), ("tree/a", 0o755), ("tree/a/b", 0o775)] {
            fs::set_permissions(directory.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        for (name, mode) in [("a/own", 0o444), ("a/b/program", 0o755), ("a/users", 0o444)] {
            fs::write(tree.join(name), "x").unwrap();
            fs::set_permissions(tree.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::hard_link(tree.join("a/users"), directory.path().join("theirs")).unwrap();
        close_tree(&tree).unwrap();
        let mode = |path: &str| fs::metadata(tree.join(path)).unwrap().mode() & 0o777;
        assert_eq!([mode(""), mode("a"), mode("a/b")], [0o700; 3]);
        assert_eq!(
            [mode("a/own"), mode("a/b/program"), mode("a/users")],
            [0o400, 0o700, 0o444]
        );
    }
}
