//! The one place that decides which directories may become a workspace. It is asked when a run is submitted and again
//! when it is prepared, because a path may lead elsewhere by then.
//!
//! Refused are the system's directories, home directories and mount points themselves, the data directory, what another
//! account owns or could exchange, and repositories that keep their parts elsewhere. A repository that exists is taken
//! anywhere else; a directory is made, or made a repository, only below the configured roots.

mod mounts;
mod owner;
mod places;
mod refused;
mod repository;
mod walk;

pub use places::Places;
pub use refused::NotAdmitted;

use crate::user_repository::{
    account,
    inspect::{Found, inspect},
};
use mounts::Mounts;
use std::path::{Path, PathBuf};
use walk::Walked;

/// The longest path of a workspace, in bytes: the system's own limit.
const PATH_BYTES: usize = 4_096;

/// The rules by which directories are admitted.
#[derive(Clone, Debug)]
pub struct Admission {
    roots: Vec<PathBuf>,
    named: Option<PathBuf>,
    data_dir: PathBuf,
    places: Places,
}

/// What a caller wants of a directory that has files and no repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unversioned {
    /// It is refused: nobody asked for its files to be committed.
    Refused,
    /// It is made a repository, with its files in the first commit.
    Initialised,
}

/// A directory that may be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its path without links. No other account can make it lead elsewhere.
    pub path: PathBuf,
    /// What is there.
    pub found: Found,
}

impl Admission {
    /// The rules of this machine: `roots` are the directories below which workspaces may be made.
    pub fn new(roots: Vec<PathBuf>, data_dir: PathBuf) -> Self {
        Self::with_places(roots, data_dir, Places::of_this_machine())
    }

    /// The same with the system's places elsewhere.
    pub fn with_places(roots: Vec<PathBuf>, data_dir: PathBuf, places: Places) -> Self {
        Self {
            roots,
            named: None,
            data_dir,
            places,
        }
    }

    /// The same with a directory that the user of this very process named: it counts as below a root, and opens nothing.
    #[must_use]
    pub fn with_named(self, named: Option<PathBuf>) -> Self {
        Self { named, ..self }
    }

    /// The roots where nothing is configured: the home of the user this runs as, and `/tmp`.
    pub fn default_roots() -> Vec<PathBuf> {
        let home = std::env::var_os("HOME")
            .filter(|home| !home.is_empty())
            .map(PathBuf::from);
        let home = home.or_else(account::home_of_account);
        let home = home.filter(|home| home.is_absolute() && home.parent().is_some());
        home.into_iter().chain([PathBuf::from("/tmp")]).collect()
    }

    /// Decides about a path without changing anything.
    ///
    /// # Errors
    /// What is wrong with the path, which part of it, and what to do instead.
    pub fn admit(&self, asked: &Path, unversioned: Unversioned) -> Result<Admitted, NotAdmitted> {
        let (walked, trusted) = self.lead(asked)?;
        let path = walked.path();
        if !walked.missing.is_empty() {
            owner::check_parent(&walked)?;
            return self.below_a_root(path, inspect(asked)?);
        }
        self.check_directory(&path, trusted)?;
        let found = inspect(&path)?;
        Mounts::read().check(&path, matches!(found, Found::Repository { .. }))?;
        match found {
            Found::Repository { .. } => Ok(Admitted { path, found }),
            Found::PlainDirectory if unversioned == Unversioned::Refused => Err(NotAdmitted::NotEmpty { path }),
            Found::PlainDirectory | Found::Empty | Found::Missing => self.below_a_root(path, found),
        }
    }

    /// Whether the path of an admitted workspace still leads to it, whatever operation is under way there. A workspace that
    /// is gone is no error here: opening it reports that.
    ///
    /// # Errors
    /// As [`Admission::admit`].
    pub fn still_admits(&self, path: &Path) -> Result<(), NotAdmitted> {
        let (walked, trusted) = self.lead(path)?;
        if !walked.missing.is_empty() {
            return Ok(());
        }
        match walked.path() {
            now if now == path => self.check_directory(path, trusted),
            now => Err(NotAdmitted::Moved {
                path: path.to_owned(),
                now,
            }),
        }
    }

