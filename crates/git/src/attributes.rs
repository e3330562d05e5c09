//! What `.gitattributes` says about a path, as far as it matters to whether a merge is trivially safe.
//!
//! The files of all three sides count: it is enough that one of them speaks. What can't be understood speaks of
//! every path, so a mistake costs a process and never a wrong merge.

use git2::{Repository, Tree};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

/// Names that change how or whether contents are merged.
const MERGE: [&str; 4] = ["merge", "binary", "filter", "conflict-marker-size"];
/// Names that change line ends or encodings: of no matter where no carriage return stands.
const LINE_ENDS: [&str; 6] = [
    "text",
    "eol",
    "crlf",
    "ident",
    "working-tree-encoding",
    "diff",
];

/// The rules of the directories from the root down to the one being merged.
#[derive(Default)]
pub(crate) struct Attributes {
    levels: Vec<Level>,
}

struct Level {
    /// The length of the directory's path with its slash.
    prefix: usize,
    merge: Rules,
    line_ends: Rules,
}

#[derive(Default)]
enum Rules {
    #[default]
    None,
    Patterns(Gitignore),
    EveryPath,
}

/// What is said about one path.
#[derive(Clone, Copy)]
pub(crate) struct PathAttributes {
    merge: bool,
    line_ends: bool,
}

impl PathAttributes {
    pub(crate) fn merge_is_plain(self) -> bool {
        !self.merge
    }

    pub(crate) fn line_ends_are_plain(self) -> bool {
        !self.line_ends
    }
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
        let mut merge = Collector::default();
        let mut line_ends = Collector::default();
        for file in files {
            match repository.find_blob(file) {
                Ok(blob) => {
                    for line in String::from_utf8_lossy(blob.content()).lines() {
                        merge.line(line, &MERGE);
                        line_ends.line(line, &LINE_ENDS);
                    }
                }
                Err(_) => merge.every_path = true,
            }
        }
        self.levels.push(Level {
            prefix: path.len(),
            merge: merge.rules(),
            line_ends: line_ends.rules(),
        });
    }

    pub(crate) fn leave(&mut self) {
        self.levels.pop();
    }

    pub(crate) fn of(&self, path: &[u8]) -> PathAttributes {
        PathAttributes {
            merge: self
                .levels
                .iter()
                .any(|level| level.merge.speak_of(path, level.prefix)),
            line_ends: self
                .levels
                .iter()
                .any(|level| level.line_ends.speak_of(path, level.prefix)),
        }
    }
}

impl Rules {
    fn speak_of(&self, path: &[u8], prefix: usize) -> bool {
        match self {
            Self::None => false,
            Self::EveryPath => true,
            Self::Patterns(patterns) => {
                let relative = Path::new(OsStr::from_bytes(path.get(prefix..).unwrap_or(path)));
                !patterns.matched(relative, false).is_none()
            }
        }
    }
}

#[derive(Default)]
struct Collector {
    patterns: Vec<String>,
    every_path: bool,
}

impl Collector {
    fn line(&mut self, line: &str, names: &[&str]) {
        let line = line.trim_matches([' ', '\t', '\r']);
        let Some((pattern, attributes)) = line.split_once([' ', '\t']) else {
            return;
        };
        // Macros can hide any name, and quoted patterns have escapes of their own.
        if pattern.starts_with("[attr]") || pattern.starts_with('"') {
            self.every_path = true;
        } else if !pattern.starts_with('#')
            && attributes
                .split_ascii_whitespace()
                .any(|word| speaks(word, names))
        {
            self.patterns.push(pattern.to_owned());
        }
    }

    fn rules(self) -> Rules {
        if self.every_path {
            return Rules::EveryPath;
        }
        if self.patterns.is_empty() {
            return Rules::None;
        }
        let mut builder = GitignoreBuilder::new("");
        for pattern in &self.patterns {
            // `!` means nothing good here, and whoever can't be parsed can't be trusted to miss.
            if pattern.starts_with('!') || builder.add_line(None, pattern).is_err() {
                return Rules::EveryPath;
            }
        }
        builder.build().map_or(Rules::EveryPath, Rules::Patterns)
    }
}

fn speaks(word: &str, names: &[&str]) -> bool {
    let name = word.trim_start_matches(['-', '!']);
    let name = name.split_once('=').map_or(name, |(name, _)| name);
    names.contains(&name)
}
