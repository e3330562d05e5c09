//! What the user's own git would do with a commit of ours. It is read where the workspace is; on other machines nothing is
//! known of it, and the delivery, which is made where the workspace is, looks once more.

use crate::context::Context;
use git::{GitError, UserAttributes, UserCommands};
use std::path::Path;
use store::run::RunFacts;

/// The attributes that the user's git applies beside those of a tree.
pub(crate) fn attributes(context: &Context, facts: &RunFacts) -> UserAttributes {
    known(context, facts, UserAttributes::of)
}

/// What the user's git runs of its checkout.
pub(crate) fn commands(context: &Context, facts: &RunFacts) -> UserCommands {
    known(context, facts, UserCommands::of)
}

/// What is read of a workspace; nothing, where it is not here, or can't be read now.
fn known<T: Default>(context: &Context, facts: &RunFacts, read: impl Fn(&Path) -> Result<T, GitError>) -> T {
    if !context.settings.duties.has_workspaces() {
        return T::default();
    }
    read(Path::new(&facts.workspace_path)).unwrap_or_else(|error| {
        tracing::warn!(%error, run = %facts.id, "the user's git configuration can't be read; the delivery reads it again");
        T::default()
    })
}
