//! `orchestrator bench`: measure the orchestration overhead on this machine.

use crate::{
    bench,
    cli::BenchArguments,
    failure::{Exit, Failure},
    output,
};

/// Fewer tasks give no median, more are no realistic plan.
const TASKS: std::ops::RangeInclusive<u32> = 8..=500;

/// Measures in a temporary directory and prints the figures.
pub(crate) async fn bench(arguments: &BenchArguments, json: bool) -> Result<Exit, Failure> {
    if !TASKS.contains(&arguments.tasks) {
        return Err(Failure::usage("--tasks must be from 8 to 500").with("found", arguments.tasks));
    }
    let figures = bench::measure(arguments.tasks, |next| output::note(&format!("measuring: {next}"))).await?;
    if json {
        output::document(&figures)?;
    } else {
        output::line(&bench::lines(&figures).join("\n"))?;
    }
    Ok(Exit::Complete)
}
