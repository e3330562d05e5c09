//! What is looked for in a change before it lands or is delivered: what no commit may add, what git would pass through
//! a program, and what the user's own tools would run.

mod executed;
mod filters;
mod refused;

pub use executed::UserCommands;
pub use filters::UserAttributes;
pub use refused::Refused;
