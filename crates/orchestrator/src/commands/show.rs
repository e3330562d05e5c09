//! `orchestrator show`: show a run.

use super::{end, next::next_commands};
use crate::{
    client::Attached,
    config::Loaded,
    failure::{Exit, Failure},
    output, report,
};

/// Prints the report of a run, finished or not.
pub(crate) async fn show(loaded: &Loaded, run: &str, json: bool) -> Result<Exit, Failure> {
    let attached = Attached::to(loaded, &format!("run {run}")).await?;
    let document = end::document(&attached, run).await;
    attached.close().await;
    let document = document?;
    if json {
        output::document(&document)?;
    } else {
        let report = document.report();
        let next = next_commands(&loaded.invocation, &report);
        output::line(&report::lines(&report, &next, &loaded.invocation, end::columns()).join("\n"))?;
    }
    Ok(Exit::Complete)
}
