//! The programs that a check command can't do without.
//!
//! Reads the command line as a shell would, but only its plain parts. Where it can't tell whether a program is needed
//! (alternatives, conditions, functions, a changed `PATH`), it names none: the gate itself will tell.

use std::{iter::Peekable, str::Chars};

/// Commands that run the program named by their arguments.
const WRAPPERS: [&str; 8] = ["command", "env", "exec", "nice", "nohup", "setsid", "time", "timeout"];
const SHELLS: [&str; 4] = ["bash", "dash", "sh", "zsh"];
/// What comes after these may find other programs, or define its own.
const CHANGES_LOOKUP: [&str; 8] = [".", "alias", "eval", "export", "hash", "set", "source", "unset"];
const RESERVED: [&str; 15] = [
    "[[", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "then", "until",
    "while",
];
/// Shells within shells are read to this depth.
const DEPTH: u32 = 4;

/// Names as `PATH` finds them and absolute paths, without which the command fails.
pub(super) fn needed(command: &str) -> Vec<String> {
    let mut programs = needed_within(command, DEPTH).unwrap_or_default();
    programs.sort();
    programs.dedup();
    programs
}

/// `None` where that can't be known.
fn needed_within(command: &str, depth: u32) -> Option<Vec<String>> {
    let depth = depth.checked_sub(1)?;
    let mut programs = Vec::new();
    for part in lex(command)? {
        let (end, words) = part;
        let mut lookup_changes = false;
        programs.extend(programs_of(&words, depth, &mut lookup_changes)?);
        if lookup_changes {
            return None;
        }
        if end == End::List {
            // The exit code is that of the last list: the others may fail.
            programs.clear();
        }
    }
    Some(programs)
}

/// The programs of a simple command.
fn programs_of(words: &[Word], depth: u32, lookup_changes: &mut bool) -> Option<Vec<String>> {
    let mut words = words;
    while let Some((word, rest)) = words.split_first() {
        let Some(text) = word.literal() else {
            let is_assignment = word.text.split_once('=').is_some_and(|(name, _)| is_name(name));
            if is_assignment && !word.text.starts_with("PATH=") {
                words = rest;
                continue;
            }
            return if is_assignment { None } else { Some(Vec::new()) };
        };
        if let Some((name, _)) = text.split_once('=').filter(|(name, _)| is_name(name)) {
            if name == "PATH" {
                return None;
            }
            words = rest;
            continue;
        }
        if text == "!" {
            words = rest;
            continue;
        }
        if RESERVED.contains(&text) || text == "{" || text == "}" {
            return None;
        }
        if CHANGES_LOOKUP.contains(&text) {
            *lookup_changes = true;
            return Some(Vec::new());
        }
        let mut programs = Vec::new();
        if text.starts_with('/') || !text.contains('/') {
            programs.push(text.to_owned());
        }
        let base = text.rsplit('/').next().unwrap_or(text);
        if SHELLS.contains(&base) {
            programs.extend(inner_shell(rest, depth)?);
        } else if WRAPPERS.contains(&base)
            && let Some(wrapped) = wrapped(base, rest)
        {
            programs.extend(programs_of(wrapped, depth, lookup_changes)?);
        }
        return Some(programs);
    }
    Some(Vec::new())
}

/// The programs of the command line in `sh -c "…"`.
fn inner_shell(arguments: &[Word], depth: u32) -> Option<Vec<String>> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.literal() {
            Some(option) if option.starts_with('-') && !option.starts_with("--") => {
                if option.contains('c') {
                    let line = arguments.next().and_then(Word::literal);
                    return line.map_or(Some(Vec::new()), |line| needed_within(line, depth));
                }
            }
            _ => break,
        }
    }
    Some(Vec::new())
}

/// What a wrapper runs; `None` where its options are not understood.
fn wrapped<'a>(wrapper: &str, mut arguments: &'a [Word]) -> Option<&'a [Word]> {
    while let Some(option) = arguments
        .first()
        .and_then(Word::literal)
        .filter(|word| word.starts_with('-'))
    {
        let takes_value = matches!(
            (wrapper, option),
            ("timeout", "-k" | "-s" | "--kill-after" | "--signal") | ("nice", "-n") | ("env", "-u" | "-C")
        );
        let is_plain = takes_value
            || match wrapper {
                "timeout" | "nice" => true,
                "env" => matches!(option, "-i" | "-" | "--ignore-environment"),
                _ => false,
            };
        if !is_plain {
            return None;
        }
        arguments = arguments.get(if takes_value { 2 } else { 1 }..)?;
    }
    match wrapper {
        "timeout" => arguments.get(1..),
        _ => Some(arguments),
    }
}

fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|next| next.is_ascii_alphanumeric() || next == '_')
}

/// A word, without its quotes.
#[derive(Debug, Default)]
struct Word {
    text: String,
    /// Something in it is expanded by the shell.
    is_expanded: bool,
}

impl Word {
    fn literal(&self) -> Option<&str> {
        (!self.is_expanded).then_some(self.text.as_str())
    }
}

/// How a simple command is joined to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// `&&` or `|`: both are needed.
    Joined,
    /// `;`, a new line, or the end.
    List,
    /// The end of the line.
    Whole,
}

