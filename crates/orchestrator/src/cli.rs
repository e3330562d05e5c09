//! The command line. Each `///` line on a command or a flag is what `--help`, the manual and completions show.

mod arguments;

pub(crate) use arguments::{
    BenchArguments, CleanArguments, CompletionsArguments, DeliverArguments, DemoArguments, FollowArguments,
    LogsArguments, ManArguments, MergeAuditArguments, MergesArguments, MergesCommand, OneRun, ResolveArguments,
    RunArguments, RunsArguments, SandboxArguments, ServeArguments,
};

use crate::opens::Opens;
use clap::{Args, Parser, Subcommand, ValueHint};
use std::path::PathBuf;

/// Printed below `--help`.
const EXIT_CODES: &str = "\
Exit codes:
  0    complete: what was requested is done
  1    the run failed; the reason is printed
  2    bad input: command line, configuration or request
  3    the machine lacks something: database, sandbox, port, disk, server
  4    the run was cancelled
  5    a fault in orchestrator or its server
  130  detached by ctrl-c or q; the run continues if a server has it";

/// Turn an objective into merged, tested code.
///
/// A director plans tasks, workers do them in parallel in sandboxes, and a merge queue lands only what passes your check
/// command.
#[derive(Debug, Parser)]
#[command(name = "orchestrator", bin_name = "orchestrator", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Common {
    /// Configuration file [default: orchestrator.toml in the data directory]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Data directory; a running server is found by it
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print one JSON document on standard output and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an objective and follow it to its end
    Run(RunArguments),
    /// Run the demo: a small repository and a scripted model, without an API key
    Demo(DemoArguments),
    /// Run the server until it is stopped
    Serve(ServeArguments),
    /// Run a remote worker for a server on another machine
    Worker(ServeArguments),
    /// List runs, newest first
    Runs(RunsArguments),
    /// Show a run: its tasks, merges, gate results and cost
    Show(OneRun),
    /// Follow a run to its end; without a server, continue it here
    Follow(FollowArguments),
    /// Print the event log of a run
    Logs(LogsArguments),
    /// Print the changes of a run as a patch
    Diff(OneRun),
    /// List, show and answer merges that wait for you
    Merges(MergesArguments),
    /// Cancel a run; work that has landed stays
    Cancel(OneRun),
    /// Deliver a run's branch again
    Deliver(DeliverArguments),
    /// Delete data of finished runs and report the space freed
    Clean(CleanArguments),
    /// Check this machine and show what to install
    Doctor(SandboxArguments),
    /// Print the effective configuration, with secrets masked
    Config,
    /// Measure the orchestration overhead on this machine
    Bench(BenchArguments),
    /// Redo every merge of a repository and compare it with git's; nothing is written
    MergeAudit(MergeAuditArguments),
    /// Print the completion script of a shell
    Completions(CompletionsArguments),
    /// Print the manual page, or write the pages of all commands
    Man(ManArguments),
}

impl Command {
    /// What the command may open where no server answers for the data directory.
    pub(crate) fn opens(&self) -> Opens {
        match self {
            Self::Config
            | Self::Doctor(_)
            | Self::Bench(_)
            | Self::MergeAudit(_)
            | Self::Completions(_)
            | Self::Man(_) => Opens::Nothing,
            Self::Runs(_) | Self::Show(_) | Self::Logs(_) | Self::Diff(_) => Opens::ToRead,
            Self::Merges(merges) => match &merges.command {
                None | Some(MergesCommand::Show { .. } | MergesCommand::Checkout { .. }) => Opens::ToRead,
                Some(MergesCommand::Resolve(_) | MergesCommand::Return { .. } | MergesCommand::Reject { .. }) => {
                    Opens::ToChange
                }
            },
            Self::Cancel(_) => Opens::ToChange,
            Self::Clean(clean) if clean.dry_run => Opens::ToRead,
            Self::Deliver(_) | Self::Clean(_) => Opens::ForOneJob,
            // `follow` reads first: a run that doesn't exist, or has ended, opens no more than `show` does.
            Self::Run(_) | Self::Follow(_) | Self::Demo(_) | Self::Serve(_) | Self::Worker(_) => Opens::Everything,
        }
    }

    /// The flags about the sandbox, of commands that may start one themselves.
    fn sandbox(&self) -> Option<&SandboxArguments> {
        match self {
            Self::Run(arguments) => Some(&arguments.sandbox),
            Self::Serve(arguments) | Self::Worker(arguments) => Some(&arguments.sandbox),
            Self::Demo(arguments) => Some(&arguments.sandbox),
            Self::Follow(arguments) => Some(&arguments.sandbox),
            Self::Deliver(arguments) => Some(&arguments.sandbox),
            Self::Doctor(sandbox) => Some(sandbox),
            Self::Runs(_)
            | Self::Show(_)
            | Self::Logs(_)
            | Self::Diff(_)
            | Self::Cancel(_)
            | Self::Merges(_)
            | Self::Clean(_)
            | Self::Config
            | Self::Bench(_)
            | Self::MergeAudit(_)
            | Self::Completions(_)
            | Self::Man(_) => None,
        }
    }
}

impl Cli {
    /// The sandbox that was requested.
    pub(crate) fn sandbox(&self) -> Option<&str> {
        self.command.sandbox()?.sandbox.as_deref()
    }
}

#[cfg(test)]
mod tests;
