//! The application: routes, middleware, start and stop.

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

/// Serves requests until `stop` is cancelled, then gives open requests `stop_within` to finish.
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
            tracing::warn!(seconds = stop_within.as_secs(), "stopped with requests still open");
        }
    }
    Ok(())
}

/// The OpenAPI document, generated from the handlers.
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
            "Takes an objective, and delivers merged and tested code. Every run has a log of events that can be read and \
             streamed. Errors are problem documents (RFC 9457) with the value and what to do.",
        ))
        .build();
    let bearer = SecurityScheme::Http(
        HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "Needed only if the server has a token. A server that listens beyond loopback must have one.",
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
    // The last layer runs first, so that errors and panics are recorded too.
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
