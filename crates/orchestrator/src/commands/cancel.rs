//! `orchestrator cancel`: cancel a run.

use crate::{
    client::Attached,
    config::Loaded,
    failure::{Exit, Failure},
    output,
};

/// Cancels a run.
pub(crate) async fn cancel(loaded: &Loaded, run: &str, json: bool) -> Result<Exit, Failure> {
    let attached = Attached::to(loaded, &format!("run {run}")).await?;
    let accepted = attached.client.cancel(run).await;
    let accepted = attached.close_with(accepted).await?;
    if json {
        output::document(&accepted)?;
    } else {
        output::line(&format!(
            "run {} is {}; landed work stays",
            accepted.short, accepted.state
        ))?;
    }
    Ok(Exit::Complete)
}
