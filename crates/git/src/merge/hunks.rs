//! The places in a text where both sides changed the same lines, and putting replacements there mechanically.
//!
//! The hunks are the ones ORT wrote into its tree, in diff3 style: what stands outside them was decided by git and
//! by nobody else.

mod replaced;

use crate::{
    error::GitError,
    hub::Hub,
    ids::RepoPath,
    merge::conflict::{Conflict, ConflictFile, ConflictKind, Version},
    tree,
};

const MARKER_SIZE: usize = 7;

/// Why there are no hunks.
#[derive(Debug, thiserror::Error)]
pub enum HunkError {
    /// One of the versions is not text.
    #[error("the {side} version is not UTF-8 text: it can't be decided hunk by hunk")]
    NotText {
        /// base, ours or theirs.
        side: &'static str,
    },
    /// The wrong number of replacements.
    #[error("{given} replacements were given for {hunks} hunks: each hunk needs exactly one")]
    WrongCount {
        /// How many were given.
        given: usize,
        /// How many are needed.
        hunks: usize,
    },
    /// The conflict is not about lines.
    #[error("'{path}' has no hunks: its conflict ({kind:?}) is not about lines of text; choose a version as a whole")]
    NotByHunk {
        /// The path.
        path: RepoPath,
        /// What meets there.
        kind: ConflictKind,
    },
    /// Anything else.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// A text in which some places are undecided. At least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictedText {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Decided(String),
    Hunk(Hunk),
}

/// An undecided place. Each text is whole lines, and may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// The line it begins at, counted from 1, in the text with ours at every hunk.
    pub line: usize,
    /// What the common base has here.
    pub base: String,
    /// What the branch has here.
    pub ours: String,
    /// What the merged commit has here.
    pub theirs: String,
}

impl Hub {
    /// Finds the hunks of a conflicting text.
    ///
    /// Where the markers can't be distinguished from the contents, everything between the first and the last difference is one
    /// hunk: this function never decides anything.
    pub fn hunks(&self, conflict: &Conflict, file: &ConflictFile) -> Result<ConflictedText, HunkError> {
        if !matches!(file.kind, ConflictKind::Content | ConflictKind::AddAdd) {
            return Err(HunkError::NotByHunk {
                path: file.path.clone(),
                kind: file.kind,
            });
        }
        let read = |version: &Option<Version>| match version {
            Some(version) => self.read_blob(&version.blob),
            None => Ok(Vec::new()),
        };
        let contents = [read(&file.base)?, read(&file.ours)?, read(&file.theirs)?];
        let versions = Versions {
            base: text(&contents[0], "base")?,
            ours: text(&contents[1], "our")?,
            theirs: text(&contents[2], "their")?,
        };
        let tree = conflict.tree_with_markers.oid()?;
        let marked = self
            .with(|handle| tree::read(&handle.objects, tree, &file.path))?
            .unwrap_or_default();
        let labels = [
            format!("<<<<<<< {}", conflict.tip),
            format!(">>>>>>> {}", conflict.theirs),
        ];
        Ok(ConflictedText::new(
            &String::from_utf8_lossy(&marked),
            &labels,
            versions,
        ))
    }
}

struct Versions<'a> {
    base: &'a str,
    ours: &'a str,
    theirs: &'a str,
}

impl ConflictedText {
    fn new(marked: &str, labels: &[String; 2], versions: Versions<'_>) -> Self {
        let all = [versions.base, versions.ours, versions.theirs];
        let ambiguous = all
            .iter()
            .flat_map(|text| text.lines())
            .any(|line| is_marker(line, '|') || is_marker(line, '='));
        let parsed = if ambiguous { None } else { parse(marked, labels) };
        let mut segments = parsed.unwrap_or_else(|| one_hunk(&versions));
        restore_file_ends(&mut segments, &versions);
        number_lines(&mut segments);
        Self { segments }
    }