    /// Where a path leads, if that is no place that is refused; and whether its owner is trusted.
    fn lead(&self, asked: &Path) -> Result<(Walked, bool), NotAdmitted> {
        check_text(asked)?;
        let walked = walk::walk(asked)?;
        let path = walked.path();
        check_text(&path)?;
        self.check_data_directory(&path)?;
        self.check_place(&path, &walked, &Mounts::read())?;
        let trusted = owner::is_named_safe(&path);
        owner::check_ancestors(&walked, trusted)?;
        Ok((walked, trusted))
    }

    fn check_directory(&self, path: &Path, trusted: bool) -> Result<(), NotAdmitted> {
        owner::check_directory(path, trusted)?;
        match path.join(".git").symlink_metadata() {
            Ok(_) => repository::check(path, &|part| self.check_part(part), trusted),
            Err(_) => Ok(()),
        }
    }

    fn below_a_root(&self, path: PathBuf, found: Found) -> Result<Admitted, NotAdmitted> {
        let named = self.named.iter().map(|named| real(named));
        match self.real_roots().chain(named).any(|root| path.starts_with(root)) {
            true => Ok(Admitted { path, found }),
            false => Err(NotAdmitted::OutsideRoots {
                path,
                roots: self.roots.clone(),
            }),
        }
    }

    fn real_roots(&self) -> impl Iterator<Item = PathBuf> {
        self.roots.iter().map(|root| real(root))
    }

    /// What is ours is no workspace, and neither is what holds it. The demo's own workspaces lie within it.
    fn check_data_directory(&self, path: &Path) -> Result<(), NotAdmitted> {
        let data_dir = real(&self.data_dir);
        if path.starts_with(&data_dir) && !path.starts_with(data_dir.join("demo")) || data_dir.starts_with(path) {
            return Err(NotAdmitted::DataDirectory {
                path: path.to_owned(),
                data_dir,
            });
        }
        let other = |ancestor: &&Path| ancestor.join("hubs").is_dir() && ancestor.join("process-id").is_file();
        match path.ancestors().find(other) {
            Some(other) if other != data_dir => Err(NotAdmitted::DataDirectory {
                path: path.to_owned(),
                data_dir: other.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn check_place(&self, path: &Path, walked: &Walked, mounts: &Mounts) -> Result<(), NotAdmitted> {
        let roots: Vec<PathBuf> = self.real_roots().collect();
        self.places.check(path, &roots)?;
        self.places.check_identity(path, &walked.existing, &roots)?;
        mounts
            .other_names(&walked.existing)
            .iter()
            .try_for_each(|other| self.places.check(other, &roots))
            .map_err(|refused| refused.about(path))
    }

    /// A part of a repository that lies elsewhere: it may not be in a place where a workspace may not be.
    fn check_part(&self, part: &Path) -> Result<(), NotAdmitted> {
        let data_dir = real(&self.data_dir);
        if part.starts_with(&data_dir) && !part.starts_with(data_dir.join("demo")) {
            return Err(NotAdmitted::DataDirectory {
                path: part.to_owned(),
                data_dir,
            });
        }
        let roots: Vec<PathBuf> = self.real_roots().collect();
        self.places.check(part, &roots)?;
        self.places.check_identity(part, part, &roots)
    }
}

/// Without links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn check_text(path: &Path) -> Result<(), NotAdmitted> {
    let length = path.as_os_str().len();
    if length > PATH_BYTES {
        return Err(NotAdmitted::TooLong {
            length,
            limit: PATH_BYTES,
        });
    }
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(NotAdmitted::Nul);
    }
    if path.to_str().is_none() {
        return Err(NotAdmitted::NotUtf8 { path: path.to_owned() });
    }
    if !path.is_absolute() {
        return Err(NotAdmitted::Relative { path: path.to_owned() });
    }
    Ok(())
}
