//! The command line.

use crate::{config::Overrides, failure::EXIT_CODES, opens::Opens};
use clap::{Args, Parser, Subcommand};
use std::{net::SocketAddr, path::PathBuf};

/// Turns an objective into merged, tested code.
///
/// A director plans tasks, workers do them side by side in sandboxes, a merge queue brings them together, and what
/// lands has passed your own check command.
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
pub(crate) struct Common {
    /// The configuration file [default: orchestrator.toml in the data directory]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything is kept, and by which a running server is found
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// One JSON document on standard output, and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Work on an objective and follow it to its end
    Run(RunArguments),
    /// Play the demo: the whole product on a small repository, with a scripted model
    Demo(DemoArguments),
    /// Run the server, until a signal
    Serve(ServeArguments),
    /// Lend a hand to a server on another machine: work on its tasks, merges and checks, until a signal
    Worker(ServeArguments),
    /// List runs, newest first
    Runs(RunsArguments),
    /// Show one run: its tasks, merges, gate results and cost
    Show(OneRun),
    /// Come back to a run and follow it to its end
    Follow(FollowArguments),
    /// Print a run's log, one fact a line
    Logs(LogsArguments),
    /// Print what a run changed, as a patch
    Diff(OneRun),
    /// List merges that wait for you, show one, answer it
    Merges(MergesArguments),
    /// End a run; what has landed stays
    Cancel(OneRun),
    /// Hand a run's work over once more, or at last, and say what came of each step
    Deliver(DeliverArguments),
    /// Give up what ended runs left, and say what came free
    Clean(CleanArguments),
    /// Check this machine: what is missing, and how to get it
    Doctor(HarnessArguments),
    /// Print the effective configuration, secrets masked
    Config,
    /// Measure the orchestration's own costs on this machine
    Bench(BenchArguments),
    /// Make every merge of a repository again, beside git's own, without writing to it
    MergeAudit(MergeAuditArguments),
}

/// `run`
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// What is wanted, in words; - reads it from standard input
    pub(crate) objective: String,
    #[command(flatten)]
    pub(crate) harness: HarnessArguments,
    /// The repository to work on; a path that does not exist becomes a new one
    #[arg(short, long, value_name = "PATH", default_value = ".")]
    pub(crate) workspace: PathBuf,
    /// Make a repository of a directory that has files and none: they become its first commit
    #[arg(long)]
    pub(crate) initialise: bool,
    /// The command that checks the merged tree [default: configured or detected]
    #[arg(long, value_name = "COMMAND")]
    pub(crate) check: Option<String>,
    /// Who plans
    #[arg(long, value_name = "PROVIDER/MODEL")]
    pub(crate) director_model: Option<String>,
    /// Who works and resolves conflicts
    #[arg(long, value_name = "PROVIDER/MODEL")]
    pub(crate) worker_model: Option<String>,
    /// Dollars the run may cost
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) max_cost: Option<f64>,
    /// Tasks worked on at one time
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_active: Option<u32>,
    /// Fast-forward the checkout even if work that lands weakens the check or runs by itself [default: configured]
    #[arg(long)]
    pub(crate) allow_integrity_flags: bool,
    /// Print the run's id and leave it to the server
    #[arg(long)]
    pub(crate) detach: bool,
    /// No progress, only the end
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// What a command that may start everything in-process can be told about it.
#[derive(Clone, Debug, Args)]
pub(crate) struct HarnessArguments {
    /// How strongly workers' commands are shut in: bubblewrap or none
    #[arg(long, value_name = "TIER")]
    pub(crate) sandbox: Option<String>,
}

/// `serve` and `worker`
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Where to listen [default: 127.0.0.1:8000]; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) harness: HarnessArguments,
}

/// `demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Keep the server up afterwards, to look around
    #[arg(long)]
    pub(crate) serve: bool,
    /// Where to listen with --serve [default: 127.0.0.1:8000]; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) harness: HarnessArguments,
    /// Rules that go before the resolver's own script: a file, or the word decline
    #[arg(long, value_name = "FILE|decline")]
    pub(crate) resolver_scenario: Option<String>,
    /// No progress, only the end
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `runs`
#[derive(Debug, Args)]
pub(crate) struct RunsArguments {
    /// How many
    #[arg(short = 'n', long, default_value_t = 20, value_name = "NUMBER")]
    pub(crate) limit: u32,
}

/// Commands on one run.
#[derive(Debug, Args)]
pub(crate) struct OneRun {
    /// The run: its id, or the last digits of it
    pub(crate) run: String,
}

/// `deliver`
#[derive(Debug, Args)]
pub(crate) struct DeliverArguments {
    /// The run: its id, or the last digits of it
    pub(crate) run: String,
    /// Fast-forward the checkout although the run has integrity flags
    #[arg(long)]
    pub(crate) allow_integrity_flags: bool,
}

