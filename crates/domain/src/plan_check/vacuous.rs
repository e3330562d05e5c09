//! Checks that can't fail, and so show nothing.
//!
//! A shell line is read just far enough to see which command gives its exit status. What is not understood counts
//! as a real check: the gate decides in the end, this only stops the obvious.

use super::Problems;
use crate::plan::PlanDocument;

/// How deep brackets and `sh -c` are followed.
const DEPTH: u32 = 4;

pub(super) fn check(plan: &PlanDocument, problems: &mut Problems) {
    let mut report = |pointer: String, command: &str| {
        if is_vacuous(command) {
            problems.add(
                pointer,
                format!(
                    "the check {command:?} can't fail, so it shows nothing; name a command that fails while the work is missing"
                ),
            );
        }
    };
    for (index, task) in plan.tasks.iter().enumerate() {
        if let Some(check) = &task.check {
            report(format!("/tasks/{index}/check/command"), &check.command);
        }
        for (place, acceptance) in task.acceptance.iter().enumerate() {
            if !acceptance.check.is_empty() && acceptance.check != "judged" {
                report(format!("/tasks/{index}/acceptance/{place}/check"), &acceptance.check);
            }
        }
    }
}

/// Whether a shell command succeeds whatever the tree holds.
pub(super) fn is_vacuous(command: &str) -> bool {
    list_is_vacuous(command, DEPTH)
}

fn list_is_vacuous(command: &str, depth: u32) -> bool {
    let pieces = split(command);
    let mut statements: Vec<Vec<&Piece>> = vec![Vec::new()];
    for piece in &pieces {
        if let Some(last) = statements.last_mut() {
            last.push(piece);
        }
        if matches!(piece.end, End::Sequence | End::Background) {
            statements.push(Vec::new());
        }
    }
    statements.retain(|statement| statement.iter().any(|piece| !piece.is_blank()));
    let exits_on_error = statements.iter().any(|statement| sets_exit_on_error(statement));
    match statements.last() {
        None => true,
        Some(_) if exits_on_error => statements
            .iter()
            .all(|statement| sets_exit_on_error(statement) || statement_is_vacuous(statement, depth)),
        Some(last) => statement_is_vacuous(last, depth),
    }
}

fn sets_exit_on_error(statement: &[&Piece]) -> bool {
    statement.first().is_some_and(|piece| {
        let mut words = piece.text.split_whitespace();
        words.next() == Some("set")
            && words.any(|word| word == "errexit" || (word.starts_with('-') && word.contains('e')))
    })
}

/// `a && b || c`: bound from the left, as the shell does. A pipeline's status is its last command's.
fn statement_is_vacuous(statement: &[&Piece], depth: u32) -> bool {
    let mut verdict: Option<bool> = None;
    let mut joined_by = End::And;
    for piece in statement {
        if piece.end == End::Pipe {
            continue;
        }
        let this = command_is_vacuous(&piece.text, depth);
        verdict = Some(match (verdict, joined_by) {
            (None, _) => this,
            (Some(before), End::Or) => before || this,
            (Some(before), _) => before && this,
        });
        joined_by = piece.end;
        if piece.end == End::Background {
            return true;
        }
    }
    verdict.unwrap_or(false)
}

fn command_is_vacuous(command: &str, depth: u32) -> bool {
    let command = command.trim();
    if depth == 0 {
        return false;
    }
    if let Some(inner) = command.strip_prefix('!') {
        let inner = inner.trim();
        return inner == "false" || inner == "/bin/false";
    }
    for (open, close) in [('(', ')'), ('{', '}')] {
        if let Some(inner) = command.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
            return list_is_vacuous(inner, depth - 1);
        }
    }
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        [] => true,
        ["exit" | "return", "0"] | ["[", "1", "]"] => true,
        ["sh" | "bash" | "/bin/sh" | "/bin/bash", "-c", ..] => command
            .split_once("-c")
            .and_then(|(_, script)| unquoted(script.trim()))
            .is_some_and(|script| list_is_vacuous(script, depth - 1)),
        [name, ..] => matches!(
            *name,
            "true" | ":" | "/bin/true" | "/usr/bin/true" | "echo" | "printf" | "pwd"
        ),
    }
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|quote| {
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains(quote)).then_some(inner)
    })
}

