//! The identity of a span, created by the product so that it can be stored and referenced before the span is emitted.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{cell::Cell, fmt, str::FromStr};

/// A trace and a span in it. Its text is that of the W3C `traceparent` header; its JSON is an object of two hexadecimal
/// texts, `trace_id` and `span_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TraceContext {
    /// The trace, which all spans of a run share.
    #[serde(serialize_with = "trace_to_hex", deserialize_with = "trace_from_hex")]
    pub trace_id: u128,
    /// The span.
    #[serde(serialize_with = "span_to_hex", deserialize_with = "span_from_hex")]
    pub span_id: u64,
}

/// A text that is not the identity of a span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a trace context: expected 00-<32 hexadecimal digits>-<16 hexadecimal digits>-01")]
pub struct InvalidTraceContext(String);

impl TraceContext {
    /// The root of a new trace.
    pub fn generate() -> Self {
        let random = RandomIdGenerator::default();
        Self {
            trace_id: u128::from_be_bytes(random.new_trace_id().to_bytes()),
            span_id: u64::from_be_bytes(random.new_span_id().to_bytes()),
        }
    }

    /// A new span of the same trace.
    pub fn child(&self) -> Self {
        Self {
            trace_id: self.trace_id,
            ..Self::generate()
        }
    }

    /// The trace in 32 hexadecimal digits, as in logs and trace viewers.
    pub fn trace_hex(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The span in 16 hexadecimal digits.
    pub fn span_hex(&self) -> String {
        format!("{:016x}", self.span_id)
    }

    pub(super) fn to_span_context(self) -> SpanContext {
        let (trace_id, span_id) = (TraceId::from(self.trace_id), SpanId::from(self.span_id));
        SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, true, TraceState::default())
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-01", self.trace_id, self.span_id)
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidTraceContext(text.chars().take(80).collect());
        let mut parts = text.split('-');
        let (Some("00"), Some(trace), Some(span), Some(_flags), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid());
        };
        match (parse_trace(trace), parse_span(span)) {
            (Some(trace_id), Some(span_id)) => Ok(Self { trace_id, span_id }),
            _ => Err(invalid()),
        }
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn parse_trace(hex: &str) -> Option<u128> {
    is_hex(hex, 32)
        .then(|| u128::from_str_radix(hex, 16).ok())
        .flatten()
        .filter(|id| *id != 0)
}

fn parse_span(hex: &str) -> Option<u64> {
    is_hex(hex, 16)
        .then(|| u64::from_str_radix(hex, 16).ok())
        .flatten()
        .filter(|id| *id != 0)
}

fn trace_to_hex<S: Serializer>(id: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{id:032x}"))
}

fn span_to_hex<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{id:016x}"))
}

fn trace_from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    let hex = String::deserialize(deserializer)?;
    parse_trace(&hex).ok_or_else(|| serde::de::Error::custom("trace_id is not 32 hexadecimal digits"))
}

fn span_from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let hex = String::deserialize(deserializer)?;
    parse_span(&hex).ok_or_else(|| serde::de::Error::custom("span_id is not 16 hexadecimal digits"))
}

thread_local! {
    /// The identity of the span that is being built on this thread.
    static IDENTITY: Cell<Option<TraceContext>> = const { Cell::new(None) };
}

/// Builds a span with this identity. Building is synchronous, so a thread local suffices.
pub(super) fn with_identity<T>(context: TraceContext, build: impl FnOnce() -> T) -> T {
    IDENTITY.set(Some(context));
    let built = build();
    IDENTITY.set(None);
    built
}

/// Gives the span that is being built its prepared identity.
#[derive(Debug, Default)]
pub(super) struct Identities(RandomIdGenerator);

impl IdGenerator for Identities {
    fn new_trace_id(&self) -> TraceId {
        IDENTITY
            .get()
            .map_or_else(|| self.0.new_trace_id(), |context| TraceId::from(context.trace_id))
    }

    fn new_span_id(&self) -> SpanId {
        IDENTITY
            .get()
            .map_or_else(|| self.0.new_span_id(), |context| SpanId::from(context.span_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_round_trips() {
        let context = TraceContext {
            trace_id: 0xabc,
            span_id: 0x1f,
        };
        let json = serde_json::to_string(&context).unwrap();
        assert_eq!(
            json,
            r#"{"trace_id":"00000000000000000000000000000abc","span_id":"000000000000001f"}"#
        );
        assert_eq!(serde_json::from_str::<TraceContext>(&json).unwrap(), context);
        assert_eq!(context.to_string().parse::<TraceContext>().unwrap(), context);
    }

    #[test]
    fn invalid_context_is_rejected_by_name() {
        for text in [
            "",
            "00-1-1-01",
            "00-+0000000000000000000000000000abc-000000000000001f-01",
            "99-x-y-z-w",
        ] {
            let error = text.parse::<TraceContext>().unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
        assert!(serde_json::from_str::<TraceContext>(r#"{"trace_id":"1","span_id":"1"}"#).is_err());
    }

    #[test]
    fn child_stays_in_the_trace() {
        let root = TraceContext::generate();
        let child = root.child();
        assert_eq!(child.trace_id, root.trace_id);
        assert_ne!(child.span_id, root.span_id);
    }
}
