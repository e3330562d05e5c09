//! Gauges from the database.

use crate::context::Context;
use domain::{effect::EffectKind, task::TaskState};

/// Updates the gauges.
pub(crate) async fn read(context: &Context) -> Result<(), store::Error> {
    let store = &context.store;
    let states = store.task_states().await?;
    telemetry::task::states(&states);
    let ready = states
        .iter()
        .find(|(state, _)| *state == TaskState::Ready)
        .map_or(0, |(_, count)| *count);
    telemetry::queue::length("work", ready);
    let merges = store.merge_queue_length().await?;
    telemetry::merge::queue_length(merges);
    telemetry::queue::length("merge", merges);
    telemetry::merge::waiting(store.merges_waiting().await?);
    telemetry::run::budget_remaining(store.smallest_budget().await?);
    telemetry::run::active(store.runs_under_way().await?);
    let open = store.open_effects().await?;
    let unknown = open.iter().filter_map(|(effect, _)| effect.as_ref().err());
    context.unknown_effects.update(unknown);
    for kind in EffectKind::ALL {
        let own = open
            .iter()
            .filter(|(effect, _)| matches!(effect, Ok(found) if *found == kind));
        telemetry::queue::length(kind.as_str(), own.map(|(_, count)| count).sum());
    }
    let (active, idle) = store.connections();
    telemetry::db::pool(i64::from(active), i64::from(idle));
    Ok(())
}
