//! The terminal: a block that is redrawn in place, lines above it, and single keys.

use super::{
    render::{COLOUR_CODES, Look},
    words::width,
};
use crate::output;
use crossterm::{
    cursor, event,
    event::{Event, KeyCode, KeyEventKind, KeyModifiers},
    queue,
    style::Print,
    terminal,
};
use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// How long a poll for a key takes, and so how late the end is noticed.
const KEY_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Most key presses in the queue.
const KEY_QUEUE: usize = 16;

/// The part of the terminal that the block occupies.
#[derive(Debug)]
pub(crate) struct Screen {
    drawn: Vec<usize>,
    colour: bool,
    keys: bool,
}

impl Screen {
    /// Opens the terminal on standard output; `None` where there is none.
    pub(crate) fn open(keys: bool) -> Option<Self> {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if !io::stdout().is_terminal() || dumb || terminal::size().is_err() {
            return None;
        }
        Some(Self {
            drawn: Vec::new(),
            colour: wants_colour(),
            keys,
        })
    }

    /// Size and colour of the next frame.
    pub(crate) fn look(&self) -> Look {
        let (columns, rows) = terminal_size();
        // Some terminals wrap after a character in the last column.
        let columns = columns.saturating_sub(1).max(20);
        Look {
            columns,
            rows,
            colour: self.colour,
            keys: self.keys,
        }
    }

    /// Prints lines above the block and redraws the block.
    pub(crate) fn draw(&mut self, above: &[String], block: &[String]) -> io::Result<()> {
        let mut output = Vec::new();
        let (columns, _) = terminal_size();
        let up: usize = self.drawn.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        queue!(output, cursor::Hide, cursor::MoveToColumn(0))?;
        if up > 0 {
            queue!(output, cursor::MoveUp(up.min(usize::from(u16::MAX)) as u16))?;
        }
        queue!(output, terminal::Clear(terminal::ClearType::FromCursorDown))?;
        for line in above.iter().chain(block) {
            // In raw mode, a line feed does not return to the first column.
            queue!(output, Print(safe(line)), Print("\r\n"))?;
        }
        queue!(output, cursor::Show)?;
        // Escaped characters take columns.
        self.drawn = block.iter().map(|line| visible_width(&safe(line))).collect();
        let mut terminal = io::stdout().lock();
        terminal.write_all(&output)?;
        terminal.flush()
    }
}

/// Columns and rows of the terminal; 80 and 24 where they are unknown.
pub(crate) fn terminal_size() -> (usize, usize) {
    match terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (usize::from(columns), usize::from(rows)),
        Ok(_) | Err(_) => (80, 24),
    }
}

/// Whether to use colour: on a terminal, unless `NO_COLOR` is set.
pub(crate) fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && io::stdout().is_terminal()
}

/// The line with our colour codes; every other control character is escaped.
fn safe(line: &str) -> String {
    let mut safe = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\u{1b}') {
        let (text, code) = rest.split_at(at);
        safe.push_str(&output::shown(text));
        let own = COLOUR_CODES.iter().find(|own| code.starts_with(**own));
        let length = own.map_or(1, |own| own.len());
        match own {
            Some(own) => safe.push_str(own),
            None => safe.push_str(&output::shown(&code[..length])),
        }
        rest = &code[length..];
    }
    safe.push_str(&output::shown(rest));
    safe
}

/// Columns of a line, without its colour codes.
fn visible_width(line: &str) -> usize {
    let plain = COLOUR_CODES
        .iter()
        .fold(line.to_owned(), |line, code| line.replace(code, ""));
    width(&plain)
}

/// The meaning of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Detach; the run continues.
    Detach,
    /// Cancel the run.
    Cancel,
    /// Any other key: no.
    Other,
}

/// Reads single keys until it is dropped, then restores the terminal.
#[derive(Debug)]
pub(crate) struct Keys {
    pressed: mpsc::Receiver<Key>,
    ended: Arc<AtomicBool>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Keys {
    /// Starts to read keys; `None` where standard input is not a terminal.
    pub(crate) fn read() -> Option<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() || terminal::enable_raw_mode().is_err() {
            return None;
        }
        let (sender, pressed) = mpsc::channel(KEY_QUEUE);
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let reader = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                let Ok(true) = event::poll(KEY_POLL_INTERVAL) else {
                    continue;
                };
                if let Ok(event) = event::read()
                    && let Some(key) = key(&event)
                    && sender.blocking_send(key).is_err()
                {
                    return;
                }
            }
        });
        Some(Self {
            pressed,
            ended,
            reader: Some(reader),
        })
    }

    /// The next key.
    pub(crate) async fn next(&mut self) -> Option<Key> {
        self.pressed.recv().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.pressed.close();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap_or_default();
        }
        terminal::disable_raw_mode().unwrap_or_default();
    }
}

fn key(event: &Event) -> Option<Key> {
    let Event::Key(key) = event else { return None };
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c') if control => Key::Detach,
        KeyCode::Char('q' | 'Q') => Key::Detach,
        KeyCode::Char('c' | 'C') => Key::Cancel,
        _ => Key::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_codes_take_no_columns() {
        assert_eq!(visible_width("\u{1b}[32m✓\u{1b}[0m ok"), 4);
    }

    #[test]
    fn foreign_colour_codes_are_escaped() {
        let line = "\u{1b}[32m✓\u{1b}[0m src/\u{1b}[8mhidden\u{1b}[2J\u{9b}1m\u{1b}";
        assert_eq!(
            safe(line),
            "\u{1b}[32m✓\u{1b}[0m src/\\u001b[8mhidden\\u001b[2J\\u009b1m\\u001b"
        );
    }
}
