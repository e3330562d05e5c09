//! `orchestrator deliver`: a run's work is handed over once more, or at last.

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
use api::{DeliverAsked, Run};
use std::time::Duration;

/// How often the run is looked at until its delivery has ended.
const LOOK: Duration = Duration::from_millis(200);

/// Asks for the delivery, waits for its end, and says what came of each step.
pub(crate) async fn deliver(loaded: &Loaded, arguments: &DeliverArguments, json: bool) -> Result<Exit, Failure> {
    let attached = Attached::to(loaded, &format!("run {}", arguments.run)).await?;
    let attached = match attached.is_here() {
        false => attached,
        // Looked up first, so that nothing but the delivery of this run is taken up.
        true => {
            let run = attached.client.run(&arguments.run).await;
            let run = attached.close_with(run).await?;
            Attached::open(loaded, Purpose::Deliver(run.id)).await?
        }
    };
    let ended = ended(&attached, arguments, json).await;
    attached.close().await;
    let Some(run) = ended? else {
        output::note("detached; a server that holds the data directory goes on with the delivery");
        return Ok(Exit::Detached);
    };
    if json {
        output::document(&serde_json::json!({ "run": run.id, "state": run.state, "delivery": run.delivery }))?;
    } else {
        for step in &run.delivery.steps {
            let name = step.step.as_str().replace('_', " ");
            output::line(&format!("{name:<13} {:<8} {}", step.result.as_str(), clean(&step.said)))?;
        }
    }
    if run.delivery.is_incomplete() || run.delivery.steps.is_empty() {
        if let Some(reason) = &run.reason {
            output::note(&clean(&reason.message));
        }
        return Ok(Exit::RunFailed);
    }
    Ok(Exit::Complete)
}

/// The run after its delivery; nothing when the person left before.
async fn ended(attached: &Attached, arguments: &DeliverArguments, json: bool) -> Result<Option<Run>, Failure> {
    let asked = DeliverAsked {
        allow_integrity_flags: arguments.allow_integrity_flags,
    };
    let accepted = attached.client.deliver(&arguments.run, asked).await.map_err(failure)?;
    let id = accepted.id.to_string();
    let mut interrupts = Interrupts::new()?;
    let mut told = None;
    loop {
        let found = attached.client.run(&id).await.map_err(failure)?;
        if !found.delivery.under_way {
            return Ok(Some(found));
        }
        let news = found.delivery.steps.iter().find(|step| step.result.is_bad());
        let news = news.map(|step| clean(&step.said));
        if !json && news.is_some() && news != told {
            output::note(news.as_deref().unwrap_or_default());
            told = news;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = interrupts.next() => return Ok(None),
        }
    }
}
