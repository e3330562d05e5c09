//! Totals of a check, for comparison with another run of it.

/// How many tests a check ran on a tree, and whether its output adds up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TestTotals {
    /// Tests that ran, where the output tells.
    pub(super) tests: Option<u64>,
    /// Lines in which a runner sums up.
    pub(super) summaries: usize,
    /// Whether numbers of results are missing or doubled.
    pub(super) is_odd: bool,
}
