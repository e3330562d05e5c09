//! What a command may open where no server answers for the data directory. `cli::Command::opens` has the table.

/// The most that a command opens. Where a server answers, every command but the local ones asks that one instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Opens {
    /// Nothing of the data directory, or nothing that outlives the command.
    Nothing,
    /// A database that is there, in read-only transactions. Where none is there, none is made.
    ToRead,
    /// A database that is there, for one change in one transaction. No dispatcher runs, so no model is asked.
    ToChange,
    /// A data directory that is there, held for one job: clearing away, or the delivery of one run.
    ForOneJob,
    /// Everything, made where it is missing. What is unfinished goes on.
    Everything,
}
