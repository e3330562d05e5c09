//! A run as it is shown while it goes on.
//!
//! [`Board`] is what is known, changed by one event at a time; [`news`] words an event as a line; [`render`] turns the
//! board into the lines of a terminal. All three are pure. [`screen`] is what touches the terminal.

mod board;
mod news;
mod render;
mod screen;
mod words;

pub(crate) use board::{Board, Entry, RunDetails, TaskDetails};
pub(crate) use news::{count, detail, news};
pub(crate) use render::{block, finished_task, header};
pub(crate) use screen::{Key, Keys, Screen, terminal_size};
pub(crate) use words::{clean, elapsed, shortened, wrapped};
