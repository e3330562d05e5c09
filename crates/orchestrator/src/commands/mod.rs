//! The commands, one file each.

mod bench;
mod cancel;
mod clean;
mod completions;
mod config;
mod deliver;
mod demo;
mod diff;
mod doctor;
mod end;
mod follow;
mod logs;
mod man;
mod merge_audit;
mod merges;
mod next;
mod run;
mod runs;
mod serve;
mod show;
mod worker;

use crate::{
    cli::{Cli, Command},
    config::{Environment, Loaded, load},
    failure::{Exit, Failure},
    invocation::Invocation,
    output,
};

/// The effective configuration of a command.
pub(crate) fn load_for(cli: &Cli, invocation: &Invocation) -> Result<Loaded, Failure> {
    let environment = Environment::of_this_process()?;
    for warning in environment.warnings() {
        output::note(&format!("warning: {warning}"));
    }
    Ok(Loaded {
        opens: cli.command.opens(),
        invocation: invocation.clone(),
        ..load(&cli.overrides(), environment)?
    })
}

/// Performs a command that reads no configuration; `None` for any other.
pub(crate) fn perform_unconfigured(cli: &Cli) -> Option<Result<Exit, Failure>> {
    match &cli.command {
        Command::Completions(arguments) => Some(completions::completions(arguments)),
        Command::Man(arguments) => Some(man::man(arguments, cli.common.json)),
        _ => None,
    }
}

/// Performs any other command.
pub(crate) async fn perform(cli: Cli, loaded: Loaded) -> Result<Exit, Failure> {
    let json = cli.common.json;
    match cli.command {
        Command::Run(arguments) => run::run(&loaded, arguments, json).await,
        Command::Demo(arguments) => demo::demo(loaded, arguments, json).await,
        Command::Serve(_) => serve::serve(&loaded, json).await,
        Command::Worker(_) => worker::worker(&loaded, json).await,
        Command::Runs(arguments) => runs::runs(&loaded, &arguments, json).await,
        Command::Show(one) => show::show(&loaded, &one.run, json).await,
        Command::Follow(arguments) => follow::follow(&loaded, &arguments, json).await,
        Command::Logs(arguments) => logs::logs(&loaded, &arguments, json).await,
        Command::Diff(one) => diff::diff(&loaded, &one.run, json).await,
        Command::Cancel(one) => cancel::cancel(&loaded, &one.run, json).await,
        Command::Deliver(arguments) => deliver::deliver(&loaded, &arguments, json).await,
        Command::Merges(arguments) => merges::merges(&loaded, arguments, json).await,
        Command::Clean(arguments) => clean::clean(&loaded, &arguments, json).await,
        Command::Doctor(_) => doctor::doctor(&loaded, json).await,
        Command::Config => config::config(&loaded, json),
        Command::Bench(arguments) => bench::bench(&arguments, json).await,
        Command::MergeAudit(arguments) => merge_audit::merge_audit(arguments, json).await,
        // Performed without a configuration.
        Command::Completions(_) | Command::Man(_) => Ok(Exit::Complete),
    }
}
