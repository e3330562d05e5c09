//! Shows a run in progress.
//!
//! [`Board`] is the state of a run, changed by one event at a time; [`news`] turns an event into a line; [`render`] turns
//! the board into lines. All three are pure. Only [`screen`] uses the terminal.

mod board;
mod news;
mod render;
mod screen;
mod words;

pub(crate) use board::{Board, Entry, RunDetails, TaskDetails};
pub(crate) use news::{log_line, news};
pub(crate) use render::{block, finished_task, header};
pub(crate) use screen::{Key, Keys, Screen, terminal_size};
pub(crate) use words::{clean, padded, shortened, width, wrapped};