/// A simple command, and what follows it.
struct Piece {
    text: String,
    end: End,
}

impl Piece {
    fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    And,
    Or,
    Pipe,
    Sequence,
    Background,
}

/// Splits at the operators that stand outside quotes and brackets.
fn split(command: &str) -> Vec<Piece> {
    let chars: Vec<char> = command.chars().collect();
    let mut pieces = Vec::new();
    let mut text = String::new();
    let (mut quote, mut nesting, mut at) = (None, 0u32, 0);
    while at < chars.len() {
        let char = chars[at];
        let next = chars.get(at + 1).copied();
        let after_space = text.chars().last().is_none_or(char::is_whitespace);
        let mut operator = None;
        match (quote, char) {
            (Some(open), _) if char == open => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => {
                text.push(char);
                at += 1;
                text.extend(next);
                at += 1;
                continue;
            }
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(char),
            (None, '#') if after_space => {
                while at < chars.len() && chars[at] != '\n' {
                    at += 1;
                }
                continue;
            }
            (None, '(' | '{') => nesting += 1,
            (None, ')' | '}') => nesting = nesting.saturating_sub(1),
            (None, _) if nesting == 0 => {
                operator = operator_at(char, next, text.chars().last());
            }
            (None, _) => {}
        }
        match operator {
            Some((end, length)) => {
                let text = std::mem::take(&mut text);
                pieces.push(Piece { text, end });
                at += length;
            }
            None => {
                text.push(char);
                at += 1;
            }
        }
    }
    pieces.push(Piece {
        text,
        end: End::Sequence,
    });
    pieces
}

fn operator_at(char: char, next: Option<char>, before: Option<char>) -> Option<(End, usize)> {
    match (char, next) {
        ('&', Some('&')) => Some((End::And, 2)),
        ('|', Some('|')) => Some((End::Or, 2)),
        ('|', Some('&')) => Some((End::Pipe, 2)),
        ('|', _) if before != Some('>') => Some((End::Pipe, 1)),
        (';' | '\n', _) => Some((End::Sequence, 1)),
        ('&', Some('>')) => None,
        ('&', _) if before != Some('>') && before != Some('<') => Some((End::Background, 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::is_vacuous;

    #[test]
    fn commands_that_can_not_fail_are_vacuous() {
        for command in [
            "",
            "  ",
            "true",
            ":",
            "exit 0",
            "echo ok",
            "cargo test || true",
            "cargo test || exit 0",
            "cargo test || echo failed",
            "cargo test; true",
            "cargo test\ntrue # fine",
            "cargo test | true",
            "(cargo test || true)",
            "cargo test && true || true",
            "sh -c 'true'",
            "bash -c \"cargo test || :\"",
            "cargo test &",
            "! false",
            "set -e; true",
        ] {
            assert!(is_vacuous(command), "{command}");
        }
    }

    #[test]
    fn commands_that_can_fail_are_not() {
        for command in [
            "cargo test",
            "true && cargo test",
            "cargo test && echo ok",
            "cargo test 2>&1",
            "cargo test &> log",
            "cargo test 2>&1 | tee log",
            "grep '|| true' file",
            "echo start; cargo test",
            "set -e; cargo test; true",
            "sh -c 'cargo test'",
            "if cargo test; then true; else false; fi",
            "test -f a || test -f b",
            "false",
            "./check || exit 1",
            "! grep x file",
        ] {
            assert!(!is_vacuous(command), "{command}");
        }
    }
}