    /// The undecided places, in order.
    pub fn hunks(&self) -> impl Iterator<Item = &Hunk> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Hunk(hunk) => Some(hunk),
            Segment::Decided(_) => None,
        })
    }

    /// Up to `lines` decided lines before and after the hunk with this index.
    pub fn surroundings(&self, hunk: usize, lines: usize) -> (String, String) {
        let positions = self
            .segments
            .iter()
            .enumerate()
            .filter(|(_, segment)| matches!(segment, Segment::Hunk(_)));
        let Some((position, _)) = positions.into_iter().nth(hunk) else {
            return Default::default();
        };
        let decided = |index: Option<usize>| match index.and_then(|index| self.segments.get(index)) {
            Some(Segment::Decided(text)) => text.as_str(),
            _ => "",
        };
        let before: Vec<&str> = decided(position.checked_sub(1)).split_inclusive('\n').collect();
        let after = decided(position.checked_add(1)).split_inclusive('\n').take(lines);
        (before[before.len().saturating_sub(lines)..].concat(), after.collect())
    }

    /// The whole text with each hunk between markers, for a person to decide in an editor.
    pub fn marked(&self) -> String {
        let marked = self.segments.iter().map(|segment| match segment {
            Segment::Decided(text) => text.clone(),
            Segment::Hunk(hunk) => hunk.marked(),
        });
        marked.collect()
    }

    /// Puts one replacement at each hunk. Every byte outside the hunks stays as it is. A replacement that is
    /// followed by more text ends with a line end, which is added where it is missing.
    pub fn resolve<S: AsRef<str>>(&self, replacements: &[S]) -> Result<Vec<u8>, HunkError> {
        let all: Vec<Option<&S>> = replacements.iter().map(Some).collect();
        self.partly(&all).map(String::into_bytes)
    }

    /// The same where not every hunk has a replacement: the others stand between markers.
    pub fn partly<S: AsRef<str>>(&self, replacements: &[Option<S>]) -> Result<String, HunkError> {
        let hunks = self.hunks().count();
        if replacements.len() != hunks {
            return Err(HunkError::WrongCount {
                given: replacements.len(),
                hunks,
            });
        }
        let mut resolved = String::new();
        let mut replacements = replacements.iter();
        for (index, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Decided(text) => resolved.push_str(text),
                Segment::Hunk(hunk) => {
                    let Some(replacement) = replacements.next().and_then(Option::as_ref) else {
                        resolved.push_str(&hunk.marked());
                        continue;
                    };
                    let replacement = replacement.as_ref();
                    resolved.push_str(replacement);
                    let last = index + 1 == self.segments.len();
                    if !last && !replacement.is_empty() && !replacement.ends_with('\n') {
                        resolved.push_str(hunk.line_end());
                    }
                }
            }
        }
        Ok(resolved)
    }
}

impl Hunk {
    /// The hunk between markers, in diff3 style. Each side ends in a line end, the last of a file, too.
    fn marked(&self) -> String {
        let end = self.line_end();
        let whole = |text: &str| match text.is_empty() || text.ends_with('\n') {
            true => text.to_owned(),
            false => format!("{text}{end}"),
        };
        format!(
            "<<<<<<< ours: the branch{end}{}||||||| base{end}{}======={end}{}>>>>>>> theirs: the work{end}",
            whole(&self.ours),
            whole(&self.base),
            whole(&self.theirs)
        )
    }

    fn line_end(&self) -> &'static str {
        let crlf = [&self.ours, &self.theirs, &self.base]
            .into_iter()
            .any(|text| text.contains("\r\n"));
        if crlf { "\r\n" } else { "\n" }
    }
}

fn text<'a>(content: &'a [u8], side: &'static str) -> Result<&'a str, HunkError> {
    std::str::from_utf8(content)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or(HunkError::NotText { side })
}

/// Whether a line begins with exactly a marker.
fn is_marker(line: &str, sign: char) -> bool {
    let length = line.chars().take_while(|c| *c == sign).count();
    length == MARKER_SIZE && matches!(line.chars().nth(MARKER_SIZE), None | Some(' ' | '\r' | '\n'))
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Decided,
    Ours,
    Base,
    Theirs,
}

