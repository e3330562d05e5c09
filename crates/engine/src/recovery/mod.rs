//! Recovers what dead processes held, and ends overdue runs. It runs in every process and is safe to repeat.

mod leftovers;

pub(crate) use leftovers::clear;

use crate::context::{Context, StepError};
use domain::{
    input::Input,
    limits::RunLimits,
    run::{Reason, ReasonCode},
};

/// Recovers calls and tasks of dead processes.
pub(crate) async fn recover(context: &Context) -> Result<(), store::Error> {
    let lost = context.store.lose_calls(context.holder).await?;
    if lost > domain::NanoDollars::ZERO {
        tracing::warn!(upper_bound = %lost, "Model calls were lost with their process; their upper bounds stay reserved");
        telemetry::llm::discarded(lost);
    }
    for task in context.store.lost_tasks(context.holder).await? {
        let input = Input::ProcessLost {
            fence: task.fence,
            progressed: task.progressed,
        };
        match context.step(task.run, Some(task.task), input, async |_| Ok(())).await {
            Ok(()) | Err(StepError::Refused(_) | StepError::Unknown(_)) => {}
            Err(StepError::Store(error)) => return Err(error),
        }
    }
    Ok(())
}

/// The reason of an overdue run.
pub(crate) fn overdue(limits: &RunLimits) -> Reason {
    let limit = limits.run_s;
    let text = format!("the run took longer than it may (limit run_s = {limit}); raise limits.run_s and run again");
    Reason::new(ReasonCode::Limit, text)
}

/// Ends overdue runs with everything that is running for them.
pub(crate) async fn end_overdue_runs(context: &Context) -> Result<(), store::Error> {
    for run in context.store.overdue_runs().await? {
        let Some(details) = context.store.run_details(run).await? else {
            continue;
        };
        let reason = overdue(&details.limits);
        match context
            .step(run, None, Input::RunFailed { reason }, async |_| Ok(()))
            .await
        {
            Ok(()) | Err(StepError::Refused(_) | StepError::Unknown(_)) => {}
            Err(StepError::Store(error)) => return Err(error),
        }
    }
    Ok(())
}
