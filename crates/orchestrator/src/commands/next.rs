//! What to do next with a run. Each command works as it is printed, in the directory this one was called in.

use crate::{
    changes::{Standing, name_of},
    invocation::{Invocation, quoted},
    report::Report,
};
use std::path::Path;

/// The next commands, the most useful one first.
pub(super) fn next_commands(invocation: &Invocation, report: &Report) -> Vec<String> {
    let run = report.short.as_str();
    if let Some(merge) = report.waiting().next() {
        let merge = merge.id.to_string();
        let directory = checkout_directory(&merge);
        return vec![
            invocation.command(&["merges", "show", &merge]),
            invocation.command(&["merges", "checkout", &merge, &directory]),
            invocation.command(&["follow", run]),
        ];
    }
    match &report.commit {
        Some(commit) => of_delivered(invocation, report, commit),
        None => of_undelivered(invocation, report),
    }
}

/// The directory that is suggested for the conflicting files of a merge.
pub(super) fn checkout_directory(merge: &str) -> String {
    format!("merge-{merge}")
}

fn of_undelivered(invocation: &Invocation, report: &Report) -> Vec<String> {
    let run = report.short.as_str();
    let go_on = if report.state.is_final() { "logs" } else { "follow" };
    let mut next = vec![
        invocation.command(&[go_on, run]),
        invocation.command(&["show", run, "--json"]),
    ];
    if Path::new(&report.repository).join(".git").exists() {
        next.push(quoted(&["git", "-C", &report.repository, "status"]));
    }
    next
}

fn of_delivered(invocation: &Invocation, report: &Report, commit: &str) -> Vec<String> {
    let run = report.short.as_str();
    let repository = Path::new(&report.repository);
    let standing = Standing::of(repository, commit);
    let is_held_back = !report.integrity_flags.is_empty() && !report.allow_integrity_flags;
    let mut next = Vec::new();
    if standing != Standing::Unreadable {
        next.push(invocation.command(&["diff", run]));
    }
    if is_held_back && standing != Standing::Merged && report.expired_at.is_none() {
        next.push(invocation.command(&["deliver", run, "--allow-integrity-flags"]));
    }
    next.push(invocation.command(&["show", run, "--json"]));
    if !is_held_back {
        next.extend(in_git(report, repository, commit, standing));
    }
    next
}

/// The step in the repository itself: merge what is not merged, else look at what came.
fn in_git(report: &Report, repository: &Path, commit: &str, standing: Standing) -> Option<String> {
    let name = name_of(repository, &report.branch, commit);
    let git = |words: &[&str]| quoted(&[&["git", "-C", &report.repository], words].concat());
    match (standing, &report.base) {
        (Standing::Unreadable, _) => None,
        (Standing::Unmerged, _) => Some(git(&["merge", name])),
        (Standing::Merged | Standing::NoCheckout, Some(base)) => {
            let base = base.get(..12).unwrap_or(base);
            Some(git(&["log", "--oneline", &format!("{base}..{name}")]))
        }
        (Standing::Merged | Standing::NoCheckout, None) => None,
    }
}
