//! Starts and stops telemetry.

use crate::{
    catalogue,
    error::Error,
    label,
    log::{self, LogFormat},
    secrets, span, system, text,
};
use opentelemetry::{InstrumentationScope, KeyValue, metrics::MeterProvider};
use opentelemetry_sdk::{
    Resource,
    metrics::{Aggregation, Instrument, SdkMeterProvider, Stream},
    trace::SdkTracerProvider,
};
use prometheus::Registry;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// The settings of telemetry.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The worker profiles; others are recorded as `other`.
    pub profiles: Vec<String>,
    /// The models of the price table and the configuration; others are recorded as `other`.
    pub models: Vec<String>,
    /// The tools; others are recorded as `other`.
    pub tools: Vec<String>,
    /// Whether metrics also appear under the names that older dashboards use.
    pub compatibility_names: bool,
    /// Whether metrics are collected at all.
    pub metrics_enabled: bool,
    /// The environment, such as `production`.
    pub environment: String,
    /// The product's version.
    pub version: String,
    /// The base address of an OTLP collector over HTTP; without it no spans are exported.
    pub otlp_endpoint: Option<String>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The log filter in the syntax of `RUST_LOG`; `info` without library noise if absent.
    pub log_filter: Option<String>,
    /// The directory whose file system is measured.
    pub data_dir_for_disk: PathBuf,
    /// Values that are masked in logs and spans.
    pub secrets: Vec<String>,
}

/// How long stopping waits for the last spans to be sent.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

static STARTED: AtomicBool = AtomicBool::new(false);
/// The provider is kept because instruments stop working without it.
static METRICS: OnceLock<(SdkMeterProvider, Registry)> = OnceLock::new();

/// Running telemetry.
#[derive(Debug)]
#[must_use = "call `shutdown` at the end, or the last spans are lost"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends the remaining spans within a few seconds. A collector that does not answer is not an error.
    pub fn shutdown(self) {
        if let Some(traces) = self.traces
            && let Err(error) = traces.shutdown_with_timeout(SHUTDOWN_TIMEOUT)
        {
            tracing::debug!(%error, "the last spans could not be exported");
        }
    }
}

/// Starts logs, metrics and, with a collector, the export of spans. Call it once per process; after a settings error it
/// may be called again.
pub fn init(settings: Settings) -> Result<Telemetry, Error> {
    if STARTED.swap(true, Ordering::SeqCst) {
        return Err(Error::AlreadyStarted);
    }
    start(settings).inspect_err(|_| STARTED.store(false, Ordering::SeqCst))
}

fn start(settings: Settings) -> Result<Telemetry, Error> {
    // The caller reports values that can't be masked, because it knows their source.
    let register = |secret: &String| secrets::register_secret(secret.clone());
    settings.secrets.iter().for_each(|secret| {
        register(secret);
    });
    let resource = Resource::builder()
        .with_service_name("agent-orchestrator")
        .with_attributes([
            KeyValue::new("service.version", settings.version.clone()),
            KeyValue::new("deployment.environment.name", settings.environment.clone()),
        ])
        .build();
    let traces = settings
        .otlp_endpoint
        .as_deref()
        .filter(|endpoint| !endpoint.trim().is_empty());
    let traces = traces
        .map(|endpoint| span::otlp::provider(endpoint, resource.clone()))
        .transpose()?;
    log::start(settings.log_format, settings.log_filter.as_deref())?;
    let traces = traces.map(|(provider, tracer)| {
        span::start(tracer);
        provider
    });
    if settings.metrics_enabled {
        start_metrics(&settings, resource)?;
    }
    Ok(Telemetry { traces })
}

fn start_metrics(settings: &Settings, resource: Resource) -> Result<(), Error> {
    label::configure(&settings.models, &settings.tools, &settings.profiles);
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .without_target_info()
        .build()
        .map_err(|error| Error::Metrics(error.to_string()))?;
    let provider = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(exporter)
        .with_view(views())
        .build();
    let meter = provider.meter_with_scope(InstrumentationScope::builder("agent-orchestrator").build());
    for metric in catalogue::metrics() {
        if settings.compatibility_names || !metric.declaration().compatibility {
            metric.start(&meter);
        }
    }
    catalogue::system::BUILD_INFO.set(1.0, [&settings.version, &settings.environment]);
    system::start(settings.data_dir_for_disk.clone());
    METRICS.get_or_init(|| (provider, registry));
    Ok(())
}

/// Gives each metric its buckets and its series limit.
fn views() -> impl Fn(&Instrument) -> Option<Stream> + Send + Sync + 'static {
    let limits: HashMap<_, _> = catalogue::declarations()
        .map(|declaration| (declaration.otel, (declaration, declaration.effective_series_limit())))
        .collect();
    move |instrument| {
        let (declaration, series_limit) = limits.get(instrument.name())?;
        let mut stream = Stream::builder().with_cardinality_limit(*series_limit);
        if !declaration.buckets.is_empty() {
            stream = stream.with_aggregation(Aggregation::ExplicitBucketHistogram {
                boundaries: declaration.buckets.to_vec(),
                record_min_max: false,
            });
        }
        stream.build().ok()
    }
}

/// All metrics in the Prometheus text format; empty if metrics are disabled.
pub fn prometheus_text() -> String {
    METRICS
        .get()
        .map(|(_, registry)| text::encode(&registry.gather()))
        .unwrap_or_default()
}
