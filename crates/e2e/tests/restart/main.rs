//! The product is killed and started again: the run completes, nothing is lost, nothing is twice.
//!
//! It is held at a known point from outside, by what a real machine could do to it as well: a transaction that
//! stands still ([`barrier`]), a lock file beside a branch, a check that takes its time. What came of it is read off
//! the database and the repositories ([`truth`]).

#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

mod barrier;
mod scene;
mod truth;

mod points;

mod databases;
mod delivering;
mod starting;
mod storm;
