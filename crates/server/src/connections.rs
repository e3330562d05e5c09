//! Connections: accepted up to a limit, closed when they exceed a time limit.
//!
//! A connection costs a file descriptor before its client is known, so the total and the number of each address are
//! limited. At the limit, the connection that has waited longest for a request is closed for the new one: idle and slow
//! connections never block a request. Only HTTP/1.1 is supported.

mod accept;
mod caps;
mod descriptors;
mod registry;
mod watched;

pub(crate) use accept::serve;
pub use caps::Caps;
pub(crate) use caps::Waits;
pub use descriptors::{Descriptors, raise_descriptors};
