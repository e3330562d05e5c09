//! Several processes with one hub and one database, on one or several machines: a process that was stopped past its lease
//! changes nothing when it wakes, and its clock doesn't matter.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

mod clocks;
mod harness;
mod machines;
mod process;
mod stopped;
