//! One file for each group of operations.

mod clean;
mod docs;
mod events;
mod health;
mod home;
mod merges;
mod metrics;
mod runs;
mod tasks;
mod waiting;

use crate::state::App;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Every operation, each described where it is written.
pub(crate) fn all(router: OpenApiRouter<App>) -> OpenApiRouter<App> {
    router
        .routes(routes!(runs::submit, runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::deliver))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::show))
        .routes(routes!(merges::list))
        .routes(routes!(waiting::list))
        .routes(routes!(waiting::show))
        .routes(routes!(waiting::resolve))
        .routes(routes!(waiting::send_back))
        .routes(routes!(waiting::reject))
        .routes(routes!(events::stream))
        .routes(routes!(clean::clean))
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::metrics))
        .routes(routes!(metrics::metrics_again))
        .routes(routes!(metrics::metrics_health))
        .routes(routes!(docs::document))
        .merge(home::pages())
}
