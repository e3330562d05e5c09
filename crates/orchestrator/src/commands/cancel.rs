//! `orchestrator cancel`: the end of a run, on a person's word.

use crate::{
    client::{Attached, failure},
    config::Loaded,
    failure::{Exit, Failure},
    output,
    wire::Purpose,
};

/// Cancels a run.
pub(crate) async fn cancel(loaded: &Loaded, run: &str, json: bool) -> Result<Exit, Failure> {
    let attached = Attached::open(loaded, Purpose::Work).await?;
    let accepted = attached.client.cancel(run).await;
    attached.close().await;
    let accepted = accepted.map_err(failure)?;
    if json {
        output::document(&accepted)?;
    } else {
        output::line(&format!(
            "run {} is {}; what has landed stays",
            accepted.short, accepted.state
        ))?;
    }
    Ok(Exit::Complete)
}
