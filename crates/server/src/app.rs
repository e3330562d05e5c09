//! The application put together: its routes, what every request passes, its start and its end.

use crate::{
    connections::{self, Caps, Descriptors, Waits},
    describe,
    guard::{self, Guard},
    observe::{self, Bounds},
    problem,
    query::{self, Parameters},
    routes,
    settings::Settings,
    state::App,
};
use axum::{Router, middleware};
use engine::Engine;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::{
    InfoBuilder, OpenApi, OpenApiBuilder,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;

/// Answers requests until it is told to stop, then lets those under way end for a while.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(
    listener: TcpListener,
    engine: Engine,
    settings: Settings,
    stop: CancellationToken,
) -> io::Result<()> {
    let listen = listener.local_addr()?;
    let stop_within = settings.stop_within;
    let caps = Caps::new(&settings, Descriptors::now());
    let waits = Waits {
        header: settings.header_within,
        idle: settings.idle_within,
    };
    let app = router(engine, settings, caps, listen, stop.clone());
    tokio::select! {
        () = connections::serve(listener, app, caps, waits, stop.clone()) => {}
        () = async { stop.cancelled().await; tokio::time::sleep(stop_within).await } => {
            tracing::warn!(seconds = stop_within.as_secs(), "requests were still open when the server stopped");
        }
    }
    Ok(())
}

/// The description of the interface, made from the handlers themselves.
pub fn openapi() -> OpenApi {
    let mut document = described().split_for_parts().1;
    describe::complete(&mut document);
    document
}

fn described() -> OpenApiRouter<App> {
    let info = InfoBuilder::new()
        .title("Agent Orchestrator")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "An objective goes in, merged and tested code comes out. Everything that happens to a run is a fact that \
             can be asked for, streamed and counted. Errors are problem details (RFC 9457) that name the value and \
             the way out.",
        ))
        .build();
    let bearer = SecurityScheme::Http(
        HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "Asked for only where the server has a token, as it must off loopback.",
            ))
            .build(),
    );
    let mut document = OpenApiBuilder::new().info(info).build();
    let mut components = utoipa::openapi::Components::new();
    components.add_security_scheme("token", bearer);
    document.components = Some(components);
    routes::all(OpenApiRouter::with_openapi(document))
}

fn router(engine: Engine, settings: Settings, caps: Caps, listen: SocketAddr, stop: CancellationToken) -> Router {
    let (routes, mut document) = described().split_for_parts();
    describe::complete(&mut document);
    let parameters = Arc::new(Parameters::of(&mut document));
    let instance = describe::Instance {
        settings: &settings,
        providers: engine.providers(),
    };
    describe::instance(&mut document, instance);
    let bounds = Bounds {
        requests: Arc::new(Semaphore::new(caps.requests)),
        answer_within: settings.answer_within,
    };
    let guard = Arc::new(Guard::new(settings.clone(), listen));
    let app = App {
        engine,
        streams: Arc::new(Semaphore::new(caps.streams)),
        settings: Arc::new(settings),
        stop,
        openapi: Arc::new(document),
    };
    // The last layer is the first that a request meets: everything is recorded, refusals and panics too.
    routes
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::wrong_method)
        .with_state(app)
        .layer(middleware::from_fn_with_state(parameters, query::check))
        .layer(middleware::from_fn(problem::reworded))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(middleware::from_fn_with_state(bounds, observe::bound))
        .layer(middleware::from_fn_with_state(guard, guard::guard))
        .layer(middleware::from_fn(observe::record))
}
