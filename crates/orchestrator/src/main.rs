//! The binary: configuration, commands, wiring.
//!
//! [`cli`] defines the command line and [`config`] the settings; each command is a file of [`commands`]. [`client`] finds
//! the server of the data directory, or opens the harness of [`wire`] in this process. [`following`] shows a run in
//! progress, [`report`] its result.

mod cli;
mod commands;

mod config;
mod failure;
mod invocation;
mod opens;
mod output;

mod client;
mod presence;
mod token;
mod wire;

mod bench;
mod changes;
mod demo_place;
mod following;
mod progress;
mod report;

use clap::Parser;
use cli::Cli;
use config::Loaded;
use failure::{Exit, Failure};
use invocation::Invocation;
use std::process::ExitCode;

fn main() -> ExitCode {
    // In a sandbox, this program only starts the command.
    if let Some(code) = sandbox::launcher_main() {
        return code;
    }
    explain_panics();
    // Connections must not use up the descriptors that the database, hubs and sandboxes need.
    server::raise_descriptors();
    let cli = Cli::parse();
    let json = cli.common.json;
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let invocation = Invocation::new(&cli, variable);
    let outcome = match commands::perform_unconfigured(&cli) {
        Some(outcome) => outcome,
        None => commands::load_for(&cli, &invocation).and_then(|loaded| {
            if loaded.config.database.url.is_none() {
                forget_options_of_other_databases();
            }
            perform(cli, loaded)
        }),
    };
    match outcome {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(failure) => {
            let failure = failure.with_commands(&invocation);
            output::note(&failure.to_string());
            if json {
                // The same for readers of the document; the exit code shows it, too.
                output::document(&serde_json::json!({ "error": failure })).unwrap_or_default();
            }
            ExitCode::from(failure.kind.exit().code())
        }
    }
}

fn perform(cli: Cli, loaded: Loaded) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::environment("the program can't start its threads").caused_by(error))?;
    let outcome = runtime.block_on(commands::perform(cli, loaded));
    // A thread that waits for a terminal or a disk must not keep the process.
    runtime.shutdown_background();
    outcome
}

/// Removes `PGOPTIONS`, which is meant for the user's own servers. The database client adds it to every connection and
/// can't leave it out, so the private server would get it, too.
#[expect(unsafe_code, reason = "no safe function changes the environment")]
fn forget_options_of_other_databases() {
    // SAFETY: no other thread has been started yet, so none reads the environment meanwhile.
    unsafe { std::env::remove_var("PGOPTIONS") };
}

/// Adds to the standard message of a panic that it is a bug, and how to report it.
fn explain_panics() {
    let standard = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        standard(panic);
        output::note(
            "this is a bug in orchestrator; nothing that was recorded is lost. Please report it with the lines \
             above and the output of `orchestrator logs RUN --json`",
        );
    }));
}
