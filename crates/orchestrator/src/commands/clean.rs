//! `orchestrator clean`: what ended runs left is given up.

use crate::{
    cli::CleanArguments,
    client::{self, Attached},
    config::Loaded,
    failure::{Exit, Failure},
    output,
    wire::{self, Purpose},
};
use api::{CleanAsked, Cleaned};
use engine::bytes_in_words;

/// Cleans up through the server that holds the data directory, or by itself; nothing unfinished is gone on with.
pub(crate) async fn clean(loaded: &Loaded, arguments: &CleanArguments, json: bool) -> Result<Exit, Failure> {
    let asked = CleanAsked {
        dry_run: arguments.dry_run,
        older_than_days: arguments.older_than,
    };
    let cleaned = match is_anything_there(loaded).await? {
        true => {
            let attached = Attached::open(loaded, Purpose::Tidy).await?;
            let cleaned = attached.client.clean(&asked).await;
            attached.close_with(cleaned).await?
        }
        false => Cleaned {
            dry_run: asked.dry_run,
            ..Cleaned::default()
        },
    };
    if json {
        output::document(&cleaned)?;
    } else {
        output::line(&lines(&cleaned).join("\n"))?;
    }
    Ok(Exit::Complete)
}

/// Whether there is something to clear: a server, or a data directory with a database that is there.
async fn is_anything_there(loaded: &Loaded) -> Result<bool, Failure> {
    Ok(client::find(loaded).await.is_some() || loaded.config.data_dir.is_dir() && wire::is_there(loaded).await?)
}

fn lines(cleaned: &Cleaned) -> Vec<String> {
    let mut lines = Vec::new();
    for run in &cleaned.runs {
        let what = if run.trees { "trees and outputs" } else { "outputs" };
        lines.push(format!(
            "{}  ended {}  {what:<17} {:>10} in its hub {:>10} of outputs",
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
        true => ("nothing would be given up", "would come free at once:"),
        false => ("nothing was there to give up", "came free:"),
    };
    lines.push(match (lines.is_empty(), freed.is_empty()) {
        (true, true) => none.to_owned(),
        (false, true) => format!("{head} nothing"),
        (_, false) => format!("{head} {}", freed.join(", ")),
    });
    if cleaned.later_bytes > 0 {
        lines.push(format!(
            "{} in hubs follow once what nothing names any more is six hours old",
            bytes_in_words(cleaned.later_bytes)
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::DiskArea;

    #[test]
    fn a_dry_run_does_not_say_that_anything_went() {
        let mut cleaned = Cleaned {
            dry_run: true,
            runs: Vec::new(),
            caches: Vec::new(),
            references: 0,
            objects: 0,
            freed: Vec::new(),
            later_bytes: 0,
        };
        assert_eq!(lines(&cleaned), ["nothing would be given up"]);
        cleaned.freed = vec![DiskArea {
            area: "cache".into(),
            bytes: 3 << 20,
        }];
        cleaned.later_bytes = 1;
        assert_eq!(
            lines(&cleaned),
            [
                "would come free at once: cache 3 MiB",
                "1 KiB in hubs follow once what nothing names any more is six hours old"
            ]
        );
    }
}
