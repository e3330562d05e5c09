//! Facts about the decisions.
