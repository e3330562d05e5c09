//! Build output that gates leave to later ones. Each has a directory to itself while it runs, from before its checkout is
//! made: build tools tell what is fresh by the age of files, so two trees that are built side by side in one directory
//! could end up running each other's programs.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// The directories in use. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct BuildCaches {
    taken: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// A directory in use by one; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct BuildCache {
    caches: BuildCaches,
    pub(crate) path: PathBuf,
}

impl BuildCaches {
    /// The first free directory of a workspace: the one that was used most, and so has most in it.
    pub(crate) fn take(&self, workspace: &Path) -> BuildCache {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut number = 0_usize;
        let path = loop {
            let path = workspace.join(format!("gate-{number}"));
            if taken.insert(path.clone()) {
                break path;
            }
            number += 1;
        };
        BuildCache {
            caches: self.clone(),
            path,
        }
    }
}

impl Drop for BuildCache {
    fn drop(&mut self) {
        let mut taken = self.caches.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_shares_a_directory_and_the_first_free_one_is_taken_again() {
        let caches = BuildCaches::default();
        let (place, other) = (Path::new("/w"), Path::new("/x"));
        let (first, second) = (caches.take(place), caches.take(place));
        assert_eq!(
            (first.path.as_path(), second.path.as_path()),
            (Path::new("/w/gate-0"), Path::new("/w/gate-1"))
        );
        assert_eq!(caches.take(other).path, Path::new("/x/gate-0"));
        drop(first);
        assert_eq!(caches.take(place).path, Path::new("/w/gate-0"));
    }
}
