//! `orchestrator completions`: the completion script of a shell.

use crate::{
    cli::{Cli, CompletionsArguments},
    failure::{Exit, Failure},
    output,
};
use clap::CommandFactory;

/// Prints the script. Where to put it, docs/operations.md says.
pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "orchestrator", &mut script);
    output::bytes(&script)?;
    Ok(Exit::Complete)
}
