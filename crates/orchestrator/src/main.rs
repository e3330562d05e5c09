//! The binary: configuration, commands, wiring.
mod config;
mod failure;
fn main() {}
