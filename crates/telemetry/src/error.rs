//! Why telemetry could not start.

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A process has one telemetry.
    #[error("telemetry was already started in this process; start it once, at the beginning of `main`")]
    AlreadyStarted,
    /// The log filter can't be read.
    #[error("log filter `{filter}` can't be read: {error}; write it as `info` or `warn,engine=debug`")]
    LogFilter {
        /// The filter as configured.
        filter: String,
        /// What is wrong with it.
        error: String,
    },
    /// The collector's address is invalid.
    #[error(
        "`{0}` is not the address of an OTLP collector; set OTEL_EXPORTER_OTLP_ENDPOINT to something like \
         http://localhost:4318, or unset it"
    )]
    Endpoint(String),
    /// Spans can't be exported.
    #[error("the export of spans could not start: {0}; unset OTEL_EXPORTER_OTLP_ENDPOINT to run without it")]
    Export(String),
    /// Metrics can't be exported.
    #[error("the metrics registry could not start: {0}")]
    Metrics(String),
}
