//! The binary: configuration, commands, wiring.
//!
//! [`cli`] says what can be asked for and [`config`] what holds; each command is a file of [`commands`]. [`client`]
//! finds the server that holds the data directory, or opens the whole harness of [`wire`] in this process. [`following`]
//! shows a run while it goes on, [`report`] what came of it.

mod cli;
mod commands;

mod config;
mod failure;
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
use std::process::ExitCode;

fn main() -> ExitCode {
    // In a sandbox this program starts the command, and is nothing else.
    if let Some(code) = sandbox::launcher_main() {
        return code;
    }
    explain_panics();
    // Connections must not take the files that the database, hubs and sandboxes need.
    server::raise_descriptors();
    let cli = Cli::parse();
    let json = cli.common.json;
    let outcome = commands::load_for(&cli).and_then(|loaded| {
        if loaded.config.database.url.is_none() {
            forget_options_of_other_databases();
        }
        perform(cli, loaded)
    });
    match outcome {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(failure) => {
            output::note(&failure.to_string());
            if json {
                // The same, for the reader of the document; the exit code says it in any case.
                output::document(&serde_json::json!({ "error": failure })).unwrap_or_default();
            }
            ExitCode::from(failure.exit.code())
        }
    }
}

fn perform(cli: Cli, loaded: Loaded) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::environment("the program can't start its threads").with("found", error))?;
    let outcome = runtime.block_on(commands::perform(cli, loaded));
    // What still waits for a terminal or a disk must not keep the process.
    runtime.shutdown_background();
    outcome
}

/// `PGOPTIONS` is meant for a server of the user's own. The database client adds it to every connection, and has no way to
/// leave it out, so the private server would get it, too.
#[expect(unsafe_code, reason = "no safe function changes the environment")]
fn forget_options_of_other_databases() {
    // SAFETY: no other thread has been started yet, so none reads the environment meanwhile.
    unsafe { std::env::remove_var("PGOPTIONS") };
}

/// A panic is a bug of ours: says so, and how to report it, behind what the standard hook prints.
fn explain_panics() {
    let standard = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        standard(panic);
        output::note(
            "this is a bug in orchestrator; nothing that was recorded is lost. Please report it with the lines \
             above and what `orchestrator logs RUN --json` prints",
        );
    }));
}