/// `follow`
#[derive(Debug, Args)]
pub(crate) struct FollowArguments {
    /// The run: its id, or the last digits of it
    pub(crate) run: String,
    /// No progress, only the end
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `logs`
#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// The run: its id, or the last digits of it
    pub(crate) run: String,
    /// Go on until the run ends
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// `merges`
#[derive(Debug, Args)]
pub(crate) struct MergesArguments {
    /// Not only those that wait for you
    #[arg(long)]
    pub(crate) all: bool,
    #[command(subcommand)]
    pub(crate) command: Option<MergesCommand>,
}

/// What to do with one merge.
#[derive(Debug, Subcommand)]
pub(crate) enum MergesCommand {
    /// Show a merge: what met where, and who tried what
    Show {
        /// The merge: its number
        #[arg(value_name = "M")]
        merge: i64,
    },
    /// Write the conflicting files with their markers into a directory, for an editor
    Checkout {
        /// The merge: its number
        #[arg(value_name = "M")]
        merge: i64,
        /// The directory; what is there is not overwritten
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Decide conflicting paths; those left out go through the layers again
    Resolve(ResolveArguments),
    /// Send the work back to its worker, for one more try
    Return {
        /// The merge: its number
        #[arg(value_name = "M")]
        merge: i64,
        /// What the worker is to know
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
    /// Give the work up: its task fails
    Reject {
        /// The merge: its number
        #[arg(value_name = "M")]
        merge: i64,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// `merges resolve`
#[derive(Debug, Args)]
pub(crate) struct ResolveArguments {
    /// The merge: its number
    #[arg(value_name = "M")]
    pub(crate) merge: i64,
    /// The branch's version of this path stays
    #[arg(long, value_name = "PATH")]
    pub(crate) ours: Vec<String>,
    /// The work's version of this path is taken
    #[arg(long, value_name = "PATH")]
    pub(crate) theirs: Vec<String>,
    /// This path goes
    #[arg(long, value_name = "PATH")]
    pub(crate) delete: Vec<String>,
    /// This path is left to the layers once more; what was answered for it before is withdrawn
    #[arg(long, value_name = "PATH")]
    pub(crate) layers: Vec<String>,
    /// This path is to hold the text of a file
    #[arg(long, value_name = "PATH=FILE")]
    pub(crate) file: Vec<String>,
    /// The branch's commit that was looked at: refused if another conflict waits by now
    #[arg(long, value_name = "COMMIT")]
    pub(crate) tip: Option<String>,
    /// The texts of a directory that `merges checkout` made
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
}

/// `clean`
#[derive(Debug, Args)]
pub(crate) struct CleanArguments {
    /// Only say what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Runs that ended longer ago than that [default: retention.days]; 0 for all that have ended
    #[arg(long, value_name = "DAYS")]
    pub(crate) older_than: Option<u32>,
}

/// `merge-audit`
#[derive(Debug, Args)]
pub(crate) struct MergeAuditArguments {
    /// The repository
    pub(crate) repository: PathBuf,
    /// Only the newest merges, so many
    #[arg(long, value_name = "NUMBER")]
    pub(crate) last: Option<usize>,
}

/// `bench`
#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Trivial tasks per measurement
    #[arg(long, default_value_t = 24, value_name = "NUMBER")]
    pub(crate) tasks: u32,
}

impl Command {
    /// What the command may open where no server answers for the data directory.
    pub(crate) fn opens(&self) -> Opens {
        match self {
            Self::Config | Self::Doctor(_) | Self::Bench(_) | Self::MergeAudit(_) => Opens::Nothing,
            Self::Runs(_) | Self::Show(_) | Self::Logs(_) | Self::Diff(_) => Opens::ToRead,
            Self::Merges(merges) => match &merges.command {
                None | Some(MergesCommand::Show { .. } | MergesCommand::Checkout { .. }) => Opens::ToRead,
                Some(MergesCommand::Resolve(_) | MergesCommand::Return { .. } | MergesCommand::Reject { .. }) => {
                    Opens::ToChange
                }
            },
            Self::Cancel(_) => Opens::ToChange,
            Self::Deliver(_) | Self::Clean(_) => Opens::ForOneJob,
            // `follow` reads first: a run that isn't there, or is over, opens no more than `show` does.
            Self::Run(_) | Self::Follow(_) | Self::Demo(_) | Self::Serve(_) | Self::Worker(_) => Opens::Everything,
        }
    }
}

impl Cli {
    /// What the flags say about the configuration.
    pub(crate) fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::new(self.common.config.clone());
        let data_dir = self.common.data_dir.as_ref().map(|path| path.display().to_string());
        overrides.set("--data-dir", "data_dir", data_dir);
        let (listen, harness) = match &self.command {
            Command::Run(arguments) => (None, Some(&arguments.harness)),
            Command::Serve(arguments) | Command::Worker(arguments) => (arguments.listen, Some(&arguments.harness)),
            Command::Demo(arguments) => (arguments.listen, Some(&arguments.harness)),
            Command::Doctor(harness) => (None, Some(harness)),
            Command::Runs(_)
            | Command::Show(_)
            | Command::Follow(_)
            | Command::Logs(_)
            | Command::Diff(_)
            | Command::Cancel(_)
            | Command::Deliver(_)
            | Command::Merges(_)
            | Command::Clean(_)
            | Command::Config
            | Command::Bench(_)
            | Command::MergeAudit(_) => (None, None),
        };
        overrides.set("--listen", "server.listen", listen.map(|address| address.to_string()));
        overrides.set(
            "--sandbox",
            "sandbox.tier",
            harness.and_then(|harness| harness.sandbox.clone()),
        );
        overrides
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_may_stand_behind_the_command() {
        let cli = Cli::try_parse_from(["orchestrator", "show", "7f3a12bc", "--json", "--data-dir", "x"]).unwrap();
        assert!(cli.common.json);
    }
}
