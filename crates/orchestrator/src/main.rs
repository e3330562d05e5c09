//! The binary: configuration, commands, wiring.
mod config;
mod failure;
mod progress;
fn main() {}
