//! `orchestrator deliver`: deliver a run's branch again.

use crate::{
    cli::DeliverArguments,
    client::{Attached, failure},
    config::Loaded,
    failure::{Exit, Failure},
    following::Interrupts,
    output,
    progress::clean,
    wire::Purpose,
};
use api::{DeliverRequest, Run};
use std::time::Duration;

/// Time between two requests for the state of the delivery.
const LOOK: Duration = Duration::from_millis(200);

/// Requests the delivery, waits for its end and prints the result of each step.
pub(crate) async fn deliver(loaded: &Loaded, arguments: &DeliverArguments, json: bool) -> Result<Exit, Failure> {
    let attached = Attached::to(loaded, &format!("run {}", arguments.run)).await?;
    let attached = match attached.is_here() {
        false => attached,
        // Looked up first, so that nothing but the delivery of this run is claimed.
        true => {
            let run = attached.client.run(&arguments.run).await;
            let run = attached.close_with(run).await?;
            Attached::open(loaded, Purpose::Deliver(run.id)).await?
        }
    };
    let said = |text: &str| loaded.invocation.in_text(&clean(text));
    let ended = ended(&attached, arguments, &said, json).await;
    attached.close().await;
    let Some(run) = ended? else {
        output::note("detached; a server of the data directory continues the delivery");
        return Ok(Exit::Detached);
    };
    if json {
        output::document(&run)?;
    } else {
        for step in &run.delivery.steps {
            let name = step.step.as_str().replace('_', " ");
            output::line(&format!(
                "{name:<13} {:<8} {}",
                step.result.as_str(),
                said(&step.message)
            ))?;
        }
    }
    if run.delivery.is_incomplete() || run.delivery.steps.is_empty() {
        if let Some(reason) = &run.reason {
            output::note(&said(&reason.message));
        }
        return Ok(Exit::RunFailed);
    }
    Ok(Exit::Complete)
}

/// The run after its delivery; `None` if the person left before.
async fn ended(
    attached: &Attached,
    arguments: &DeliverArguments,
    said: &(dyn Fn(&str) -> String + Sync),
    json: bool,
) -> Result<Option<Run>, Failure> {
    let asked = DeliverRequest {
        allow_integrity_flags: arguments.allow_integrity_flags,
    };
    let accepted = attached.client.deliver(&arguments.run, asked).await.map_err(failure)?;
    let id = accepted.id.to_string();
    let mut interrupts = Interrupts::new()?;
    let mut shown = None;
    loop {
        let found = attached.client.run(&id).await.map_err(failure)?;
        if !found.delivery.in_progress {
            return Ok(Some(found));
        }
        let news = found.delivery.steps.iter().find(|step| step.result.is_bad());
        let news = news.map(|step| said(&step.message));
        if !json && news.is_some() && news != shown {
            output::note(news.as_deref().unwrap_or_default());
            shown = news;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = interrupts.next() => return Ok(None),
        }
    }
}
