//! The launcher as a program, for tests and benchmarks of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbox::launcher_main().unwrap_or(ExitCode::FAILURE)
}
