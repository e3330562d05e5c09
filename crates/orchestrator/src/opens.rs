//! What a command may open where no server answers for the data directory. `cli::Command::opens` has the table.

/// The most that a command opens. Where a server answers, every command but the local ones uses it instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Opens {
    /// Nothing of the data directory, or nothing that outlives the command.
    Nothing,
    /// An existing database, in read-only transactions. None is created.
    ToRead,
    /// An existing database, for one change in one transaction. No dispatcher runs, so no model is called.
    ToChange,
    /// An existing data directory, locked for one job: `clean`, or the delivery of one run.
    ForOneJob,
    /// Everything, created where it is missing. Unfinished runs continue.
    Everything,
}
