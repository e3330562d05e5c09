//! Whether two globs can name the same file, judged without looking at a tree.
//!
//! Character classes and alternatives are taken for "anything", so the answer errs towards yes: a needless wait
//! between two tasks costs less than a conflict.

/// Whether a path names one thing: it has no wildcard.
pub fn is_literal(path: &str) -> bool {
    !path.contains(['*', '?', '[', '{'])
}

/// The path without what means nothing: a leading `./` and a closing slash.
pub(super) fn normal(path: &str) -> &str {
    let mut path = path;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    path.trim_end_matches('/')
}

/// Whether some file could be named by both. A path without wildcards names what is below it, too.
pub fn overlap(left: &str, right: &str) -> bool {
    let (left, right) = (segments(left), segments(right));
    meet(&left, &right, |segment| *segment == "**", segments_meet)
}

fn segments(path: &str) -> Vec<&str> {
    let path = normal(path);
    let mut segments: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if segments.last().is_none_or(|last| is_literal(last)) {
        segments.push("**");
    }
    segments
}

fn segments_meet(left: &&str, right: &&str) -> bool {
    let (left, right) = (symbols(left), symbols(right));
    meet(
        &left,
        &right,
        |symbol| *symbol == Symbol::Many,
        |left, right| left == right || *left == Symbol::One || *right == Symbol::One,
    )
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Char(char),
    One,
    Many,
}

fn symbols(segment: &str) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    let mut closing = None;
    for char in segment.chars() {
        match (closing, char) {
            (Some(end), _) if char == end => closing = None,
            (Some(_), _) => {}
            (None, '[') => {
                closing = Some(']');
                symbols.push(Symbol::Many);
            }
            (None, '{') => {
                closing = Some('}');
                symbols.push(Symbol::Many);
            }
            (None, '*') => symbols.push(Symbol::Many),
            (None, '?') => symbols.push(Symbol::One),
            (None, char) => symbols.push(Symbol::Char(char)),
        }
    }
    symbols
}

/// Whether two patterns share a word, where some of their elements stand for any number of elements.
///
/// `possible[j]` says whether what is left of the first pattern and of the second from `j` on can be the same; it
/// is filled from the end, so the work is the product of the lengths.
fn meet<T>(left: &[T], right: &[T], is_many: impl Fn(&T) -> bool, same: impl Fn(&T, &T) -> bool) -> bool {
    let mut possible = vec![false; right.len() + 1];
    possible[right.len()] = true;
    for j in (0..right.len()).rev() {
        possible[j] = is_many(&right[j]) && possible[j + 1];
    }
    for first in left.iter().rev() {
        let below = possible.clone();
        possible[right.len()] = is_many(first) && below[right.len()];
        for j in (0..right.len()).rev() {
            let second = &right[j];
            possible[j] = if is_many(first) || is_many(second) {
                below[j] || possible[j + 1]
            } else {
                same(first, second) && below[j + 1]
            };
        }
    }
    possible[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_that_can_name_one_file_overlap() {
        for (left, right) in [
            ("src/a.rs", "src/a.rs"),
            ("./src/a.rs", "src/a.rs"),
            ("src", "src/a.rs"),
            ("src/", "src/a/b.rs"),
            ("src/**", "src/a/b.rs"),
            ("**/*.rs", "src/**"),
            ("src/*.rs", "src/a*"),
            ("src/?.rs", "src/a.rs"),
            ("src/[ab].rs", "src/b.rs"),
            ("src/{a,b}.rs", "src/*.rs"),
            ("**", "x"),
            (".", "x"),
        ] {
            assert!(overlap(left, right), "{left} {right}");
            assert!(overlap(right, left), "{right} {left}");
        }
    }

    #[test]
    fn globs_that_can_not_name_one_file_do_not_overlap() {
        for (left, right) in [
            ("src/a.rs", "src/b.rs"),
            ("src/*.rs", "src/a/b.rs"),
            ("src/*.rs", "src/*.py"),
            ("src/**", "tests/**"),
            ("a?", "abc"),
            ("src", "srcs/a"),
            ("*.md", "docs/x.md"),
        ] {
            assert!(!overlap(left, right), "{left} {right}");
            assert!(!overlap(right, left), "{right} {left}");
        }
    }
}
