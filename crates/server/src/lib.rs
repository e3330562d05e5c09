//! The HTTP interface: routes, streams, pages and metrics. Handlers hold no rules: each asks the engine one thing.

mod app;
mod bind;
mod settings;

mod guard;
mod observe;
mod problem;

mod convert;
mod docs;
mod pages;
mod routes;

pub use app::{openapi, serve};
pub use bind::{BindError, bind};
pub use settings::{Settings, Token};
