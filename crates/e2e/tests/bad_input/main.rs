//! Bad input: requests, command lines, workspaces, databases, disks and models. Each error names the value and the fix, and
//! nothing is lost.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod command_line;
mod databases;
mod disk;
mod following;
mod models;
mod plans;
mod planted;
mod protocol;
mod repositories;
mod requests;
mod secrets;
mod support;
mod tools;
mod workspaces;
