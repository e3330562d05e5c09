//! Numbers, times and states as text.

use api::{TaskStatus, Tone};
use domain::{NanoDollars, merge::MergeState, run::RunState};
use maud::{Markup, html};
use std::time::Duration;
use time::OffsetDateTime;

/// Quoted for a shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@%".contains(letter);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// A recorded number of milliseconds for people.
pub(super) fn duration(ms: i64) -> String {
    api::duration_text(Duration::from_millis(ms.max(0).unsigned_abs()))
}

/// How long ago that was; the exact time is the tooltip.
pub(super) fn ago(at: OffsetDateTime) -> Markup {
    let passed = OffsetDateTime::now_utc() - at;
    let age = api::duration_text(passed.try_into().unwrap_or_default());
    html! { time datetime=(iso(at)) title=(iso(at)) { (age) " ago" } }
}

pub(super) fn iso(at: OffsetDateTime) -> String {
    at.format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_default()
}

/// The cost, its limit, and the number of calls without a price.
pub(super) fn cost(spent: NanoDollars, cap: Option<NanoDollars>, unpriced_calls: i64) -> String {
    let mut text = spent.to_string();
    if let Some(cap) = cap {
        text.push_str(&format!(" of {cap}"));
    }
    if unpriced_calls > 0 {
        text.push_str(&format!(" + {unpriced_calls} unpriced"));
    }
    text
}

/// A state of a run: a word and a colour.
pub(super) fn run_state(state: RunState) -> Markup {
    let tone = match state {
        RunState::Planning | RunState::Running => "active",
        RunState::Delivering => "merging",
        RunState::Complete => "complete",
        RunState::Failed => "failed",
        RunState::Cancelled => "waiting",
    };
    html! { span class={ "state " (tone) } { (state.as_str()) } }
}

/// A task's status: a sign, one line and a colour.
pub(super) fn status(status: &TaskStatus) -> Markup {
    html! { span class={ "state " (class(status.tone())) } { (status.tone().sign()) " " (status.words()) } }
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Waiting | Tone::Cancelled => "waiting",
        Tone::Active => "active",
        Tone::Merging => "merging",
        Tone::Complete => "complete",
        Tone::NeedsYou => "asks",
        Tone::Failed => "failed",
    }
}

/// A state of a merge: a sign, a word and a colour.
pub(super) fn merge_state(state: MergeState) -> Markup {
    let (sign, words, tone) = match state {
        MergeState::Waiting => ("!", "waits for you", "asks"),
        MergeState::Queued => ("○", state.as_str(), "waiting"),
        MergeState::Merging | MergeState::Resolving | MergeState::Verifying => ("◆", state.as_str(), "merging"),
        MergeState::Landed => ("✓", state.as_str(), "complete"),
        MergeState::Rejected | MergeState::Error => ("✗", state.as_str(), "failed"),
    };
    html! { span class={ "state " (tone) } { (sign) " " (words) } }
}
