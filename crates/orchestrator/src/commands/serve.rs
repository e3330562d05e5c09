//! `orchestrator serve`: run the server until it is stopped.

use crate::{
    config::Loaded,
    failure::{Exit, Failure},
    following::Interrupts,
    output,
    wire::{Harness, OpenError, Plan, Purpose},
};

/// Serves until the first signal, then drains. A second signal stops at once; nothing is lost either way.
pub(crate) async fn serve(loaded: &Loaded, json: bool) -> Result<Exit, Failure> {
    serve_for(Purpose::Work, loaded, json).await
}

/// The same for a purpose.
pub(super) async fn serve_for(purpose: Purpose, loaded: &Loaded, json: bool) -> Result<Exit, Failure> {
    let mut interrupts = Interrupts::new()?;
    let plan = Plan {
        listen: loaded.config.server.listen,
        log: "",
        scripted: None,
        purpose,
    };
    let harness = tokio::select! {
        harness = Harness::open(loaded, plan) => harness.map_err(OpenError::failure)?,
        () = interrupts.next() => return Ok(Exit::Complete),
    };
    announce(&harness, loaded, json)?;
    until_signal(harness.close(), interrupts).await
}

/// Waits for a signal, then closes what was open; a second signal does not wait for that.
pub(super) async fn until_signal(close: impl Future<Output = ()>, mut interrupts: Interrupts) -> Result<Exit, Failure> {
    interrupts.next().await;
    output::note("stopping; work in progress is kept; a second signal stops at once");
    tokio::select! {
        () = close => Ok(Exit::Complete),
        () = interrupts.next() => Ok(Exit::Detached),
    }
}

fn announce(harness: &Harness, loaded: &Loaded, json: bool) -> Result<(), Failure> {
    let address = format!("http://{}", harness.address);
    if json {
        return output::line(
            &serde_json::json!({
                "address": address,
                "data_dir": loaded.config.data_dir,
                "pid": std::process::id(),
                "sandbox": harness.sandbox,
            })
            .to_string(),
        );
    }
    output::line(&format!(
        "ready at {address}   data {}",
        loaded.config.data_dir.display()
    ))
}
