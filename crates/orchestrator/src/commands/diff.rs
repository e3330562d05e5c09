//! `orchestrator diff`: the changes of a run.

use crate::{
    changes,
    client::Attached,
    config::Loaded,
    failure::{Exit, Failure},
    output,
};
use std::path::Path;

/// Prints the diff from a run's base to its delivered branch.
pub(crate) async fn diff(loaded: &Loaded, run: &str, json: bool) -> Result<Exit, Failure> {
    let attached = Attached::to(loaded, &format!("run {run}")).await?;
    let run = attached.client.run(run).await;
    let run = attached.close_with(run).await?;
    let expired = run
        .expired_at
        .map(|at| format!("its trees were deleted on {} (retention)", at.date()));
    let (Some(base), Some(commit)) = (&run.base_commit, &run.delivered_commit) else {
        if let Some(expired) = expired {
            return Err(Failure::usage("the changes of the run are no longer there")
                .with("run", &run.short)
                .with("found", expired)
                .hint("it delivered no branch; run its objective again, and keep runs longer with retention.days"));
        }
        return Err(Failure::usage("the run has delivered nothing yet")
            .with("run", &run.short)
            .with("state", run.state)
            .hint("only a complete run has changes to show"));
    };
    let repository = Path::new(&run.workspace_path);
    let patch = changes::patch(repository, base, commit).ok_or_else(|| {
        let failure = Failure::environment("the changes can't be read")
            .with("repository", repository.display())
            .with("commits", format!("{base}..{commit}"));
        if let Some(expired) = &expired {
            return failure.with("hub", expired).hint(format!(
                "only the branch {} in the repository had them, and that is gone; git reflog may still name its commit",
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
