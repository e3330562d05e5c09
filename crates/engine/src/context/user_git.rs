//! What the user's own git would do with a commit of ours. It is read where the workspace is; on other machines nothing is
//! known of it, and the delivery, which is made where the workspace is, looks once more.

use crate::context::Context;
use git::{GitError, UserAttributes, UserCommands};
use std::path::Path;
use store::run::RunDetails;

/// The attributes that the user's git applies beside those of a tree.
pub(crate) fn attributes(context: &Context, details: &RunDetails) -> UserAttributes {
    known(context, details, UserAttributes::of)
}

/// What the user's git runs of its checkout.
pub(crate) fn commands(context: &Context, details: &RunDetails) -> UserCommands {
    known(context, details, UserCommands::of)
}

/// What is read of a workspace; nothing, where it is not here, or can't be read now.
fn known<T: Default>(context: &Context, details: &RunDetails, read: impl Fn(&Path) -> Result<T, GitError>) -> T {
    if !context.settings.duties.has_workspaces() {
        return T::default();
    }
    read(Path::new(&details.workspace_path)).unwrap_or_else(|error| {
        tracing::warn!(%error, run = %details.id, "the user's git configuration can't be read; the delivery reads it again");
        T::default()
    })
}
