//! `orchestrator serve`: the server, until a signal.

use crate::{
    config::Loaded,
    failure::{Exit, Failure},
    following::Interrupts,
    output,
    wire::{House, OpenError, Plan, Purpose},
};

/// Serves. The first signal puts everything down in order, a second one stops at once; nothing is lost either way.
pub(crate) async fn serve(loaded: &Loaded, json: bool) -> Result<Exit, Failure> {
    serve_for(Purpose::Work, loaded, json).await
}

/// The same, for what is asked for.
pub(super) async fn serve_for(purpose: Purpose, loaded: &Loaded, json: bool) -> Result<Exit, Failure> {
    let mut interrupts = Interrupts::new()?;
    let plan = Plan {
        listen: loaded.config.server.listen,
        log: "",
        scripted: None,
        purpose,
    };
    let house = tokio::select! {
        house = House::open(loaded, plan) => house.map_err(OpenError::failure)?,
        () = interrupts.next() => return Ok(Exit::Complete),
    };
    announce(&house, loaded, json)?;
    until_signal(house.close(), interrupts).await
}

/// Waits for a signal, then closes what was open; a second signal does not wait for that.
pub(super) async fn until_signal(close: impl Future<Output = ()>, mut interrupts: Interrupts) -> Result<Exit, Failure> {
    interrupts.next().await;
    output::note("stopping: what is under way is put down and kept; once more stops at once");
    tokio::select! {
        () = close => Ok(Exit::Complete),
        () = interrupts.next() => Ok(Exit::Detached),
    }
}

fn announce(house: &House, loaded: &Loaded, json: bool) -> Result<(), Failure> {
    let address = format!("http://{}", house.address);
    if json {
        return output::line(
            &serde_json::json!({
                "address": address,
                "data_dir": loaded.config.data_dir,
                "pid": std::process::id(),
                "sandbox": house.sandbox,
            })
            .to_string(),
        );
    }
    output::line(&format!(
        "ready at {address}   data {}",
        loaded.config.data_dir.display()
    ))
}
