//! Logs on standard error: JSON lines for a server, readable lines for a person, secrets masked in both.

mod json;

use crate::{error::Error, secrets, span::TraceContext};
use std::io::{self, IsTerminal, Write};
use tracing::Span;
use tracing_subscriber::{
    EnvFilter, filter::ParseError, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt,
};

/// What is shown when nothing is asked for.
const DEFAULT_FILTER: &str = "info";
/// Libraries whose ordinary news is noise to whoever runs the product; added where a level is asked for without
/// naming anything.
const QUIET: &str = "sqlx=warn,hyper=warn,hyper_util=warn,h2=warn,reqwest=warn,rustls=warn,tower_http=warn,\
     opentelemetry=warn,opentelemetry_sdk=warn,opentelemetry-otlp=warn,opentelemetry_otlp=warn";
/// This module of the client logs the whole body of an answer it can't read, at the level of errors.
const NEVER: &str = "async_openai::error=off";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Human,
}

/// Installs the subscriber.
pub(crate) fn start(format: LogFormat, filter: Option<&str>) -> Result<(), Error> {
    let asked = filter
        .map(str::trim)
        .filter(|filter| !filter.is_empty())
        .unwrap_or(DEFAULT_FILTER);
    let invalid = |error: ParseError| Error::LogFilter {
        filter: asked.to_owned(),
        error: error.to_string(),
    };
    let is_bare_level = ["info", "debug"].iter().any(|level| asked.eq_ignore_ascii_case(level));
    let filter = if is_bare_level {
        EnvFilter::try_new(format!("{asked},{QUIET}"))
    } else {
        EnvFilter::try_new(asked)
    };
    let filter = filter.map_err(invalid)?.add_directive(NEVER.parse().map_err(invalid)?);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(Stderr);
    let installed = match format {
        LogFormat::Json => registry
            .with(
                layer
                    .fmt_fields(tracing_subscriber::fmt::format::JsonFields::new())
                    .event_format(json::JsonLines),
            )
            .try_init(),
        LogFormat::Human => registry
            .with(layer.compact().with_ansi(io::stderr().is_terminal()))
            .try_init(),
    };
    installed.map_err(|_| Error::AlreadyStarted)
}

/// A scope whose log lines carry the trace, the run, the task and the profile: `work.instrument(scope(…))`.
pub fn scope(
    context: &TraceContext,
    run_id: Option<domain::RunId>,
    task_id: Option<domain::TaskId>,
    worker_profile: Option<&str>,
) -> Span {
    // At the level of errors, so that a filter that shows only errors still shows where they happened.
    tracing::error_span!(
        "work",
        trace_id = context.trace_hex(),
        span_id = context.span_hex(),
        run_id = run_id.map(tracing::field::display),
        task_id = task_id.map(|task| task.0),
        worker_profile,
    )
}

/// Standard error with secrets masked. A line arrives as one write, so none is split across two.
#[derive(Clone, Copy, Debug)]
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        io::stderr().lock().write_all(secrets::redacted(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

impl MakeWriter<'_> for Stderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}
