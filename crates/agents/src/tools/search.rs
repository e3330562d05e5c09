//! `search`: lines that match a regular expression.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::sinks::Lossy;
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder};
use ignore::WalkBuilder;
use sandbox::CancellationToken;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::files::{FileError, Files, Kind, Place, Tree, is_git_name};
use super::list_dir::plain;
use super::read_file::prefix;
use super::{Done, ToolFailure, ToolLimits, arguments};

pub(super) const DESCRIPTION: &str = "Searches the text files of the worktree, or of one directory or file, for lines \
    that match a regular expression (Rust syntax; (?i) ignores case). Files that .gitignore names and binary files \
    are left out. Shows path:line:text.";

/// A longer line is cut when shown.
const LINE_BYTES: usize = 300;

/// Memory for one line while searching.
const HEAP_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The regular expression.
    pattern: String,
    /// The directory or file to search, relative to the worktree; all of it if not given.
    #[serde(default)]
    path: Option<String>,
}

pub(super) async fn run(
    files: Arc<Files>,
    limits: &ToolLimits,
    arguments: &str,
    cancel: &CancellationToken,
) -> Result<Done, ToolFailure> {
    let arguments: Arguments = arguments::parse(arguments)?;
    let matcher = matcher(&arguments.pattern)?;
    let mut hits = Hits {
        limits: *limits,
        started: Instant::now(),
        cancel: cancel.clone(),
        text: String::new(),
        count: 0,
        stopped: None,
    };
    let (sender, answer) = oneshot::channel();
    // A thread of its own: a walk may hang on a file that a worker made (a pipe named .gitignore), and then only this
    // thread hangs.
    std::thread::Builder::new()
        .name("search".to_owned())
        .spawn(move || {
            let given = arguments.path.as_deref().unwrap_or(".");
            let searched = files.locate(given).map_err(ToolFailure::from).and_then(|place| {
                hits.search(&place, &matcher)?;
                Ok(hits.report(&arguments.pattern))
            });
            drop(sender.send(searched));
        })
        .map_err(|error| ToolFailure::new("system", format!("The search could not be started: {error}.")))?;
    let too_long = || ToolFailure::new("timeout", "The search took too long. Search a smaller directory.");
    tokio::select! {
        searched = answer => searched.unwrap_or_else(|_| Err(ToolFailure::new("internal", "The search broke down; try another pattern."))),
        // Twice the limit, because the search checks the time only between files.
        () = tokio::time::sleep(limits.search_time * 2) => Err(too_long()),
        () = cancel.cancelled() => Err(ToolFailure::new("cancelled", "The search was cancelled.")),
    }
    .map(Done::text)
}

fn matcher(pattern: &str) -> Result<RegexMatcher, ToolFailure> {
    RegexMatcherBuilder::new()
        .line_terminator(Some(b'\n'))
        .build(pattern)
        .map_err(|error| {
            let text = format!(
                "`{pattern}` is not a regular expression for one line: {error}. Put a backslash before characters that \
             are meant literally."
            );
            ToolFailure::new("bad_pattern", text)
        })
}

/// Collects matches until a limit is reached.
struct Hits {
    limits: ToolLimits,
    started: Instant,
    cancel: CancellationToken,
    text: String,
    count: usize,
    /// Why the search ended early.
    stopped: Option<String>,
}

impl Hits {
    fn search(&mut self, place: &Place<'_>, matcher: &RegexMatcher) -> Result<(), FileError> {
        let mut searcher = SearcherBuilder::new()
            .line_number(true)
            .binary_detection(BinaryDetection::quit(0))
            .heap_limit(Some(HEAP_BYTES))
            .build();
        match place.tree.look(&place.relative, &place.given)? {
            None => Err(FileError::NotFound {
                path: place.given.clone(),
            }),
            Some((Kind::File, real)) => {
                self.search_file(place.tree, &real, matcher, &mut searcher);
                Ok(())
            }
            Some((Kind::Directory, real)) => {
                self.search_directory(place.tree, &real, matcher, &mut searcher);
                Ok(())
            }
            Some((Kind::Link | Kind::Special, _)) => Err(FileError::Special {
                path: place.given.clone(),
            }),
        }
    }

    fn search_directory(&mut self, tree: &Tree, directory: &Path, matcher: &RegexMatcher, searcher: &mut Searcher) {
        for path in walk(&tree.real_root().join(directory), self.limits.file_bytes) {
            if let Ok(relative) = path.strip_prefix(tree.real_root()) {
                self.search_file(tree, relative, matcher, searcher);
            }
            if self.started.elapsed() > self.limits.search_time {
                self.stopped = Some("time ran out".to_owned());
            } else if self.cancel.is_cancelled() {
                self.stopped = Some("cancelled".to_owned());
            }
            if self.stopped.is_some() {
                return;
            }
        }
    }

    fn search_file(&mut self, tree: &Tree, relative: &Path, matcher: &RegexMatcher, searcher: &mut Searcher) {
        let shown = plain(&relative.to_string_lossy());
        // The walk uses names, but files are opened beneath the directory. Files that can't be opened are skipped.
        let Ok((file, _)) = tree.open_file(relative, &shown) else {
            return;
        };
        let sink = Lossy(|number, line| Ok(self.add(&shown, number, line)));
        if let Err(error) = searcher.search_file(matcher, &file, sink) {
            tracing::debug!(path = shown, %error, "a file could not be searched");
        }
    }

    /// Keeps one match; `false` when the limit is reached.
    fn add(&mut self, path: &str, number: u64, line: &str) -> bool {
        let line = line.trim_end_matches(['\n', '\r']);
        let shown = prefix(line, LINE_BYTES);
        let more = if shown.len() < line.len() { " […]" } else { "" };
        let hit = format!("{path}:{number}:{shown}{more}\n");
        if self.count == self.limits.search_matches || self.text.len() + hit.len() > self.limits.output_bytes {
            self.stopped = Some(format!("only the first {} matches are shown", self.count));
            return false;
        }
        self.text.push_str(&hit);
        self.count += 1;
        true
    }

    fn report(self, pattern: &str) -> String {
        match self.stopped {
            Some(reason) => format!("{}[{reason}; narrow the pattern or the path]", self.text),
            None if self.count == 0 => format!("[nothing matches `{pattern}`]"),
            None => self.text,
        }
    }
}

/// The files below a directory, sorted by name, without those that the repository ignores.
fn walk(directory: &Path, limit_bytes: u64) -> impl Iterator<Item = PathBuf> {
    WalkBuilder::new(directory)
        .hidden(false)
        .parents(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .follow_links(false)
        .max_filesize(Some(limit_bytes))
        .sort_by_file_path(Path::cmp)
        .filter_entry(|entry| !is_git_name(entry.file_name()))
        .build()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()))
        .map(ignore::DirEntry::into_path)
}
