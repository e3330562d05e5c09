//! Which directories may become a workspace. A directory stands for the root of a machine; of the real one only names
//! are given, and nothing there is opened or made.

mod accounts;
mod initialise;
mod places;
mod repositories;

use crate::support::{UserRepository, write};
use git::{Admission, Admitted, NotAdmitted, Places, Unversioned};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A machine with two accounts, the system's directories and a data directory.
struct Machine {
    _directory: tempfile::TempDir,
    root: PathBuf,
    admission: Admission,
}

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap().join("machine");
        let directories = [
            "etc",
            "usr/share/doc",
            "usr/local/src",
            "var/lib/thing",
            "var/tmp",
            "boot",
            "bin",
            "dev/shm",
            "proc/sys",
            "sys/kernel",
            "run/user",
            "lib",
            "opt/tool",
            "srv/git",
            "mnt/disk",
            "media",
            "root",
            "tmp",
            "home/ann/.ssh",
            "home/ann/work",
            "home/bob",
            "data/orchestrator/hubs",
            "other/hubs",
            "elsewhere",
        ];
        for directory in directories {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        permit(&root.join("tmp"), 0o1777);
        permit(&root.join("var/tmp"), 0o1777);
        write(&root.join("other/process-id"), "x");
        write(
            &root.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nann:x:1:1::/home/ann:/bin/sh\ngit:x:2:2::/srv/git:/bin/sh\nd:x:3:3::/:/bin/sh\n",
        );
        let roots = vec![root.join("home/ann"), root.join("tmp")];
        let admission = Admission::with_places(roots, root.join("data/orchestrator"), Places::under(&root));
        Self {
            _directory: directory,
            root,
            admission,
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        match path.trim_start_matches('/') {
            "" => self.root.clone(),
            below => self.root.join(below),
        }
    }

    fn admit(&self, path: impl AsRef<Path>) -> Result<Admitted, NotAdmitted> {
        self.admission.admit(path.as_ref(), Unversioned::Refused)
    }

    fn repository(&self, path: &str) -> UserRepository {
        let user = UserRepository::init(&self.at(path));
        user.write("a", "a\n");
        user.commit("one");
        user
    }

    #[track_caller]
    fn refused(&self, path: impl AsRef<Path>) -> NotAdmitted {
        let path = path.as_ref();
        // Also where the caller wants its files committed.
        let refused = self.admission.admit(path, Unversioned::Initialised);
        let refused = refused.expect_err(&format!("{} was admitted", path.display()));
        assert!(!refused.hint().is_empty());
        refused
    }
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn as_root() -> bool {
    let is = rustix::process::geteuid().is_root();
    if !is {
        eprintln!("skipped: only root can give files away and mount");
    }
    is
}

/// The root of the machine holds the data directory as well.
fn is_shared(refused: &NotAdmitted) -> bool {
    matches!(refused, NotAdmitted::Shared { .. } | NotAdmitted::DataDirectory { .. })
}

/// Every path below a directory.
fn listing(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(listing(&entry.path()));
        }
        found.insert(entry.path());
    }
    found
}
