//! Failed calls, described for the model that made them.

/// A refused or failed call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ToolFailure {
    /// A short name for telemetry.
    pub(super) kind: &'static str,
    /// The answer to the model.
    pub(super) text: String,
}

impl ToolFailure {
    pub(super) fn new(kind: &'static str, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}
