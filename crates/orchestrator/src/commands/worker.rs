//! `orchestrator worker`: run a remote worker for a server on another machine.

use super::serve::serve_for;
use crate::{
    config::Loaded,
    failure::{Exit, Failure},
    wire::Purpose,
};

/// Works on the tasks, merges and gates of a server on another machine until it is stopped. It has no workspaces: the
/// server prepares, plans and delivers runs.
pub(crate) async fn worker(loaded: &Loaded, json: bool) -> Result<Exit, Failure> {
    let missing = |what: &str, key: &str, hint: &str| {
        Failure::usage(format!(
            "a remote worker shares {what} with a server, and none is configured"
        ))
        .with("missing", key)
        .hint(hint)
    };
    if loaded.config.database.url.is_none() {
        let hint = "set DATABASE_URL to the server's database; a private one can be reached from its own machine only";
        return Err(missing("a database", "database.url", hint));
    }
    if loaded.config.hubs.address.is_none() {
        let hint = "set it here and at the server, as docs/operations.md shows under \"Several machines\"";
        return Err(missing("hubs", "hubs.address", hint));
    }
    serve_for(Purpose::Help, loaded, json).await
}
