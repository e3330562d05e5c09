//! `orchestrator show`: one run as it stands.

use super::end;
use crate::{
    client::Attached,
    config::Loaded,
    failure::{Exit, Failure},
    output, report,
};

/// Prints the report of a run, finished or not.
pub(crate) async fn show(loaded: &Loaded, run: &str, json: bool) -> Result<Exit, Failure> {
    let attached = Attached::to(loaded, &format!("run {run}")).await?;
    let report = end::report(&attached, run).await;
    attached.close().await;
    let report = report?;
    if json {
        output::document(&report)?;
    } else {
        let next = end::next_commands(loaded, &report);
        output::line(&report::lines(&report, &next, end::columns()).join("\n"))?;
    }
    Ok(Exit::Complete)
}
