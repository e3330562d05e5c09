//! Texts for a terminal: cleaned, shortened, wrapped, padded.

use crate::output::is_control;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text on one line without control characters: texts of models, tools and repositories must not control the terminal.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for letter in text.trim().chars() {
        match letter {
            '\n' | '\t' | '\r' => cleaned.push(' '),
            letter if is_control(letter) => {}
            letter => cleaned.push(letter),
        }
    }
    cleaned
}

/// The columns that a text takes in a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text in at most `columns`, with an ellipsis if it is cut.
pub(crate) fn shortened(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut free = columns.saturating_sub(1);
    for letter in text.chars() {
        let needed = letter.width().unwrap_or(0);
        if needed > free {
            break;
        }
        free -= needed;
        kept.push(letter);
    }
    format!("{}…", kept.trim_end())
}

/// The text, filled with spaces to at least `columns`.
pub(crate) fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// A text in lines of at most `columns`, broken between words where that is possible.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |line| width(line));
        if line > 0 && line + 1 + width(word) > columns {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_removed() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d\u{7}"), "a[2Jb cd");
    }

    #[test]
    fn long_texts_end_in_an_ellipsis_within_their_columns() {
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abcde…");
        assert_eq!(shortened("日本語の文", 6), "日本…");
        assert_eq!(shortened("日本語", 6), "日本語");
        assert_eq!(shortened("e\u{301}te\u{301}", 3), "e\u{301}te\u{301}");
    }

    #[test]
    fn wide_letters_are_padded_to_the_same_column() {
        assert_eq!(padded("日本", 6), "日本  ");
        assert_eq!(padded("ab", 6), "ab    ");
        assert_eq!(wrapped("日本 日本", 5), ["日本", "日本"]);
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("", 8), [""]);
    }
}
