//! What the user's own git would do with a commit of ours. Known only on the machine of the workspace; the delivery there
//! checks again.

use crate::context::Context;
use git::{GitError, UserAttributes, UserCommands};
use std::path::Path;
use store::run::RunDetails;

/// The attributes that the user's git applies in addition to those of a tree.
pub(crate) fn attributes(context: &Context, details: &RunDetails) -> UserAttributes {
    known(context, details, UserAttributes::of)
}

/// The files of its checkout that the user's git runs.
pub(crate) fn commands(context: &Context, details: &RunDetails) -> UserCommands {
    known(context, details, UserCommands::of)
}

/// Reads the git configuration of a workspace; empty if it is on another machine or can't be read.
fn known<T: Default>(context: &Context, details: &RunDetails, read: impl Fn(&Path) -> Result<T, GitError>) -> T {
    if !context.settings.duties.has_workspaces() {
        return T::default();
    }
    read(Path::new(&details.workspace_path)).unwrap_or_else(|error| {
        tracing::warn!(%error, run = %details.id, "Could not read the user's git configuration; the delivery reads it again");
        T::default()
    })
}
