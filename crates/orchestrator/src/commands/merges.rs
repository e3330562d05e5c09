//! `orchestrator merges`: list, show and answer merges that wait for a person.

mod directory;
mod text;

use crate::{
    cli::{MergesArguments, MergesCommand, ResolveArguments},
    client::Attached,
    config::Loaded,
    failure::{Exit, Failure},
    output,
};
use api::{DecidedMerge, MergeDetail, MergeSummaries, PathDecision, RejectRequest, ResolveRequest, ReturnRequest};
use domain::merge::MergeState;
use std::path::PathBuf;

/// Most merges in the list.
const LISTED: u32 = 50;

/// Performs a subcommand; without one, lists merges that wait.
pub(crate) async fn merges(loaded: &Loaded, arguments: MergesArguments, json: bool) -> Result<Exit, Failure> {
    match arguments.command {
        None => list(loaded, arguments.all, json).await,
        Some(MergesCommand::Show { merge }) => show(loaded, merge, json).await,
        Some(MergesCommand::Checkout { merge, directory }) => checkout(loaded, merge, directory, json).await,
        Some(MergesCommand::Resolve(arguments)) => resolve(loaded, arguments, json).await,
        Some(MergesCommand::Return { merge, note }) => {
            let work = ReturnRequest {
                note,
                by: own_name(loaded),
            };
            let attached = Attached::to(loaded, &format!("merge {merge}")).await?;
            let answered = attached.client.return_merge(merge, &work).await;
            finish(loaded, attached, answered, "goes back to its worker", json).await
        }
        Some(MergesCommand::Reject { merge, reason }) => {
            let work = RejectRequest {
                reason,
                by: own_name(loaded),
            };
            let attached = Attached::to(loaded, &format!("merge {merge}")).await?;
            let answered = attached.client.reject_merge(merge, &work).await;
            finish(loaded, attached, answered, "is rejected; its task has failed", json).await
        }
    }
}

async fn list(loaded: &Loaded, all: bool, json: bool) -> Result<Exit, Failure> {
    let state = (!all).then_some(MergeState::Waiting);
    let lines = match Attached::existing(loaded).await? {
        Some(attached) => {
            let lines = attached.client.merge_summaries(state, LISTED).await;
            attached.close_with(lines).await?
        }
        None => MergeSummaries::default(),
    };
    if json {
        output::document(&lines)?;
    } else {
        output::line(&text::list(&lines.merges, all, &loaded.invocation).join("\n"))?;
    }
    Ok(Exit::Complete)
}

async fn show(loaded: &Loaded, merge: i64, json: bool) -> Result<Exit, Failure> {
    let detail = look(loaded, merge).await?;
    if json {
        output::document(&detail)?;
    } else {
        output::line(&text::detail(&detail, &loaded.invocation).join("\n"))?;
    }
    Ok(Exit::Complete)
}

async fn checkout(loaded: &Loaded, merge: i64, place: PathBuf, json: bool) -> Result<Exit, Failure> {
    let detail = look(loaded, merge).await?;
    let written = directory::write(&detail, &place)?;
    if json {
        let left_out: Vec<&str> = detail.files.iter().map(|file| file.path.as_str()).collect();
        let left_out: Vec<&str> = left_out
            .into_iter()
            .filter(|path| !written.iter().any(|own| own == path))
            .collect();
        output::document(&serde_json::json!({
            "merge": merge, "directory": place, "written": written, "not_text": left_out,
        }))?;
    } else {
        output::line(&text::checked_out(&detail, &place, &written, &loaded.invocation).join("\n"))?;
    }
    Ok(Exit::Complete)
}

async fn resolve(loaded: &Loaded, arguments: ResolveArguments, json: bool) -> Result<Exit, Failure> {
    let merge = arguments.merge;
    let mut paths = Vec::new();
    let sides = [
        ("ours", &arguments.ours),
        ("theirs", &arguments.theirs),
        ("delete", &arguments.delete),
        ("layers", &arguments.layers),
    ];
    for (decision, own) in sides {
        paths.extend(own.iter().map(|path| PathDecision {
            path: path.clone(),
            decision: decision.to_owned(),
            content: None,
        }));
    }
    for pair in &arguments.file {
        let (path, file) = pair.split_once('=').ok_or_else(|| {
            Failure::usage("--file needs a path and a file with its text")
                .with("found", pair)
                .hint("write --file PATH=FILE")
        })?;
        paths.push(directory::content(path, &PathBuf::from(file))?);
    }
    let mut tip = arguments.tip;
    if let Some(place) = &arguments.from {
        let (seen, read) = directory::read(merge, place, &paths)?;
        tip = tip.or(seen);
        paths.extend(read);
    }
    if paths.is_empty() {
        return Err(Failure::usage("no path is decided").with("merge", merge).hint(
            format!(
                "name paths with --ours, --theirs, --delete, --file, --layers or --from; `orchestrator merges show {merge}` \
                 lists them"
            ),
        ));
    }
    let answer = ResolveRequest {
        paths,
        tip,
        by: own_name(loaded),
    };
    let attached = Attached::to(loaded, &format!("merge {merge}")).await?;
    let answered = attached.client.resolve_merge(merge, &answer).await;
    finish(loaded, attached, answered, "is in the queue again", json).await
}

async fn look(loaded: &Loaded, merge: i64) -> Result<MergeDetail, Failure> {
    let attached = Attached::to(loaded, &format!("merge {merge}")).await?;
    let detail = attached.client.merge(merge).await;
    attached.close_with(detail).await
}

async fn finish(
    loaded: &Loaded,
    attached: Attached,
    answered: Result<DecidedMerge, api::ClientError>,
    words: &str,
    json: bool,
) -> Result<Exit, Failure> {
    let answered = attached.close_with(answered).await?;
    if json {
        output::document(&answered)?;
    } else {
        let next = loaded.invocation.command(&["follow", &answered.run_short]);
        output::line(&format!("merge {} {words}\n\nnext: {next}", answered.id))?;
    }
    Ok(Exit::Complete)
}

/// The name of the account that answers.
fn own_name(loaded: &Loaded) -> Option<String> {
    loaded.environment.get("USER").map(str::to_owned)
}
