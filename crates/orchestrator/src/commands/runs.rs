//! `orchestrator runs`: list runs.

use super::end;
use crate::{
    cli::RunsArguments,
    client::Attached,
    config::Loaded,
    failure::{Exit, Failure},
    output,
    progress::{clean, shortened, width},
};
use api::{RunPage, RunSummary};
use domain::NanoDollars;
use std::time::Duration;
use time::OffsetDateTime;

/// Lists runs, newest first.
pub(crate) async fn runs(loaded: &Loaded, arguments: &RunsArguments, json: bool) -> Result<Exit, Failure> {
    let page = match Attached::existing(loaded).await? {
        Some(attached) => {
            let page = attached.client.runs(None, None, arguments.limit).await;
            attached.close_with(page).await?
        }
        None => RunPage::default(),
    };
    if json {
        output::document(&page)?;
    } else if page.runs.is_empty() {
        output::line(&format!(
            "no runs yet; start one: {}",
            loaded.invocation.command(&["run", "OBJECTIVE"])
        ))?;
    } else {
        let now = OffsetDateTime::now_utc();
        let lines: Vec<String> = page.runs.iter().map(|run| line(run, now, end::columns())).collect();
        output::line(&lines.join("\n"))?;
    }
    Ok(Exit::Complete)
}

fn line(run: &RunSummary, now: OffsetDateTime, columns: usize) -> String {
    let age = Duration::try_from(now - run.created_at).unwrap_or_default();
    let cost = NanoDollars(run.cost_nanodollars).to_string();
    let tasks = format!("{}/{}", run.tasks.complete, run.tasks.total);
    let asks = match run.merges_waiting {
        0 => String::new(),
        1 => "! 1 merge waits for you  ".to_owned(),
        merges => format!("! {merges} merges wait for you  "),
    };
    let left = format!(
        "{}  {:<10} {tasks:>7} {cost:>9} {:>11}  {asks}",
        run.short,
        run.state.to_string(),
        format!("{} ago", api::duration_text(age))
    );
    let room = columns.saturating_sub(width(&left)).max(20);
    format!("{left}{}", shortened(&clean(&run.objective), room))
}
