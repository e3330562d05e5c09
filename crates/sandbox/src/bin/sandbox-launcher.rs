//! The launcher alone, for tests and measurements of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbox::launched().unwrap_or(ExitCode::FAILURE)
}