/// The segments of ORT's file; `None` if no complete hunk is in it.
fn parse(marked: &str, [begin, end]: &[String; 2]) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut part = Part::Decided;
    let mut decided = String::new();
    let mut hunk = empty_hunk();
    for line in marked.split_inclusive('\n') {
        match part {
            Part::Decided if line.starts_with(begin) => {
                segments.push(Segment::Decided(std::mem::take(&mut decided)));
                part = Part::Ours;
            }
            Part::Ours if is_marker(line, '|') => part = Part::Base,
            Part::Base if is_marker(line, '=') => part = Part::Theirs,
            Part::Theirs if line.starts_with(end) => {
                segments.push(Segment::Hunk(std::mem::replace(&mut hunk, empty_hunk())));
                part = Part::Decided;
            }
            Part::Decided => decided.push_str(line),
            Part::Ours => hunk.ours.push_str(line),
            Part::Base => hunk.base.push_str(line),
            Part::Theirs => hunk.theirs.push_str(line),
        }
    }
    segments.push(Segment::Decided(decided));
    segments.retain(|segment| !matches!(segment, Segment::Decided(text) if text.is_empty()));
    let has_hunk = segments.iter().any(|segment| matches!(segment, Segment::Hunk(_)));
    (has_hunk && part == Part::Decided).then_some(segments)
}

fn empty_hunk() -> Hunk {
    Hunk {
        line: 0,
        base: String::new(),
        ours: String::new(),
        theirs: String::new(),
    }
}

/// Everything between what all three begin with and what all three end with.
fn one_hunk(versions: &Versions<'_>) -> Vec<Segment> {
    let sides =
        [versions.base, versions.ours, versions.theirs].map(|text| text.split_inclusive('\n').collect::<Vec<_>>());
    let shortest = sides.iter().map(Vec::len).min().unwrap_or(0);
    let alike = |at: &dyn Fn(&Vec<&str>) -> usize| {
        let [one, two, three] = [0, 1, 2].map(|side| sides[side][at(&sides[side])]);
        one == two && two == three
    };
    let above = (0..shortest).take_while(|line| alike(&|_| *line)).count();
    let below = (0..shortest - above)
        .take_while(|line| alike(&|side| side.len() - 1 - *line))
        .count();
    let middle = |side: usize| sides[side][above..sides[side].len() - below].concat();
    let mut segments = vec![
        Segment::Decided(sides[0][..above].concat()),
        Segment::Hunk(Hunk {
            line: 0,
            base: middle(0),
            ours: middle(1),
            theirs: middle(2),
        }),
        Segment::Decided(sides[0][sides[0].len() - below..].concat()),
    ];
    segments.retain(|segment| !matches!(segment, Segment::Decided(text) if text.is_empty()));
    segments
}

/// The markers made git end each part with a line end, also where the file has none.
fn restore_file_ends(segments: &mut [Segment], versions: &Versions<'_>) {
    let Some(Segment::Hunk(hunk)) = segments.last_mut() else {
        return;
    };
    for (part, file) in [
        (&mut hunk.base, versions.base),
        (&mut hunk.ours, versions.ours),
        (&mut hunk.theirs, versions.theirs),
    ] {
        for end in ["", "\n", "\r\n"] {
            let shortened = part
                .strip_suffix(end)
                .filter(|shortened| file.ends_with(shortened))
                .map(str::len);
            if let Some(length) = shortened {
                part.truncate(length);
                break;
            }
        }
    }
}

fn number_lines(segments: &mut [Segment]) {
    let mut line = 1;
    for segment in segments {
        match segment {
            Segment::Decided(text) => line += text.matches('\n').count(),
            Segment::Hunk(hunk) => {
                hunk.line = line;
                line += hunk.ours.matches('\n').count();
            }
        }
    }
}
