//! Parses source files with the grammars that editors use.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};
use tree_sitter::{Language, Node, ParseOptions, Parser};

/// Parsing stops after this time. A file of a megabyte takes a tenth of a second.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// The most characters shown of the faulty line.
const SHOWN: usize = 80;

/// Whether a text parses.
///
/// # Errors
/// The position of the first error, or that parsing takes too long.
pub(super) fn check(language: &Language, text: &str) -> Result<(), String> {
    let mut parser = Parser::new();
    parser.set_language(language).map_err(|error| error.to_string())?;
    let started = Instant::now();
    let mut in_time = |_: &tree_sitter::ParseState| match started.elapsed() < TIME_LIMIT {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    let options = ParseOptions::new().progress_callback(&mut in_time);
    let bytes = text.as_bytes();
    let mut rest = |at: usize, _| bytes.get(at..).unwrap_or_default();
    let Some(tree) = parser.parse_with_options(&mut rest, None, Some(options)) else {
        return Err(format!("it was not read to its end within {} s", TIME_LIMIT.as_secs()));
    };
    match first_error(tree.root_node()) {
        None => Ok(()),
        Some(node) => Err(told(node, text)),
    }
}

/// The position of the first syntax error. Without recursion, because texts may be deeply nested.
fn first_error(root: Node<'_>) -> Option<Node<'_>> {
    let mut node = root;
    loop {
        if !node.has_error() {
            return None;
        }
        if node.is_error() || node.is_missing() {
            return Some(node);
        }
        let mut cursor = node.walk();
        match node.children(&mut cursor).find(Node::has_error) {
            Some(child) => node = child,
            None => return Some(node),
        }
    }
}

fn told(node: Node<'_>, text: &str) -> String {
    let row = node.start_position().row;
    let line: String = text
        .lines()
        .nth(row)
        .unwrap_or_default()
        .trim()
        .chars()
        .take(SHOWN)
        .collect();
    let what = match node.is_missing() {
        true => format!("{:?} is missing", node.kind()),
        false => "syntax error".to_owned(),
    };
    format!("{what} in line {}: {line}", row + 1)
}
