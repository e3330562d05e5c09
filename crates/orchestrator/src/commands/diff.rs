//! `orchestrator diff`: what a run changed.

use crate::{
    changes,
    client::Attached,
    config::Loaded,
    failure::{Exit, Failure},
    output,
};
use std::path::Path;

/// Prints the difference between a run's base and the branch it delivered.
pub(crate) async fn diff(loaded: &Loaded, run: &str, json: bool) -> Result<Exit, Failure> {
    let attached = Attached::to(loaded, &format!("run {run}")).await?;
    let run = attached.client.run(run).await;
    let run = attached.close_with(run).await?;
    let expired = run
        .expired_at
        .map(|at| format!("its trees were given up on {} (retention)", at.date()));
    let (Some(base), Some(commit)) = (&run.base, &run.delivered_commit) else {
        if let Some(expired) = expired {
            return Err(Failure::usage("there is nothing of the run to compare any more")
                .with("run", &run.short)
                .with("found", expired)
                .hint("it delivered no branch; submit its objective again, and keep runs longer with retention.days"));
        }
        return Err(Failure::usage("the run has delivered nothing yet")
            .with("run", &run.short)
            .with("state", run.state)
            .hint("only a complete run has a branch to compare with"));
    };
    let repository = Path::new(&run.workspace_path);
    let patch = changes::patch(repository, base, commit).ok_or_else(|| {
        let failure = Failure::environment("the difference can't be read")
            .with("repository", repository.display())
            .with("commits", format!("{base}..{commit}"));
        if let Some(expired) = &expired {
            return failure.with("hub", expired).hint(format!(
                "only the branch {} in the repository held it, and that is gone; git reflog may still know it",
                run.branch
            ));
        }
        failure.hint("is the repository still there, and readable by this account?")
    })?;
    if json {
        let patch = String::from_utf8_lossy(&patch);
        output::document(&serde_json::json!({ "run": run.id, "base": base, "commit": commit, "patch": patch }))?;
    } else {
        output::bytes(&patch)?;
    }
    Ok(Exit::Complete)
}
