//! What `.gitattributes` says about how the contents of a path are merged.
//!
//! Only `merge`, and macros that set it, can change what git's ORT makes of a text; line ends, filters and encodings
//! change what a checkout holds, and no checkout takes part. The files of all three sides count: it is enough that
//! one of them speaks. What can't be understood speaks of every path, so a mistake costs a process and never a wrong
//! merge.

use git2::{Repository, Tree};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

/// The attribute, the macro that git has built in, and what is no attribute to git but is one to a reader.
const SPEAKING: [&str; 3] = ["merge", "binary", "conflict-marker-size"];
/// Signs that git and the matcher used here may read differently.
const DOUBTFUL: [u8; 6] = *b"[]{}\\!";

/// The rules of the directories from the root down to the one being merged.
#[derive(Default)]
pub(crate) struct Attributes {
    levels: Vec<Level>,
    /// Macros found so far that speak of merging.
    macros: BTreeSet<Vec<u8>>,
}

struct Level {
    /// The length of the directory's path with its slash.
    prefix: usize,
    rules: Rules,
}

enum Rules {
    None,
    Patterns(Gitignore),
    EveryPath,
}

impl Attributes {
    /// Reads the `.gitattributes` of a directory in each of the trees.
    pub(crate) fn enter<'a>(
        &mut self,
        repository: &Repository,
        path: &[u8],
        trees: impl Iterator<Item = &'a Tree<'a>>,
    ) {
        let mut files: Vec<_> = trees
            .filter_map(|tree| tree.get_name_bytes(b".gitattributes"))
            .map(|entry| entry.id())
            .collect();
        files.sort_unstable();
        files.dedup();
        let mut contents = Vec::with_capacity(files.len());
        let mut unreadable = false;
        for file in files {
            match repository.find_blob(file) {
                Ok(blob) => contents.push(blob.content().to_vec()),
                Err(_) => unreadable = true,
            }
        }
        let rules = match unreadable {
            true => Rules::EveryPath,
            false => self.rules(&contents),
        };
        let prefix = path.len();
        self.levels.push(Level { prefix, rules });
    }

    pub(crate) fn leave(&mut self) {
        self.levels.pop();
    }

    /// Whether something is said about how the contents of the path are merged.
    pub(crate) fn speak_of(&self, path: &[u8]) -> bool {
        self.levels.iter().any(|level| match &level.rules {
            Rules::None => false,
            Rules::EveryPath => true,
            Rules::Patterns(patterns) => {
                let relative = path.get(level.prefix..).unwrap_or(path);
                let relative = Path::new(OsStr::from_bytes(relative));
                !patterns.matched(relative, false).is_none()
            }
        })
    }

    fn rules(&mut self, contents: &[Vec<u8>]) -> Rules {
        let lines = || contents.iter().flat_map(|content| lines(content));
        self.learn_macros(lines());
        let mut builder = GitignoreBuilder::new("");
        let mut some = false;
        for line in lines() {
            let Line::Rule { pattern, attributes } = line else {
                continue;
            };
            if !self.contain(attributes) {
                continue;
            }
            let added = plain(pattern)
                .map(|pattern| builder.add_line(None, pattern))
                .is_some_and(|added| added.is_ok());
            if !added {
                return Rules::EveryPath;
            }
            some = true;
        }
        match some {
            true => builder.build().map_or(Rules::EveryPath, Rules::Patterns),
            false => Rules::None,
        }
    }

    /// Macros may use each other, in any order.
    fn learn_macros<'a>(&mut self, lines: impl Iterator<Item = Line<'a>>) {
        let mut defined: Vec<_> = lines
            .filter_map(|line| match line {
                Line::Macro { name, attributes } => Some((name, attributes)),
                Line::Rule { .. } => None,
            })
            .collect();
        loop {
            let before = defined.len();
            defined.retain(|(name, attributes)| {
                let speaks = self.contain(attributes);
                if speaks {
                    self.macros.insert(name.to_vec());
                }
                !speaks
            });
            if defined.len() == before {
                return;
            }
        }
    }

    /// Whether a list of attributes holds one that speaks of merging.
    fn contain(&self, attributes: &[u8]) -> bool {
        attributes
            .split(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
            .any(|word| {
                let signs = word.iter().take_while(|byte| matches!(byte, b'-' | b'!'));
                let name = &word[signs.count()..];
                let name = name.split(|byte| *byte == b'=').next().unwrap_or_default();
                SPEAKING.iter().any(|speaking| speaking.as_bytes() == name) || self.macros.contains(name)
            })
    }
}

enum Line<'a> {
    Macro { name: &'a [u8], attributes: &'a [u8] },
    Rule { pattern: &'a [u8], attributes: &'a [u8] },
}

fn lines(content: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let content = content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content);
    content.split(|byte| *byte == b'\n').filter_map(line)
}

fn line(line: &[u8]) -> Option<Line<'_>> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return None;
    }
    if let Some(definition) = line.strip_prefix(b"[attr]") {
        let (name, attributes) = split(definition.trim_ascii_start());
        return Some(Line::Macro { name, attributes });
    }
    let (pattern, attributes) = match line.first() {
        // A quoted pattern may hold blanks: all after the quote is searched for attributes.
        Some(b'"') => (&line[..1], &line[1..]),
        _ => split(line),
    };
    Some(Line::Rule { pattern, attributes })
}

fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
    line.split_at(end.unwrap_or(line.len()))
}

/// The pattern, if git and the matcher used here are sure to read it alike.
fn plain(pattern: &[u8]) -> Option<&str> {
    let doubtful = pattern.starts_with(b"\"")
        || pattern.iter().any(|byte| DOUBTFUL.contains(byte))
        || pattern
            .split(|byte| *byte == b'/')
            .any(|part| part != b"**" && part.windows(2).any(|pair| pair == b"**"));
    match doubtful {
        true => None,
        false => std::str::from_utf8(pattern).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Attributes, Level};

    fn speaks(file: &str, path: &str) -> bool {
        let mut attributes = Attributes::default();
        let rules = attributes.rules(&[file.as_bytes().to_vec()]);
        attributes.levels.push(Level { prefix: 0, rules });
        attributes.speak_of(path.as_bytes())
    }

    #[test]
    fn a_rule_speaks_of_the_paths_it_matches_and_no_others() {
        let file = "*.lock -merge\n/docs/*.md merge=union\n* text=auto eol=lf\n*.png binary\n";
        for path in ["Cargo.lock", "a/b/yarn.lock", "docs/index.md", "x/logo.png"] {
            assert!(speaks(file, path), "{path}");
        }
        for path in ["Cargo.toml", "docs/more/index.md", "src/lock", "a.png.txt"] {
            assert!(!speaks(file, path), "{path}");
        }
    }

    #[test]
    fn macros_are_followed_to_what_they_set() {
        let file = "[attr]outer inner\n[attr]inner -merge\n[attr]other text\n*.x outer\n*.y other\n";
        assert!(speaks(file, "a.x"));
        assert!(!speaks(file, "a.y"));
    }

    #[test]
    fn what_may_be_read_in_two_ways_speaks_of_every_path() {
        for pattern in ["\"a b\"", "[[:alpha:]]x", "a**b", "\\*", "{a,b}", "!x"] {
            assert!(speaks(&format!("{pattern} merge=union\n"), "any/path"), "{pattern}");
            assert!(!speaks(&format!("{pattern} text\n"), "any/path"), "{pattern}");
        }
        assert!(speaks("\u{feff}*.x -merge\n", "a.x"));
        assert!(speaks("  *.x\tmerge=union\r\n", "a.x"));
    }
}