/// The simple commands of a line. `None` for what is not plain: alternatives, groups, background jobs, here-documents.
fn lex(command: &str) -> Option<Vec<(End, Vec<Word>)>> {
    let mut commands: Vec<(End, Vec<Word>)> = Vec::new();
    let mut words = Vec::new();
    let mut characters = command.chars().peekable();
    while let Some(&next) = characters.peek() {
        match next {
            ' ' | '\t' | '\r' => {
                characters.next();
            }
            '#' => while characters.next_if(|next| *next != '\n').is_some() {},
            ';' | '\n' => {
                characters.next();
                if !words.is_empty() {
                    commands.push((End::List, std::mem::take(&mut words)));
                }
            }
            '&' => {
                characters.next();
                characters.next_if_eq(&'&')?;
                commands.push((End::Joined, std::mem::take(&mut words)));
            }
            '|' => {
                characters.next();
                if characters.next_if_eq(&'|').is_some() {
                    return None;
                }
                characters.next_if_eq(&'&');
                commands.push((End::Joined, std::mem::take(&mut words)));
            }
            '(' | ')' => return None,
            '<' | '>' => redirection(&mut characters)?,
            _ => {
                let word = word(&mut characters)?;
                // The number of a redirection, as in `2>&1`, is no word.
                let is_number = word.text.chars().all(|digit| digit.is_ascii_digit());
                let redirects = matches!(characters.peek(), Some('<' | '>'));
                if !(is_number && redirects) {
                    words.push(word);
                }
            }
        }
    }
    match words.is_empty() {
        false => commands.push((End::Whole, words)),
        true => {
            if let Some((end, _)) = commands.last_mut() {
                *end = End::Whole;
            }
        }
    }
    Some(commands)
}

/// Passes over a redirection with its target.
fn redirection(characters: &mut Peekable<Chars<'_>>) -> Option<()> {
    let first = characters.next()?;
    if first == '<' && characters.peek() == Some(&'<') {
        return None;
    }
    while characters
        .next_if(|next| matches!(next, '>' | '&' | '|' | '<'))
        .is_some()
    {}
    while characters.next_if(|next| matches!(next, ' ' | '\t')).is_some() {}
    match characters.peek() {
        Some('(') | None => None,
        Some(_) => word(characters).map(drop),
    }
}

fn word(characters: &mut Peekable<Chars<'_>>) -> Option<Word> {
    let mut word = Word::default();
    while let Some(&next) = characters.peek() {
        match next {
            ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' => break,
            '(' | ')' => return None,
            '\'' => {
                characters.next();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        inner => word.text.push(inner),
                    }
                }
            }
            '"' => {
                characters.next();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => word.text.push(characters.next()?),
                        inner => {
                            word.is_expanded |= matches!(inner, '$' | '`');
                            word.text.push(inner);
                        }
                    }
                }
            }
            '\\' => {
                characters.next();
                match characters.next()? {
                    '\n' => {}
                    escaped => word.text.push(escaped),
                }
            }
            plain => {
                characters.next();
                // `$(` is followed by a parenthesis, which is not plain.
                word.is_expanded |= matches!(plain, '$' | '`' | '*' | '?' | '[' | '~');
                word.text.push(plain);
            }
        }
    }
    Some(word)
}

#[cfg(test)]
mod tests {
    use super::needed;

    #[test]
    fn programs_of_plain_commands_are_needed() {
        for (command, programs) in [
            ("make test", vec!["make"]),
            ("cargo test --offline --no-fail-fast", vec!["cargo"]),
            ("  CI=1 X='a b' \"npm\" test # as usual", vec!["npm"]),
            ("cd web && npm test", vec!["cd", "npm"]),
            ("pytest -q 2>&1 | tee log", vec!["pytest", "tee"]),
            ("pytest -q >log 2>&1", vec!["pytest"]),
            ("/opt/go/bin/go test ./...", vec!["/opt/go/bin/go"]),
            ("! grep -rq broken src", vec!["grep"]),
            (
                "env -i A=b timeout -k 5 60 nice -n 5 go test",
                vec!["env", "go", "nice", "timeout"],
            ),
            ("sh -ec 'cargo fmt --check && cargo test'", vec!["cargo", "sh"]),
            ("sh test.sh", vec!["sh"]),
            ("echo 'ok 1 - there'; echo 1..1", vec!["echo"]),
            ("mypy || true; pytest", vec![]),
            ("optional-tool --version; pytest;\n", vec!["pytest"]),
            ("run-\\\nthis", vec!["run-this"]),
        ] {
            assert_eq!(needed(command), programs, "{command}");
        }
    }

    #[test]
    fn nothing_is_needed_where_it_can_not_be_told() {
        for command in [
            "./test.sh",
            "cargo nextest run || cargo test",
            "if command -v go; then go test; fi",
            "(cd a; make)",
            "$RUNNER test",
            "PATH=./bin:$PATH tool",
            "export PATH=$PWD/bin:$PATH; tool",
            ". venv/bin/activate && pytest",
            "run() { make; }; run",
            "server & client",
            "cat <<EOF\nnosuch\nEOF",
            "`which go` test",
            "'unclosed",
            "",
            "# nothing",
        ] {
            assert_eq!(needed(command), Vec::<String>::new(), "{command}");
        }
    }
}
