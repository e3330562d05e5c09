//! `orchestrator follow`: follow a run to its end.

use super::end;
use crate::{
    cli::FollowArguments,
    client::Attached,
    config::Loaded,
    failure::{Exit, Failure},
    following::{self, Since},
    wire::Purpose,
};

/// Follows a run to its end. Without a server, this process continues the run.
pub(crate) async fn follow(loaded: &Loaded, arguments: &FollowArguments, json: bool) -> Result<Exit, Failure> {
    let attached = Attached::to(loaded, &format!("run {}", arguments.run)).await?;
    let run = match attached.client.run(&arguments.run).await {
        Ok(run) => run,
        Err(error) => return attached.close_with(Err(error)).await,
    };
    // A run that has ended is only read.
    let attached = match attached.is_here() && !run.state.is_final() {
        true => {
            attached.close().await;
            Attached::open(loaded, Purpose::Work).await?
        }
        false => attached,
    };
    let id = run.id.to_string();
    let (attached, ending) =
        following::follow(attached, loaded, &id, Since::Now, end::mode(json, arguments.quiet)).await?;
    end::end(attached, loaded, &run.short, ending, json).await
}
