//! The product is killed and restarted: the run completes, nothing is lost and nothing happens twice.
//!
//! The product is held at a known point by means that a real machine has too: a waiting transaction ([`barrier`]), a lock
//! file beside a branch, a slow check. The results are read from the database and the repositories ([`truth`]).

#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

mod barrier;
mod scene;
mod truth;

mod points;

mod databases;
mod delivering;
mod starting;
mod storm;
