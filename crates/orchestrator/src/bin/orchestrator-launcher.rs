//! Starts a command in its sandbox. `orchestrator` can do so itself, but takes milliseconds longer to start.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbox::launcher_main().unwrap_or_else(|| {
        eprintln!("orchestrator starts this program in its sandboxes; by itself it does nothing");
        ExitCode::from(2)
    })
}
