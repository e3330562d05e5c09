//! What the product tells about itself: metrics, spans and logs.
//!
//! Everything that happens is told by a typed event (`telemetry::merge::finished(…)`), which makes the metrics and
//! ends the span; no other crate names a metric or touches OpenTelemetry. Every event is a plain call that never
//! waits, never fails, and does nothing before [`init`].

pub mod catalogue;
mod declaration;
pub mod instrument;
pub mod label;
pub mod reference;

pub mod db;
pub mod http;
pub mod llm;
pub mod merge;
pub mod queue;
pub mod run;
pub mod sandbox;
pub mod system;
pub mod task;
pub mod tool;

pub mod log;
pub mod span;

mod error;
mod start;
mod text;

/// Secrets are kept out of whatever is written down.
pub use ::secrets;

pub use span::TraceContext;
#[doc(hidden)]
pub use text::counter_text;

pub use error::Error;
pub use log::LogFormat;
pub use start::{Settings, Telemetry, init, prometheus_text};

/// The examples of the guide compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/instrumentation.md")]
mod instrumentation_guide {}
