//! Sends finished spans to a collector. Spans wait in a bounded queue that drops instead of blocking, and separate threads
//! send them, so a slow, broken or missing collector only loses spans.

use super::context::Identities;
use crate::{Error, secrets};
use opentelemetry::{KeyValue, Value, trace::TracerProvider};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{SdkTracer, SdkTracerProvider, SpanData, SpanExporter},
};
use std::{borrow::Cow, sync::Arc, time::Duration};
use tokio::runtime::Runtime;

/// The variables that choose the protocol; the default is protobuf, which every collector reads.
const PROTOCOL_VARIABLES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
/// The time limit of one request to the collector.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest attribute, in characters.
const MAX_ATTRIBUTE_LENGTH: usize = 4096;

/// The provider of tracers that send to `/v1/traces` of the collector at `endpoint`.
pub(crate) fn provider(endpoint: &str, resource: Resource) -> Result<(SdkTracerProvider, SdkTracer), Error> {
    let url = traces_url(endpoint)?;
    // A second installation fails and changes nothing; any installed provider works.
    rustls::crypto::ring::default_provider().install_default().ok();
    let failed = |error: String| Error::Export(secrets::redact(&error));
    let client = reqwest::Client::builder()
        .timeout(REQUEST_TIMEOUT)
        .build()
        .map_err(|e| failed(e.to_string()))?;
    let mut builder = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(url)
        .with_timeout(REQUEST_TIMEOUT);
    if PROTOCOL_VARIABLES.iter().all(|name| std::env::var_os(name).is_none()) {
        builder = builder.with_protocol(Protocol::HttpBinary);
    }
    let exporter = builder.build().map_err(|error| failed(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("span-export")
        .enable_all()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(Exporter {
            inner: Arc::new(exporter),
            runtime: Some(runtime),
        })
        .with_id_generator(Identities::default())
        .with_resource(resource)
        .build();
    let tracer = provider.tracer("agent-orchestrator");
    Ok((provider, tracer))
}

fn traces_url(endpoint: &str) -> Result<String, Error> {
    let url = reqwest::Url::parse(endpoint)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| Error::Endpoint(secrets::redact(endpoint)))?;
    let base = url.as_str().trim_end_matches('/');
    Ok(if base.ends_with("/v1/traces") {
        base.to_owned()
    } else {
        format!("{base}/v1/traces")
    })
}

/// The exporter with its own runtime: the HTTP client needs one, and the batching thread has none.
#[derive(Debug)]
struct Exporter {
    inner: Arc<opentelemetry_otlp::SpanExporter>,
    runtime: Option<Runtime>,
}

impl SpanExporter for Exporter {
    fn export(&self, mut batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        batch.iter_mut().for_each(clean);
        let exporter = Arc::clone(&self.inner);
        let sending = self
            .runtime
            .as_ref()
            .map(|runtime| runtime.spawn(async move { exporter.export(batch).await }));
        async move {
            match sending {
                Some(sending) => sending
                    .await
                    .map_err(|e| OTelSdkError::InternalFailure(e.to_string()))?,
                None => Err(OTelSdkError::AlreadyShutdown),
            }
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(exporter) = Arc::get_mut(&mut self.inner) {
            exporter.set_resource(resource);
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Masks secrets in a span and truncates long texts.
fn clean(span: &mut SpanData) {
    clean_text(&mut span.name);
    span.attributes.iter_mut().for_each(clean_attribute);
    for event in &mut span.events.events {
        clean_text(&mut event.name);
        event.attributes.iter_mut().for_each(clean_attribute);
    }
    if let opentelemetry::trace::Status::Error { description } = &mut span.status {
        clean_text(description);
    }
}

fn clean_attribute(attribute: &mut KeyValue) {
    let is_text = matches!(
        attribute.value,
        Value::String(_) | Value::Array(opentelemetry::Array::String(_))
    );
    if is_text {
        let text = attribute.value.as_str();
        if let Cow::Owned(cleaned) = cleaned(&text) {
            attribute.value = Value::from(cleaned);
        }
    }
}

fn clean_text(text: &mut Cow<'static, str>) {
    if let Cow::Owned(cleaned) = cleaned(text) {
        *text = Cow::Owned(cleaned);
    }
}

fn cleaned(text: &str) -> Cow<'_, str> {
    let masked = secrets::redacted(text);
    match masked.char_indices().nth(MAX_ATTRIBUTE_LENGTH) {
        Some((end, _)) => Cow::Owned(masked[..end].to_owned()),
        None => masked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_gets_the_traces_path_once() {
        assert_eq!(
            traces_url("http://localhost:4318").unwrap(),
            "http://localhost:4318/v1/traces"
        );
        assert_eq!(
            traces_url("http://localhost:4318/").unwrap(),
            "http://localhost:4318/v1/traces"
        );
        assert_eq!(
            traces_url("https://c.example/v1/traces").unwrap(),
            "https://c.example/v1/traces"
        );
    }

    #[test]
    fn non_http_endpoint_is_rejected_by_name() {
        for endpoint in ["localhost:4318", "not a url", "grpc://localhost:4317"] {
            let error = traces_url(endpoint).unwrap_err().to_string();
            assert!(
                error.contains(endpoint) && error.contains("OTEL_EXPORTER_OTLP_ENDPOINT"),
                "{error}"
            );
        }
    }

    #[test]
    fn attributes_are_masked_and_truncated() {
        let mut attribute = KeyValue::new("x", format!("Bearer abcdefgh12345678 {}", "y".repeat(10_000)));
        clean_attribute(&mut attribute);
        let text = attribute.value.as_str().into_owned();
        assert!(
            !text.contains("abcdefgh") && text.len() <= MAX_ATTRIBUTE_LENGTH,
            "{text}"
        );
    }
}
