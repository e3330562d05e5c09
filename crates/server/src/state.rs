//! What handlers have at hand.

use crate::settings::Settings;
use engine::Engine;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

/// What handlers have at hand. Clones share it.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) settings: Arc<Settings>,
    /// Cancelled when open streams are to end.
    pub(crate) stop: CancellationToken,
    /// One permit for each event stream.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) openapi: Arc<OpenApi>,
}
