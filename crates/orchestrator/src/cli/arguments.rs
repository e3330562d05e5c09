//! The arguments of each command.

use clap::{Args, Subcommand, ValueHint};
use clap_complete::Shell;
use std::{net::SocketAddr, path::PathBuf};

/// Of a command that may start everything in its own process.
#[derive(Clone, Debug, Args)]
pub(crate) struct SandboxArguments {
    /// Sandbox for worker commands [default: bubblewrap]
    #[arg(long, value_name = "TIER", value_parser = ["bubblewrap", "none"], hide_possible_values = false)]
    pub(crate) sandbox: Option<String>,
}

/// `run`
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The objective, in words; - reads it from standard input
    pub(crate) objective: String,
    /// Repository to work on; a path that does not exist becomes a new one
    #[arg(short, long, value_name = "PATH", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) workspace: PathBuf,
    /// Turn a directory without a repository into one; its files become the first commit
    #[arg(long)]
    pub(crate) initialise: bool,
    /// Command that checks the merged tree [default: configured or detected]
    #[arg(long, value_name = "COMMAND", value_hint = ValueHint::CommandString)]
    pub(crate) check: Option<String>,
    /// Model that plans
    #[arg(long, value_name = "PROVIDER/MODEL")]
    pub(crate) director_model: Option<String>,
    /// Model that works and resolves conflicts
    #[arg(long, value_name = "PROVIDER/MODEL")]
    pub(crate) worker_model: Option<String>,
    /// Most that the run may cost, in dollars
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) max_cost: Option<f64>,
    /// Most tasks at one time
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_active: Option<u32>,
    /// Fast-forward the checkout even if landed work has integrity flags [default: configured]
    #[arg(long)]
    pub(crate) allow_integrity_flags: bool,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArguments,
    /// Print the run's id and leave it to a server in the background
    #[arg(long)]
    pub(crate) detach: bool,
    /// Print only the final report
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `serve` and `worker`
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArguments,
}

/// `demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Keep the server running afterwards, to look around
    #[arg(long)]
    pub(crate) serve: bool,
    /// Address to listen on with --serve; port 0 takes a free one [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArguments,
    /// Rules that precede the resolver's script: a file, or the word decline
    #[arg(long, value_name = "FILE|decline", value_hint = ValueHint::FilePath)]
    pub(crate) resolver_scenario: Option<String>,
    /// Print only the final report
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `runs`
#[derive(Debug, Args)]
pub(crate) struct RunsArguments {
    /// Number of runs to list
    #[arg(short = 'n', long, default_value_t = 20, value_name = "NUMBER")]
    pub(crate) limit: u32,
}

/// Commands on one run.
#[derive(Debug, Args)]
pub(crate) struct OneRun {
    /// Id of the run, or its last digits
    pub(crate) run: String,
}

/// `deliver`
#[derive(Debug, Args)]
pub(crate) struct DeliverArguments {
    /// Id of the run, or its last digits
    pub(crate) run: String,
    /// Fast-forward the checkout even if the run has integrity flags
    #[arg(long)]
    pub(crate) allow_integrity_flags: bool,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArguments,
}

/// `follow`
#[derive(Debug, Args)]
pub(crate) struct FollowArguments {
    /// Id of the run, or its last digits
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArguments,
    /// Print only the final report
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `logs`
#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// Id of the run, or its last digits
    pub(crate) run: String,
    /// Continue until the run ends
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// `merges`
#[derive(Debug, Args)]
pub(crate) struct MergesArguments {
    /// List all merges, not only those that wait for you
    #[arg(long)]
    pub(crate) all: bool,
    #[command(subcommand)]
    pub(crate) command: Option<MergesCommand>,
}

/// What to do with one merge.
#[derive(Debug, Subcommand)]
pub(crate) enum MergesCommand {
    /// Show a merge: its conflicts and how each layer decided
    Show {
        /// Number of the merge
        #[arg(value_name = "MERGE")]
        merge: i64,
    },
    /// Write the conflicting files with their markers into a directory, to edit them
    Checkout {
        /// Number of the merge
        #[arg(value_name = "MERGE")]
        merge: i64,
        /// Directory to write to; no file in it is overwritten
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
    /// Decide conflicting paths; the others go through the layers again
    Resolve(ResolveArguments),
    /// Send the work back to its worker for another attempt
    Return {
        /// Number of the merge
        #[arg(value_name = "MERGE")]
        merge: i64,
        /// What the worker should know
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
    /// Reject the work; its task fails
    Reject {
        /// Number of the merge
        #[arg(value_name = "MERGE")]
        merge: i64,
        /// Why it is rejected
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// `merges resolve`
#[derive(Debug, Args)]
pub(crate) struct ResolveArguments {
    /// Number of the merge
    #[arg(value_name = "MERGE")]
    pub(crate) merge: i64,
    /// Keep the branch's version of this path
    #[arg(long, value_name = "PATH")]
    pub(crate) ours: Vec<String>,
    /// Take the task's version of this path
    #[arg(long, value_name = "PATH")]
    pub(crate) theirs: Vec<String>,
    /// Delete this path
    #[arg(long, value_name = "PATH")]
    pub(crate) delete: Vec<String>,
    /// Send this path through the layers again and withdraw earlier answers for it
    #[arg(long, value_name = "PATH")]
    pub(crate) layers: Vec<String>,
    /// Take the text of a file for this path
    #[arg(long, value_name = "PATH=FILE")]
    pub(crate) file: Vec<String>,
    /// The branch's commit that you looked at; refused if another conflict waits by now
    #[arg(long, value_name = "COMMIT")]
    pub(crate) tip: Option<String>,
    /// Take the texts of a directory that `merges checkout` wrote
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) from: Option<PathBuf>,
}

/// `clean`
#[derive(Debug, Args)]
pub(crate) struct CleanArguments {
    /// Only show what would be deleted
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Delete data of runs that ended at least this many days ago; 0 for all finished runs [default: retention.days]
    #[arg(long, value_name = "DAYS")]
    pub(crate) older_than: Option<u32>,
}

/// `merge-audit`
#[derive(Debug, Args)]
pub(crate) struct MergeAuditArguments {
    /// The repository
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) repository: PathBuf,
    /// Only this many merges, the newest ones
    #[arg(long, value_name = "NUMBER")]
    pub(crate) last: Option<usize>,
}

/// `bench`
#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Trivial tasks in each measurement
    #[arg(long, default_value_t = 24, value_name = "NUMBER")]
    pub(crate) tasks: u32,
}

/// `completions`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    pub(crate) shell: Shell,
}

/// `man`
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// Write a page for each command into this directory, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: Option<PathBuf>,
}
