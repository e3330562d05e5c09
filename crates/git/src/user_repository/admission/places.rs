//! The directories of a machine that are nobody's workspace.

use super::refused::NotAdmitted;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The system's, with everything below them.
const SYSTEM: [&str; 13] = [
    "bin",
    "boot",
    "dev",
    "efi",
    "etc",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "lost+found",
    "proc",
    "sbin",
    "sys",
];
/// The system's as well; an operator may name a directory below one of them as a root.
const OPENABLE: [&str; 6] = ["gnu", "nix", "run", "snap", "usr", "var"];
/// Below a system's directory, and for everybody.
const TEMPORARY: &str = "var/tmp";
/// Places that hold what belongs to many; what is below them may be a workspace.
const SHARED: [(&str, &str); 8] = [
    ("", "the root of the file system"),
    ("tmp", "the directory of temporary files"),
    (TEMPORARY, "the directory of temporary files"),
    ("home", "the directory of all homes"),
    ("opt", "a directory of the system"),
    ("srv", "a directory of the system"),
    ("mnt", "the directory of mounted file systems"),
    ("media", "the directory of mounted file systems"),
];
const HOME: &str = "a home directory";
const AROUND_HOME: &str = "a directory that holds a home directory";
/// Where keys and passwords lie in a home, with everything below.
const KEYS: [&str; 11] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".password-store",
    ".pki",
    ".mozilla",
    ".config/gcloud",
    ".local/share/keyrings",
];

/// The places of a machine, or of a directory that stands for one.
#[derive(Clone, Debug)]
pub struct Places {
    root: PathBuf,
    homes: Vec<PathBuf>,
}

impl Places {
    /// Those of this machine.
    pub fn of_this_machine() -> Self {
        let mut places = Self::under(Path::new("/"));
        places.add_home(std::env::var_os("HOME").map(PathBuf::from));
        places
    }

    /// Those of a directory that looks like the root of a machine.
    pub fn under(root: &Path) -> Self {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let mut places = Self {
            homes: Vec::new(),
            root: root.clone(),
        };
        let accounts = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
        for home in accounts.lines().filter_map(|line| line.split(':').nth(5)) {
            places.add_home(home.strip_prefix('/').map(|home| root.join(home)));
        }
        places.add_home(Some(root.join("root")));
        places
    }

    fn add_home(&mut self, home: Option<PathBuf>) {
        let home = home.and_then(|home| home.canonicalize().ok());
        // Accounts of programs have `/`, or a directory of the system.
        let home = home.filter(|home| home.starts_with(&self.root) && *home != self.root);
        if let Some(home) = home
            && !self.homes.contains(&home)
        {
            self.homes.push(home);
        }
    }

    /// Refuses a path without links that is one of the places. `roots` open what the operator named below one that may
    /// be opened.
    pub(super) fn check(&self, path: &Path, roots: &[PathBuf]) -> Result<(), NotAdmitted> {
        self.check_shared(path)?;
        self.check_keys(path)?;
        let Ok(below) = path.strip_prefix(&self.root) else {
            return Ok(());
        };
        if below.starts_with(TEMPORARY) {
            return Ok(());
        }
        for place in SYSTEM.iter().chain(&OPENABLE).filter(|place| below.starts_with(place)) {
            let openable = OPENABLE.contains(place);
            let place = self.root.join(place);
            if !(openable && opened(path, &place, roots)) {
                return Err(system(path, place, openable));
            }
        }
        Ok(())
    }

    /// The same by what the directories are, whatever they are called: a place can be mounted, or spelled, elsewhere.
    pub(super) fn check_identity(&self, path: &Path, existing: &Path, roots: &[PathBuf]) -> Result<(), NotAdmitted> {
        let above: Vec<_> = existing.ancestors().filter_map(identity).collect();
        for place in SYSTEM.iter().chain(&OPENABLE) {
            let openable = OPENABLE.contains(place);
            let place = self.root.join(place);
            let Some(of_place) = identity(&place) else { continue };
            let for_all = identity(&self.root.join(TEMPORARY)).is_some_and(|own| above.contains(&own));
            let is_opened = openable && (for_all || opened(path, &place, roots));
            if above.contains(&of_place) && !is_opened {
                return Err(system(path, place, openable));
            }
        }
        if path != existing {
            return Ok(());
        }
        let own = identity(existing);
        let shared = SHARED.iter().map(|(place, what)| (self.root.join(place), *what));
        let homes = self.homes.iter().map(|home| (home.clone(), HOME));
        match shared
            .chain(homes)
            .find(|(place, _)| own.is_some() && identity(place) == own)
        {
            Some((_, what)) => Err(shared_place(path, what)),
            None => Ok(()),
        }
    }

    /// Whether a directory is one of the system's or of all accounts', and not one that was made for a purpose below them.
    pub fn holds(&self, directory: &Path) -> bool {
        let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        self.check(&directory, std::slice::from_ref(&directory)).is_err()
    }

    fn check_shared(&self, path: &Path) -> Result<(), NotAdmitted> {
        if let Some((_, what)) = SHARED.iter().find(|(place, _)| is(path, &self.root, place)) {
            return Err(shared_place(path, what));
        }
        // Also those of accounts that no file of this machine names.
        if self.homes.iter().any(|home| home == path) || path.parent() == Some(&self.root.join("home")) {
            return Err(shared_place(path, HOME));
        }
        match self.homes.iter().any(|home| home.starts_with(path)) {
            true => Err(shared_place(path, AROUND_HOME)),
            false => Ok(()),
        }
    }

    fn check_keys(&self, path: &Path) -> Result<(), NotAdmitted> {
        let of_all = self.root.join("home");
        let unnamed = path.ancestors().find(|ancestor| ancestor.parent() == Some(&of_all));
        for home in self.homes.iter().map(PathBuf::as_path).chain(unnamed) {
            let Ok(below) = path.strip_prefix(home) else { continue };
            if let Some(keys) = KEYS.iter().find(|keys| below.starts_with(keys)) {
                return Err(NotAdmitted::Keys {
                    path: path.to_owned(),
                    place: home.join(keys),
                });
            }
        }
        Ok(())
    }
}

/// Whether a root below the place holds the path.
fn opened(path: &Path, place: &Path, roots: &[PathBuf]) -> bool {
    let mut within = roots.iter().filter(|root| root.starts_with(place) && *root != place);
    within.any(|root| path.starts_with(root))
}

/// Joining nothing would add a slash.
fn is(path: &Path, root: &Path, place: &str) -> bool {
    match place {
        "" => path == root,
        place => path == root.join(place),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn system(path: &Path, place: PathBuf, openable: bool) -> NotAdmitted {
    let path = path.to_owned();
    NotAdmitted::System { path, place, openable }
}

fn shared_place(path: &Path, what: &'static str) -> NotAdmitted {
    NotAdmitted::Shared {
        path: path.to_owned(),
        what,
    }
}
