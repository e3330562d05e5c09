//! Events of tool calls.

use crate::{
    catalogue::tools::{ACTIVE, DURATION, EXECUTIONS},
    span::{self, SpanGuard, SpanKind, TraceContext},
};
use std::time::Instant;

/// A running tool call. Dropping it before `completed` counts as failed.
#[derive(Debug)]
#[must_use = "the call counts as failed when this is dropped"]
pub struct ToolRunning {
    name: String,
    started: Instant,
    completed: bool,
    span: Option<SpanGuard>,
}

/// A tool was called by this name; unknown names are recorded as `other`.
pub fn started(name: &str) -> ToolRunning {
    ACTIVE.change(1, []);
    ToolRunning {
        name: name.to_owned(),
        started: Instant::now(),
        completed: false,
        span: None,
    }
}

/// The same with a span under `parent`, which ends with the call.
pub fn started_in(parent: &TraceContext, name: &str) -> ToolRunning {
    let mut running = started(name);
    running.span = Some(span::child(parent, SpanKind::Tool { name }));
    running
}

impl ToolRunning {
    /// The call succeeded.
    pub fn completed(mut self) {
        self.completed = true;
    }

    /// The call failed; `error_type` is a short name for the kind of failure, not its text.
    pub fn failed(mut self, error_type: &str) {
        if let Some(span) = &mut self.span {
            span.fail(error_type);
        }
    }

    /// The call's span, if it has one.
    pub fn span(&mut self) -> Option<&mut SpanGuard> {
        self.span.as_mut()
    }
}

impl Drop for ToolRunning {
    fn drop(&mut self) {
        let status = if self.completed { "completed" } else { "failed" };
        if let Some(span) = &mut self.span
            && !self.completed
        {
            span.fail_unless_failed("unfinished");
        }
        ACTIVE.change(-1, []);
        EXECUTIONS.add(1, [&self.name, status]);
        DURATION.observe(self.started.elapsed(), [&self.name]);
    }
}
