//! `orchestrator clean`: delete the data of finished runs.

use crate::{
    cli::CleanArguments,
    client::{self, Attached},
    config::Loaded,
    failure::{Exit, Failure},
    output,
    wire::{self, Purpose},
};
use api::{CleanRequest, CleanResult};
use engine::bytes_in_words;

/// Deletes through the server that holds the data directory, or in this process; unfinished runs stay as they are.
pub(crate) async fn clean(loaded: &Loaded, arguments: &CleanArguments, json: bool) -> Result<Exit, Failure> {
    let request = CleanRequest {
        dry_run: arguments.dry_run,
        older_than_days: arguments.older_than,
    };
    let cleaned = match open(loaded, arguments).await? {
        Some(attached) => {
            let cleaned = attached.client.clean(&request).await;
            attached.close_with(cleaned).await?
        }
        None => CleanResult {
            dry_run: request.dry_run,
            ..CleanResult::default()
        },
    };
    if json {
        output::document(&cleaned)?;
    } else {
        output::line(&lines(&cleaned).join("\n"))?;
    }
    Ok(Exit::Complete)
}

/// A dry run only reads. `None` where nothing is there.
async fn open(loaded: &Loaded, arguments: &CleanArguments) -> Result<Option<Attached>, Failure> {
    if arguments.dry_run {
        return Attached::existing(loaded).await;
    }
    let is_there =
        client::find(loaded).await.is_some() || loaded.config.data_dir.is_dir() && wire::is_there(loaded).await?;
    match is_there {
        true => Attached::open(loaded, Purpose::Tidy).await.map(Some),
        false => Ok(None),
    }
}

fn lines(cleaned: &CleanResult) -> Vec<String> {
    let mut lines = Vec::new();
    for run in &cleaned.runs {
        let what = if run.trees { "trees and outputs" } else { "outputs" };
        lines.push(format!(
            "{}  ended {}  {what:<17}  hub {:>10}  outputs {:>10}",
            run.run.short(),
            run.ended_at.date(),
            bytes_in_words(run.hub_bytes),
            bytes_in_words(run.output_bytes),
        ));
    }
    let caches = cleaned.caches.iter();
    lines.extend(caches.map(|cache| format!("build cache of {}  {}", cache.name, bytes_in_words(cache.bytes))));
    let freed: Vec<String> = cleaned
        .freed
        .iter()
        .filter(|area| area.bytes > 0)
        .map(|area| format!("{} {}", area.area, bytes_in_words(area.bytes)))
        .collect();
    let (none, head) = match cleaned.dry_run {
        true => ("nothing would be deleted", "would be freed at once:"),
        false => ("nothing to delete", "freed:"),
    };
    lines.push(match (lines.is_empty(), freed.is_empty()) {
        (true, true) => none.to_owned(),
        (false, true) => format!("{head} nothing"),
        (_, false) => format!("{head} {}", freed.join(", ")),
    });
    if cleaned.pending_bytes > 0 {
        lines.push(format!(
            "{} in hubs are freed later: unreferenced objects are kept for six hours",
            bytes_in_words(cleaned.pending_bytes)
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::DiskArea;

    #[test]
    fn dry_run_reports_nothing_as_deleted() {
        let mut cleaned = CleanResult {
            dry_run: true,
            runs: Vec::new(),
            caches: Vec::new(),
            references: 0,
            objects: 0,
            freed: Vec::new(),
            pending_bytes: 0,
        };
        assert_eq!(lines(&cleaned), ["nothing would be deleted"]);
        cleaned.freed = vec![DiskArea {
            area: "cache".into(),
            bytes: 3 << 20,
        }];
        cleaned.pending_bytes = 1;
        assert_eq!(
            lines(&cleaned),
            [
                "would be freed at once: cache 3 MiB",
                "1 KiB in hubs are freed later: unreferenced objects are kept for six hours"
            ]
        );
    }
}
