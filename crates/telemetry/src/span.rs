//! Spans: one trace per run, across restarts and machines.
//!
//! ```text
//! invoke_workflow                         run
//! ├ plan director → chat {model}
//! └ task {profile}
//!   └ invoke_agent {profile}
//!     ├ turn n → chat {model} | execute_tool {tool}
//!     └ git.merge                         linked to the worker's span
//!        ├ git.lock.wait
//!        ├ git.conflict.resolve → chat {model}
//!        └ gate.verify
//! ```
//!
//! A parent is always passed explicitly, never taken from the thread: a guard may cross an await and move between threads.
//! A run, for example, can outlive a process. So its identity is created beforehand ([`TraceContext::generate`]) and stored
//! with it, its children name it as their parent, and its span is emitted when it ends ([`late`]).

pub mod attributes;
mod context;
mod kind;
pub(crate) mod otlp;

pub use context::{InvalidTraceContext, TraceContext};
pub use kind::SpanKind;
pub use opentelemetry::Value;

use opentelemetry::{
    Context, KeyValue, StringValue,
    trace::{Span as _, SpanBuilder, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use std::{
    borrow::Cow,
    sync::OnceLock,
    time::{Duration, Instant, SystemTime},
};

/// Set when spans are exported.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Exports spans from now on.
pub(crate) fn start(tracer: SdkTracer) {
    TRACER.get_or_init(|| tracer);
}

/// A running span; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the span ends when this is dropped"]
pub struct SpanGuard {
    context: TraceContext,
    started: Instant,
    failed: bool,
    span: Option<Span>,
}

/// Starts a span under `parent`.
pub fn child(parent: &TraceContext, kind: SpanKind<'_>) -> SpanGuard {
    begin(parent.child(), Some(parent), kind, None)
}

/// Starts a span under `parent` with an earlier start time, such as a wait that started in another process.
pub fn child_since(parent: &TraceContext, kind: SpanKind<'_>, start: SystemTime) -> SpanGuard {
    begin(parent.child(), Some(parent), kind, Some(start))
}

fn begin(
    context: TraceContext,
    parent: Option<&TraceContext>,
    kind: SpanKind<'_>,
    start: Option<SystemTime>,
) -> SpanGuard {
    let span = TRACER.get().map(|tracer| {
        let parent = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(parent.to_span_context())
        });
        let mut builder: SpanBuilder = tracer.span_builder(kind.name()).with_kind(kind.direction());
        builder = builder.with_attributes(kind.attributes());
        builder.start_time = start;
        context::with_identity(context, || tracer.build_with_context(builder, &parent))
    });
    SpanGuard {
        context,
        started: Instant::now(),
        failed: false,
        span,
    }
}

impl SpanGuard {
    /// The identity that children of this span name as their parent.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// How long this guard has lived.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Sets an attribute; the names are in [`attributes`].
    pub fn attr(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        if let Some(span) = &mut self.span {
            span.set_attribute(KeyValue::new(name, value));
        }
        self
    }

    /// Records an event, such as a retry or a change of state.
    pub fn event(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        attributes: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> &mut Self {
        if let Some(span) = &mut self.span {
            let attributes = attributes.into_iter().map(|(name, value)| KeyValue::new(name, value));
            span.add_event(name, attributes.collect());
        }
        self
    }

    /// Links to a related span.
    pub fn link(&mut self, other: &TraceContext) -> &mut Self {
        if let Some(span) = &mut self.span {
            span.add_link(other.to_span_context(), Vec::new());
        }
        self
    }

    /// Records the answer of a model.
    pub fn answer(
        &mut self,
        response_model: &str,
        finish_reason: &str,
        input_tokens: u64,
        output_tokens: u64,
    ) -> &mut Self {
        self.attr(attributes::RESPONSE_MODEL, response_model.to_owned())
            .attr(
                attributes::FINISH_REASONS,
                Value::Array(vec![StringValue::from(finish_reason.to_owned())].into()),
            )
            .attr(
                attributes::INPUT_TOKENS,
                i64::try_from(input_tokens).unwrap_or(i64::MAX),
            )
            .attr(
                attributes::OUTPUT_TOKENS,
                i64::try_from(output_tokens).unwrap_or(i64::MAX),
            )
    }

    /// The operation failed; `error_type` is a short name for the kind of failure, not its text.
    pub fn fail(&mut self, error_type: &str) -> &mut Self {
        self.failed = true;
        if let Some(span) = &mut self.span {
            span.set_attribute(KeyValue::new(attributes::ERROR_TYPE, error_type.to_owned()));
            span.set_status(Status::error(error_type.to_owned()));
        }
        self
    }

    /// The same, unless a failure was named already.
    pub(crate) fn fail_unless_failed(&mut self, error_type: &str) {
        if !self.failed {
            self.fail(error_type);
        }
    }
}

/// A span that is emitted when it ends, with an identity created at its start.
#[derive(Debug)]
#[must_use = "nothing is emitted before `finish`"]
pub struct LateSpan<'a> {
    context: TraceContext,
    parent: Option<TraceContext>,
    kind: SpanKind<'a>,
    attributes: Vec<(&'static str, Value)>,
    events: Vec<(String, SystemTime)>,
}

/// The root span of a run, whose identity is `context`.
pub fn run<'a>(context: &TraceContext) -> LateSpan<'a> {
    LateSpan {
        context: *context,
        parent: None,
        kind: SpanKind::Run,
        attributes: Vec::new(),
        events: Vec::new(),
    }
}

/// A span with an identity created beforehand ([`TraceContext::child`] of its parent).
pub fn late<'a>(context: &TraceContext, parent: &TraceContext, kind: SpanKind<'a>) -> LateSpan<'a> {
    LateSpan {
        context: *context,
        parent: Some(*parent),
        kind,
        attributes: Vec::new(),
        events: Vec::new(),
    }
}

impl LateSpan<'_> {
    /// Sets an attribute; the names are in [`attributes`].
    pub fn attr(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// Records an event at this time, such as a change of state.
    pub fn event(mut self, name: impl Into<String>, at: SystemTime) -> Self {
        self.events.push((name.into(), at));
        self
    }

    /// Emits the span. `error_type` is a short name for the kind of failure, if it failed.
    pub fn finish(self, start: SystemTime, end: SystemTime, error_type: Option<&str>) {
        let mut guard = begin(self.context, self.parent.as_ref(), self.kind, Some(start));
        for (name, value) in self.attributes {
            guard.attr(name, value);
        }
        if let Some(error_type) = error_type {
            guard.fail(error_type);
        }
        if let Some(span) = &mut guard.span {
            for (name, at) in self.events {
                span.add_event_with_timestamp(name, at, Vec::new());
            }
            span.end_with_timestamp(end.max(start));
        }
    }
}
