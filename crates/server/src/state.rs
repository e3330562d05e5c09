//! The state of the handlers.

use crate::settings::Settings;
use engine::Engine;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

/// The state of the handlers. Clones share it.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) settings: Arc<Settings>,
    /// Cancelled when open streams must end.
    pub(crate) stop: CancellationToken,
    /// One permit for each open event stream.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) openapi: Arc<OpenApi>,
}
