//! Connections: accepted to a limit, watched while they are open, closed when they overstay.
//!
//! A connection costs a file descriptor long before anybody knows who is there. So there is a cap on all of them and on
//! those of one address. Where it is reached, the connection that has waited longest for its request makes way for the
//! new one: idle and slow connections never keep a request out. Only HTTP/1.1 is spoken.

mod accept;
mod book;
mod descriptors;
mod watched;

pub(crate) use accept::serve;
pub use book::Caps;
pub(crate) use book::Waits;
pub use descriptors::{Descriptors, raise_descriptors};
