//! `orchestrator logs`: the event log of a run, one event a line.

use crate::{
    cli::LogsArguments,
    client::{Attached, failure},
    config::Loaded,
    failure::{Exit, Failure},
    following::{Interrupts, entry},
    invocation::Invocation,
    output,
    progress::{clean, log_line},
};
use api::Event;
use time::format_description::well_known::Rfc3339;

/// Most characters shown of a value.
const LONGEST: usize = 100;

/// Prints the events so far, with `--follow` also new ones. As JSON, each is a line of its own.
pub(crate) async fn logs(loaded: &Loaded, arguments: &LogsArguments, json: bool) -> Result<Exit, Failure> {
    let attached = Attached::to(loaded, &format!("run {}", arguments.run)).await?;
    let printed = print(&attached, loaded, arguments, json).await;
    attached.close().await;
    printed
}

async fn print(attached: &Attached, loaded: &Loaded, arguments: &LogsArguments, json: bool) -> Result<Exit, Failure> {
    let run = attached.client.run(&arguments.run).await;
    let run = run.map_err(|error| attached.failure(error))?;
    // Without a process that works on the run, there will be no new events.
    let follow = arguments.follow && !attached.is_alone();
    let mut interrupts = Interrupts::new()?;
    let mut events = attached.client.events(run.id, 0);
    let mut last = 0;
    while follow || last < run.last_event {
        let event = tokio::select! {
            event = events.next() => event,
            () = interrupts.next() => return Ok(Exit::Detached),
        };
        let Some(event) = event else { break };
        let event = event.map_err(failure)?;
        last = event.seq;
        print_event(&event, &loaded.invocation, json)?;
    }
    if arguments.follow && !follow && !run.state.is_final() {
        let follow = loaded.invocation.command(&["follow", &run.short]);
        output::note(&format!("no server works on the run; continue it with: {follow}"));
    }
    Ok(Exit::Complete)
}

fn print_event(event: &Event, invocation: &Invocation, json: bool) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string(event)
            .map_err(|error| Failure::environment("an event can't be written as JSON").caused_by(error))?;
        return output::line(&text);
    }
    let time = event
        .at
        .to_offset(time::UtcOffset::UTC)
        .format(&Rfc3339)
        .unwrap_or_default();
    let words = match entry(event) {
        Some(entry) => log_line(&entry, invocation),
        // A kind of event of a newer server.
        None => {
            let task = event.task.as_ref().map_or(String::new(), |task| format!("{task}: "));
            format!("{task}{}{}", event.kind.replace('_', " "), details(&event.data))
        }
    };
    output::line(&format!(
        "{:>5}  {}Z  {words}",
        event.seq,
        time.get(..19).unwrap_or(&time)
    ))
}

/// The plain values of an event of unknown kind, by name.
fn details(data: &serde_json::Value) -> String {
    let plain = |(name, value): (&String, &serde_json::Value)| {
        let value = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::Bool(whether) => whether.to_string(),
            serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => return None,
        };
        let shown = domain::plan::first_line(&value, LONGEST);
        (name != "kind" && !shown.is_empty()).then(|| format!("{} {}", name.replace('_', " "), clean(&shown)))
    };
    let fields: Vec<String> = data.as_object().into_iter().flatten().filter_map(plain).collect();
    match fields.is_empty() {
        true => String::new(),
        false => format!(" ({})", fields.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn event_of_unknown_kind_shows_its_values() {
        let data = json!({"kind": "tool_started", "tool": "shell", "turn": 2, "summary": "cargo test\nmore", "x": [1], "y": null});
        assert_eq!(details(&data), " (summary cargo test, tool shell, turn 2)");
        assert_eq!(details(&json!({"kind": "task_ready"})), "");
    }
}
