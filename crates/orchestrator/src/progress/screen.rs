//! The terminal: a block that is redrawn in place, lines that scroll away above it, and single keys.

use super::render::{COLOUR_CODES, Look};
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

/// How long a look for a key may take, and so how late its end is noticed.
const KEY_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Key presses that may wait to be read.
const KEY_QUEUE: usize = 16;

/// The part of the terminal that is ours.
#[derive(Debug)]
pub(crate) struct Screen {
    drawn: Vec<usize>,
    colour: bool,
    keys: bool,
}

impl Screen {
    /// The terminal on standard output; `None` where there is none.
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

    /// How things are to be drawn now.
    pub(crate) fn look(&self) -> Look {
        let (columns, rows) = terminal_size();
        // The last column is left free: writing into it makes some terminals wrap.
        let columns = columns.saturating_sub(1).max(20);
        Look {
            columns,
            rows,
            colour: self.colour,
            keys: self.keys,
        }
    }

    /// Puts lines above the block for good, and draws the block anew.
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
            // In raw mode a line feed alone does not go back to the first column.
            queue!(output, Print(safe(line)), Print("\r\n"))?;
        }
        queue!(output, cursor::Show)?;
        self.drawn = block.iter().map(|line| visible_width(line)).collect();
        let mut terminal = io::stdout().lock();
        terminal.write_all(&output)?;
        terminal.flush()
    }
}

/// Columns and rows of the terminal; a common size where it does not say.
pub(crate) fn terminal_size() -> (usize, usize) {
    match terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (usize::from(columns), usize::from(rows)),
        Ok(_) | Err(_) => (80, 24),
    }
}

/// Colour, unless the person or the place asks for none.
pub(crate) fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && io::stdout().is_terminal()
}

/// The line with our own colours, and nothing else that steers the terminal.
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
    let mut in_code = false;
    line.chars()
        .filter(|letter| match letter {
            '\u{1b}' => {
                in_code = true;
                false
            }
            'm' if in_code => {
                in_code = false;
                false
            }
            _ => !in_code,
        })
        .count()
}

/// What a person asks for by a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Leave, and let the run go on.
    Detach,
    /// Cancel the run.
    Cancel,
    /// Anything else: an answer of no.
    Other,
}

/// Single keys, read until this is dropped; then the terminal is as it was.
#[derive(Debug)]
pub(crate) struct Keys {
    pressed: mpsc::Receiver<Key>,
    ended: Arc<AtomicBool>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Keys {
    /// Starts to read keys; `None` where standard input is no terminal.
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
    fn colour_codes_take_no_room() {
        assert_eq!(visible_width("\u{1b}[32m✓\u{1b}[0m ok"), 4);
    }

    #[test]
    fn only_our_own_colours_reach_the_terminal() {
        let line = "\u{1b}[32m✓\u{1b}[0m src/\u{1b}[8mhidden\u{1b}[2J\u{9b}1m\u{1b}";
        assert_eq!(
            safe(line),
            "\u{1b}[32m✓\u{1b}[0m src/\\u001b[8mhidden\\u001b[2J\\u009b1m\\u001b"
        );
    }
}
