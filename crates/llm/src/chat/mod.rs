//! OpenAI's Chat Completions: what is sent, and how what comes back is read.
//!
//! Read leniently: only the fields that are used are looked at, since many servers imitate this wire and each
//! does so a little differently.

mod answer;
mod call_parts;
mod request;
mod strict;

pub(crate) use answer::{Answer, Assembly, Chunk};
pub(crate) use request::{Dialect, body};
