//! The three roles that call models: the director plans, workers do tasks, the resolver joins conflicting changes.
//!
//! Nothing here can write state. An agent is given an order, asks models through [`llm`], uses tools that are held to
//! one worktree, tells a [`port::Journal`] what it does, and hands back what it came to.

pub mod port;
pub mod profile;

pub mod tools;

pub mod director;
pub mod resolver;
pub mod worker;

mod conversation;
mod failure;
mod schema;
mod text;

#[cfg(test)]
mod testing;
