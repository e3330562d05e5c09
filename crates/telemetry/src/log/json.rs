//! Formats each log event as one flat JSON object: timestamp, level, target, message, then the fields of its spans and its
//! own, so that `run_id` is at the same place in every line.

use serde_json::{Map, Value};
use std::fmt;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormattedFields,
        format::{JsonFields, Writer},
    },
    registry::LookupSpan,
};

/// The format of a server's logs.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonLines;

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let text = extensions
                .get::<FormattedFields<JsonFields>>()
                .map(|fields| fields.fields.as_str());
            if let Some(Ok(Value::Object(outer))) = text.map(serde_json::from_str) {
                fields.0.extend(outer);
            }
        }
        event.record(&mut fields);
        let mut fields = fields.0;
        // Events from the `log` crate name their target in a field.
        let logged_target = fields.remove("log.target");
        fields.retain(|name, _| !name.starts_with("log."));
        let target = logged_target.unwrap_or_else(|| event.metadata().target().into());
        // OpenTelemetry's own events have a name instead of a message.
        let message = fields
            .remove("message")
            .or_else(|| fields.get("name").cloned())
            .unwrap_or_default();
        let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let level = event.metadata().level().as_str();
        write!(
            writer,
            r#"{{"timestamp":"{now}","level":"{level}","target":{target},"message":{message}"#
        )?;
        for (name, value) in &fields {
            write!(writer, ",{}:{value}", Value::from(name.as_str()))?;
        }
        writeln!(writer, "}}")
    }
}

#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.insert(field, value.to_string());
    }
}
