//! The HTTP server: API, event streams, pages and metrics. Handlers hold no rules: each calls the engine once.

mod app;
mod bind;
mod connections;
mod settings;

mod body;
mod guard;
mod observe;
mod problem;
mod query;

mod convert;
mod describe;
mod docs;
mod pages;
mod routes;
mod state;

pub use app::{openapi, serve};
pub use bind::{BindError, bind};
pub use connections::{Caps, Descriptors, raise_descriptors};
pub use settings::{Settings, Token};
