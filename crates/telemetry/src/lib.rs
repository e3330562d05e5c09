//! Telemetry: metrics, spans and logs.
//!
//! Typed events (`telemetry::merge::finished(…)`) record the metrics; no other crate names a metric or uses OpenTelemetry.
//! Every event is a plain function that never waits, never fails, and does nothing before [`init`].

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

/// Masks secrets in logs, spans and everything else that is written.
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
