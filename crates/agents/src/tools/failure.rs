//! Why a call could not be done, in words for the model that made it.

/// A refused or failed call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ToolFailure {
    /// A short name for telemetry.
    pub(super) kind: &'static str,
    /// What the model is told.
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
