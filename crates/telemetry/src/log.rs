//! Logs on standard error: JSON for servers, text for people, with secrets masked in both.

mod json;

use crate::{error::Error, secrets, span::TraceContext};
use std::io::{self, IsTerminal, Write};
use tracing::Span;
use tracing_subscriber::{
    EnvFilter, filter::ParseError, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt,
};

/// The filter if none is configured.
const DEFAULT_FILTER: &str = "info";
/// Keeps routine messages of libraries out of the log; added if the filter is only a level.
const QUIET: &str = "sqlx=warn,hyper=warn,hyper_util=warn,h2=warn,reqwest=warn,rustls=warn,tower_http=warn,\
     opentelemetry=warn,opentelemetry_sdk=warn,opentelemetry-otlp=warn,opentelemetry_otlp=warn";
/// The client library logs whole bodies of unreadable answers at error level.
const NEVER: &str = "async_openai::error=off";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
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

/// A span that adds trace, run, task and profile to log lines: `work.instrument(scope(…))`.
pub fn scope(
    context: &TraceContext,
    run_id: Option<domain::RunId>,
    task_id: Option<domain::TaskId>,
    worker_profile: Option<&str>,
) -> Span {
    // Error level, so that a filter for errors still shows where they happened.
    tracing::error_span!(
        "work",
        trace_id = context.trace_hex(),
        span_id = context.span_hex(),
        run_id = run_id.map(tracing::field::display),
        task_id = task_id.map(|task| task.0),
        worker_profile,
    )
}

/// Standard error with secrets masked. Each line is one write, so no secret is split.
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
