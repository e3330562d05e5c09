//! How much a tool may take or show.

use std::time::Duration;

/// Limits of one attempt's tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolLimits {
    /// What a command, a search or a listing shows, in bytes of text.
    pub output_bytes: usize,
    /// What one window of a file shows, in bytes of text.
    pub read_bytes: usize,
    /// The largest file that is read or edited, in bytes.
    pub file_bytes: u64,
    /// The largest content a file is given, in bytes.
    pub write_bytes: usize,
    /// Matches of one search.
    pub search_matches: usize,
    /// How long one search may take.
    pub search_time: Duration,
    /// Entries of one listing.
    pub list_entries: usize,
    /// A command's time unless it asks for another.
    pub shell_default_time: Duration,
    /// The longest time a command may ask for.
    pub shell_longest_time: Duration,
}

impl Default for ToolLimits {
    fn default() -> Self {
        Self {
            output_bytes: 10_000,
            read_bytes: 24_000,
            file_bytes: 16 * 1024 * 1024,
            write_bytes: 4 * 1024 * 1024,
            search_matches: 200,
            search_time: Duration::from_secs(20),
            list_entries: 400,
            shell_default_time: Duration::from_secs(120),
            shell_longest_time: Duration::from_secs(900),
        }
    }
}
