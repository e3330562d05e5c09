//! The three roles that call models: the director plans, workers do tasks, the resolver merges conflicting changes.
//!
//! Nothing here can write state. An agent gets an order, asks models through [`llm`], uses tools that are confined to one
//! worktree, reports to a [`port::Journal`], and returns its result. Workers sit behind [`worker::WorkerBackend`].

pub mod port;
pub mod profile;

pub mod tools;

pub mod director;
pub mod resolver;
pub mod worker;

pub mod model_worker;

mod conversation;
mod failure;
mod schema;
mod text;

#[cfg(test)]
mod testing;
