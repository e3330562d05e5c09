//! Why a directory is not admitted, and what to do instead.

use crate::user_repository::inspect::WorkspaceError;
use std::path::{Path, PathBuf};

/// Why a directory may not become a workspace.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// Not from the root.
    #[error("the workspace must be an absolute path: '{}' is not", path.display())]
    Relative {
        /// The path.
        path: PathBuf,
    },
    /// Longer than the system takes.
    #[error("the path is {length} bytes long; at most {limit} are taken")]
    TooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Another than it was.
    #[error("{} leads to {} by now", path.display(), now.display())]
    Moved {
        /// The path.
        path: PathBuf,
        /// Where it leads.
        now: PathBuf,
    },
    /// No path holds this.
    #[error("the path can't be used: it holds a NUL character")]
    Nul,
    /// No text.
    #[error("{} can't be used: the path, or what it leads to, is not UTF-8", path.display())]
    NotUtf8 {
        /// The path.
        path: PathBuf,
    },
    /// `..` after something that does not exist.
    #[error("{} leads up from a directory that does not exist", path.display())]
    LeadsUp {
        /// The path.
        path: PathBuf,
    },
    /// A directory of the system, or in one.
    #[error("{} belongs to the system ({}): it can't be a workspace", path.display(), place.display())]
    System {
        /// The path.
        path: PathBuf,
        /// The system's directory.
        place: PathBuf,
        /// Whether a configured root may open it.
        openable: bool,
    },
    /// A directory that holds what belongs to many.
    #[error("{} is {what}: a workspace is a directory below it, not the place itself", path.display())]
    Shared {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Where keys are kept.
    #[error("{} lies in {}, where keys are kept: it can't be a workspace", path.display(), place.display())]
    Keys {
        /// The path.
        path: PathBuf,
        /// The directory of keys.
        place: PathBuf,
    },
    /// Where a file system is mounted.
    #[error("{} is where a file system is mounted: a workspace is a directory below it", path.display())]
    MountPoint {
        /// The path.
        path: PathBuf,
    },
    /// Within the data directory, or around it.
    #[error("the workspace {} and the data directory {} lie within each other", path.display(), data_dir.display())]
    DataDirectory {
        /// The path.
        path: PathBuf,
        /// The data directory.
        data_dir: PathBuf,
    },
    /// Every account may exchange it.
    #[error("{} can be written by every account (mode {mode:o}): what is below it could be exchanged", path.display())]
    OpenToAll {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A link that another account made.
    #[error("{} is a link that another account (uid {owner}) made: it leads to {}", path.display(), target.display())]
    LinkOfAnother {
        /// The link.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Where it leads.
        target: PathBuf,
    },
    /// A directory on the way that another account owns.
    #[error("{} lies in {}, which another account (uid {owner}) owns and can exchange", path.display(), parent.display())]
    BelowAnother {
        /// The path.
        path: PathBuf,
        /// The directory on the way.
        parent: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// A repository whose parts lie elsewhere.
    #[error("the repository {} keeps its {part} elsewhere ({}), and that does not name it in return", path.display(), target.display())]
    Elsewhere {
        /// The path.
        path: PathBuf,
        /// Which part.
        part: &'static str,
        /// Where it leads.
        target: PathBuf,
    },
    /// A part of a repository lies where no workspace may be.
    #[error("the repository {} keeps its {part} at a place that can't be used: {why}", path.display())]
    Part {
        /// The path.
        path: PathBuf,
        /// Which part.
        part: &'static str,
        /// Why.
        why: Box<Self>,
    },
    /// Files and no repository.
    #[error("{} has files and is no git repository: nobody asked for them to be committed", path.display())]
    NotEmpty {
        /// The path.
        path: PathBuf,
    },
    /// Nothing may be made there.
    #[error("no repository may be made at {}: it is not below {}", path.display(), listed(roots))]
    OutsideRoots {
        /// The path.
        path: PathBuf,
        /// The roots.
        roots: Vec<PathBuf>,
    },
    /// Anything that is wrong with the directory itself.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

impl NotAdmitted {
    /// What to do instead.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Relative { .. } => "the server does not know the caller's directory; give the path from the root",
            Self::TooLong { .. } => "give a shorter one, through a symbolic link if need be",
            Self::Moved { .. } => "put the workspace back where it was, or submit the run again",
            Self::Nul => "give the path of a directory",
            Self::NotUtf8 { .. } => "rename the directory",
            Self::LeadsUp { .. } => "give the path without `..`",
            Self::System { openable: true, .. } => {
                "choose a directory below your home, or let the operator name the directory in server.workspaces"
            }
            Self::System { .. } | Self::Shared { .. } | Self::Keys { .. } | Self::MountPoint { .. } => {
                "choose a directory of your own, such as one below your home"
            }
            Self::DataDirectory { .. } => "choose a workspace outside the data directory, or another --data-dir",
            Self::OpenToAll { .. } => {
                "take the right to write from others (`chmod o-w`), or, for a repository you trust, name it: \
                 `git config --global --add safe.directory PATH`"
            }
            Self::LinkOfAnother { .. } => "give the path that the link leads to, if that is what you mean",
            Self::BelowAnother { .. } => {
                "run as that account, or, for a repository you trust, name it: \
                 `git config --global --add safe.directory PATH`"
            }
            Self::Elsewhere { .. } | Self::Part { .. } => "clone it (`git clone`) and give the clone",
            Self::NotEmpty { .. } => {
                "set initialise to true to have them committed as they are, or make the repository yourself (`git init`)"
            }
            Self::OutsideRoots { .. } => {
                "choose a path below one of these, give a repository that exists, or let the operator add the directory \
                 to server.workspaces"
            }
            Self::Workspace(_) => "a run starts from a commit of a repository that this user owns",
        }
    }

    /// The same said of the path that was asked for.
    pub(super) fn about(self, asked: &Path) -> Self {
        let path = asked.to_owned();
        match self {
            Self::System { place, openable, .. } => Self::System { path, place, openable },
            Self::Shared { what, .. } => Self::Shared { path, what },
            Self::Keys { place, .. } => Self::Keys { path, place },
            other => other,
        }
    }
}

fn listed(roots: &[PathBuf]) -> String {
    match roots {
        [] => "any directory (server.workspaces is empty)".to_owned(),
        roots => {
            let roots: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
            roots.join(" or ")
        }
    }
}
