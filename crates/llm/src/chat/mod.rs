//! OpenAI's Chat Completions: writes requests and reads answers.
//!
//! Answers are read leniently: only used fields matter, because many servers imitate this protocol with small
//! differences.

mod answer;
mod call_parts;
mod request;
mod strict;

pub(crate) use answer::{Answer, Assembly, Chunk};
pub(crate) use request::{Dialect, body};
