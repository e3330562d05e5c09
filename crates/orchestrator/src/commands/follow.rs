//! `orchestrator follow`: back to a run.

use super::end;
use crate::{
    cli::FollowArguments,
    client::{Attached, failure},
    config::Loaded,
    failure::{Exit, Failure},
    following::{self, Since},
    wire::Purpose,
};

/// Follows a run to its end. Without a server this process goes on with it.
pub(crate) async fn follow(loaded: &Loaded, arguments: &FollowArguments, json: bool) -> Result<Exit, Failure> {
    let attached = Attached::open(loaded, Purpose::Work).await?;
    let run = match attached.client.run(&arguments.run).await {
        Ok(run) => run,
        Err(error) => {
            attached.close().await;
            return Err(failure(error));
        }
    };
    let id = run.id.to_string();
    let (attached, ending) =
        following::follow(attached, loaded, &id, Since::Now, end::mode(json, arguments.quiet)).await?;
    end::end(attached, loaded, &run.short, ending, json).await
}
