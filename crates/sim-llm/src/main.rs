//! `sim-llm`: the scripted model as a program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sim_llm::{Options, Scenario, Server};
use tokio::signal::unix::{SignalKind, signal};

/// An OpenAI-compatible server that plays a scripted model.
#[derive(Parser)]
struct Arguments {
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Scenario: a TOML file of [[rule]]s.
    #[arg(long, value_name = "FILE")]
    scenario: PathBuf,
    /// File to append every request to as JSON lines; existing entries are continued.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let scenario = Scenario::load(&arguments.scenario)?;
    let options = Options {
        listen: arguments.listen,
        journal: arguments.journal,
        ..Options::default()
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let server = Server::start(scenario, options).await?;
    // The first output line is the address, so that tests find a server on a free port.
    println!("{}", server.base_url());
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    server.stop().await;
    Ok(())
}
