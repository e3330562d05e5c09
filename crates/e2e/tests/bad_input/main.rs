//! Bad input from every side: requests, command lines, workspaces, databases, disks and models. Each is told in words
//! that name the value and the way out, and nothing is lost by it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod command_line;
mod databases;
mod disk;
mod following;
mod models;
mod plans;
mod planted;
mod protocol;
mod requests;
mod secrets;
mod support;
mod tools;
mod workspaces;
