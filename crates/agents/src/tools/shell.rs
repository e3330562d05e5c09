//! `shell`: a command in the attempt's sandbox.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sandbox::{Access, CancellationToken, Exit, Finished, Job};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Done, ToolBox, ToolFailure, ToolLimits, WritePolicy, arguments};

pub(super) const DESCRIPTION: &str = "Runs a command with sh in the worktree, in a sandbox without network. Each \
    call is a new shell: nothing of the last one stays but files, and background processes are killed at the end. \
    Standard output and error come back together; of long output the beginning and the end, and the whole in a \
    file that read_file and search can read. Git works for looking only.";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The command line.
    command: String,
    /// Seconds after which it is killed, where the usual limit does not fit.
    #[serde(default)]
    timeout_s: Option<u32>,
}

pub(super) async fn run(tool_box: &ToolBox, arguments: &str, cancel: &CancellationToken) -> Result<Done, ToolFailure> {
    let arguments: Arguments = arguments::parse(arguments)?;
    if arguments.command.trim().is_empty() {
        return Err(ToolFailure::new("bad_arguments", "The command is empty."));
    }
    let time_limit = time_limit(&arguments, &tool_box.settings.limits);
    let output_file = tool_box.next_output_file();
    let job = job(tool_box, &arguments, time_limit, output_file.clone(), cancel);
    let finished = tool_box.sandbox.run(job).await;
    let finished =
        finished.map_err(|error| ToolFailure::new("sandbox", format!("The command was not run: {error}.")))?;
    if !finished.output_cut {
        // The complete output was shown.
        fs::remove_file(&output_file).unwrap_or_default();
    }
    let content = format!(
        "{}{}",
        with_newline(&finished.output_head_tail),
        ending(&finished, time_limit, tool_box)
    );
    Ok(Done {
        content,
        ok: finished.succeeded(),
        finish: None,
    })
}

fn time_limit(arguments: &Arguments, limits: &ToolLimits) -> Duration {
    match arguments.timeout_s {
        Some(seconds) => Duration::from_secs(u64::from(seconds.max(1))).min(limits.shell_longest_time),
        None => limits.shell_default_time,
    }
}

fn job(
    tool_box: &ToolBox,
    arguments: &Arguments,
    time_limit: Duration,
    output_file: PathBuf,
    cancel: &CancellationToken,
) -> Job {
    let settings = &tool_box.settings;
    Job {
        worktree_access: match settings.write_policy {
            WritePolicy::ReadOnly => Access::ReadOnly,
            WritePolicy::All | WritePolicy::Only(_) => Access::ReadWrite,
        },
        hub: settings.hub.clone(),
        extra_read_only: vec![settings.outputs.clone()],
        extra_read_write: settings.build_caches.clone(),
        env: settings.shell_env.clone(),
        time_limit,
        output_limit_bytes: settings.limits.output_bytes,
        output_file: Some(output_file),
        cancel: cancel.clone(),
        ..Job::shell(&arguments.command, settings.worktree.clone())
    }
}

fn with_newline(output: &str) -> String {
    if output.is_empty() || output.ends_with('\n') {
        output.to_owned()
    } else {
        format!("{output}\n")
    }
}

/// The last line of every answer: how the command ended, and what to do about it.
fn ending(finished: &Finished, time_limit: Duration, tool_box: &ToolBox) -> String {
    let advice = if finished.output_cut {
        "; to see more, read the file named above with read_file or search, or print less"
    } else {
        ""
    };
    let seconds = finished.duration.as_secs_f64();
    let how = match finished.exit {
        Exit::Code(code) if code > 128 => format!("exit code {code}, which usually means signal {}", code - 128),
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("killed by signal {signal}"),
        Exit::Cancelled => "cancelled and killed".to_owned(),
        Exit::TimedOut => format!(
            "killed: it ran longer than {} s; do less at once, or ask for a longer timeout_s (at most {})",
            time_limit.as_secs(),
            tool_box.settings.limits.shell_longest_time.as_secs()
        ),
        Exit::OverLimit(limit) => format!("killed: {limit}"),
    };
    let reached = finished
        .reached
        .map_or_else(String::new, |limit| format!("; it reached its {limit}"));
    format!("[{how}{reached}; {seconds:.1} s{advice}]")
}

impl ToolBox {
    /// A new file name, also unused before a restart.
    fn next_output_file(&self) -> PathBuf {
        loop {
            let number = self.output_count.fetch_add(1, Ordering::Relaxed) + 1;
            let path = self.settings.outputs.join(format!("shell-{number:04}.txt"));
            if !path.exists() {
                return path;
            }
        }
    }
}
