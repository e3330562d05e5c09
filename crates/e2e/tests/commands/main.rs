//! The commands of the binary: what they open, create, start and print.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod caller;
mod manual;
mod next;
mod nothing_there;
mod one_change;
mod other_databases;
mod printed;
mod snapshots;

use std::{path::Path, process::Output};

/// Both streams of a command, as text.
fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Every path below a directory.
fn tree(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<String> = entries
        .flat_map(|entry| {
            let below = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                tree(&entry.path())
            } else {
                Vec::new()
            };
            below.into_iter().chain([entry.path().display().to_string()])
        })
        .collect();
    paths.sort();
    paths
}
