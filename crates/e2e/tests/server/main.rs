//! The server under hostile clients, and the terminal under hostile texts.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod flood;
mod landlock;
mod open_runs;
mod terminal;
