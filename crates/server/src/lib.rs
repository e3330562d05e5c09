//! The HTTP interface: routes, streams, pages and metrics. Handlers hold no rules: each asks the engine one thing.

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
