//! Several processes on one hub and one database, on one machine or several: one that is stopped past its lease changes nothing once it wakes,
//! and the time on its clock is nothing to go by.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

mod clocks;
mod harness;
mod machines;
mod stopped;
