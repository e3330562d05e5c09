//! Build output that gates reuse. A gate has a directory to itself while it runs, from before its checkout is made: build
//! tools judge freshness by the age of files, so two trees built side by side in one directory could run each other's
//! programs.

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

/// A directory in use. Dropping this frees it.
#[derive(Debug)]
pub(crate) struct BuildCache {
    caches: BuildCaches,
    pub(crate) path: PathBuf,
}

impl BuildCaches {
    /// The first free directory of a workspace: the most used one, so the one with the most in it.
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
    fn a_directory_is_never_shared_and_the_first_free_one_is_reused() {
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
