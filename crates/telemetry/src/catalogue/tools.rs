//! Tools that workers call.

use super::{Area, Declaration};
use crate::{
    instrument::{Counter, Distribution, Level},
    label::{Label, Values},
};

/// The area.
pub(super) static AREA: Area = Area {
    title: "Tools",
    metrics: &[&EXECUTIONS, &DURATION, &ACTIVE],
};

const TOOL: Label = Label::of("tool_name", Values::Tools);

pub(crate) static EXECUTIONS: Counter<2> = Counter::new(
    Declaration::new(
        "tool.executions",
        "{execution}",
        "tool_executions_total",
        "Tool calls by result; unknown tool names are counted as other.",
    )
    .labels(&[TOOL, Label::fixed("status", &["completed", "failed"])]),
);

pub(crate) static DURATION: Distribution<1> = Distribution::new(
    Declaration::new(
        "tool.execution.duration",
        "s",
        "tool_execution_duration_seconds",
        "Duration of a tool call.",
    )
    .labels(&[TOOL])
    .buckets(&[
        0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
    ]),
);

pub(crate) static ACTIVE: Level = Level::new(Declaration::new(
    "tool.executions.active",
    "{execution}",
    "tool_executions_active",
    "Running tool calls.",
));
