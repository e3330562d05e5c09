//! Limits of tools.

use std::time::Duration;

/// Limits of one attempt's tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolLimits {
    /// Bytes shown of a command's output, a search or a listing.
    pub output_bytes: usize,
    /// Bytes shown of one window of a file.
    pub read_bytes: usize,
    /// The largest file that can be read or edited, in bytes.
    pub file_bytes: u64,
    /// The largest content that can be written, in bytes.
    pub write_bytes: usize,
    /// Matches of one search.
    pub search_matches: usize,
    /// The time limit of one search.
    pub search_time: Duration,
    /// Entries of one listing.
    pub list_entries: usize,
    /// The default time limit of a command.
    pub shell_default_time: Duration,
    /// The longest time limit that a call may request for a command.
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
