//! `orchestrator bench`: what the orchestration itself costs on this machine.

use crate::{
    cli::BenchArguments,
    config::Loaded,
    failure::{Exit, Failure},
};

/// Measures and prints.
pub(crate) async fn bench(_loaded: &Loaded, _arguments: &BenchArguments, _json: bool) -> Result<Exit, Failure> {
    Err(Failure::usage("not yet"))
}
