//! The repository of the user: which directories are admitted, what is found there, making one, and delivering to it.

mod account;
mod admission;
mod deliver;
mod fast_forward;
mod format;
mod initialise;
mod inspect;
mod own_lock;
mod user_git;

pub use admission::{Admission, Admitted, NotAdmitted, Places, Unversioned};
pub use deliver::{DeliverError, Delivered, deliver_branch};
pub use fast_forward::{FastForward, SkipReason, fast_forward};
pub use initialise::{
    InitialiseError, Initialised, initialise, missing_directories, settle_initialised, undo_initialise,
};
pub use inspect::{Found, WorkspaceError, inspect};
