//! Following a path one name at a time, so that every link on the way is looked at before it is followed.

use super::refused::NotAdmitted;
use crate::user_repository::{account, inspect::WorkspaceError};
use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

/// As many links as the system follows in one path.
const LINKS: usize = 40;

/// Where a path leads.
pub(super) struct Walked {
    /// The part that exists, without links: a directory.
    pub(super) existing: PathBuf,
    /// The names below it that do not.
    pub(super) missing: Vec<OsString>,
}

impl Walked {
    pub(super) fn path(&self) -> PathBuf {
        let mut path = self.existing.clone();
        path.extend(&self.missing);
        path
    }
}

/// What is still to be followed.
enum Step {
    Root,
    Up,
    Down {
        name: OsString,
        /// Whether a link says so, and not the caller.
        of_link: bool,
    },
}

pub(super) fn walk(path: &Path) -> Result<Walked, NotAdmitted> {
    let mut walked = Walked {
        existing: PathBuf::from("/"),
        missing: Vec::new(),
    };
    let mut pending = steps(path, false);
    let mut links = 0;
    while let Some(step) = pending.pop() {
        match step {
            Step::Root => walked.existing = PathBuf::from("/"),
            Step::Up if walked.missing.is_empty() => drop(walked.existing.pop()),
            Step::Up => return Err(NotAdmitted::LeadsUp { path: path.to_owned() }),
            Step::Down { name, .. } if !walked.missing.is_empty() => walked.missing.push(name),
            Step::Down { name, of_link } => {
                let next = walked.existing.join(&name);
                match fs::symlink_metadata(&next) {
                    Ok(metadata) if metadata.is_symlink() => {
                        links += 1;
                        let target = follow(&next, metadata.uid(), links)?;
                        pending.extend(steps(&target, true));
                    }
                    Ok(metadata) if metadata.is_dir() => walked.existing = next,
                    Ok(_) => return Err(WorkspaceError::IsAFile { path: next }.into()),
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unreadable(&next, error)),
                    Err(error) if of_link => {
                        let source = io::Error::new(error.kind(), "it is a symlink to nothing");
                        return Err(unreadable(path, source));
                    }
                    Err(_) => walked.missing.push(name),
                }
            }
        }
    }
    Ok(walked)
}

/// The steps of a path, the first one last.
fn steps(path: &Path, of_link: bool) -> Vec<Step> {
    let step = |component: Component<'_>| match component {
        Component::RootDir => Some(Step::Root),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Down {
            name: name.to_owned(),
            of_link,
        }),
        Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(step).collect()
}

/// Where a link leads, if it is one to be followed: another account's may be made to lead elsewhere at any time.
fn follow(link: &Path, owner: u32, links: usize) -> Result<PathBuf, NotAdmitted> {
    if links > LINKS {
        return Err(unreadable(link, io::Error::other("too many links lead to each other")));
    }
    let target = fs::read_link(link).map_err(|error| unreadable(link, error))?;
    match account::is_trusted(owner) {
        true => Ok(target),
        false => Err(NotAdmitted::LinkOfAnother {
            path: link.to_owned(),
            owner,
            target,
        }),
    }
}

fn unreadable(path: &Path, source: io::Error) -> NotAdmitted {
    let path = path.to_owned();
    WorkspaceError::Unreadable { path, source }.into()
}
