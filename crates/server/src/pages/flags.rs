//! Integrity flags on pages.

use api::IntegrityFlag;
use domain::integrity::IntegrityFlagKind;
use engine::view::RunDetail;
use maud::{Markup, html};

/// The flags of the landed merges of a run.
pub(super) fn of_run(detail: &RunDetail) -> Markup {
    html! {
        p { @if detail.allow_integrity_flags { "You consented to fast-forward the checkout despite them." } @else {
            "These changes weaken the check command, or other programs execute them by themselves. The checkout is not fast-forwarded without your consent." } }
        div.scroll { table {
            thead { tr { th { "Kind" } th { "File" } th { "Finding" } th { "Task" } th { "Merge" } } }
            tbody { @for view in &detail.integrity_flags { tr {
                (line(view.flag.kind, view.flag.path.as_deref(), &view.flag.detail))
                td { code { (view.task) } }
                td { a href={ "/merges/" (view.merge) } { (view.merge) } }
            } } }
        } }
    }
}

/// The flags of one merge.
pub(super) fn of_merge(flags: &[IntegrityFlag]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "Kind" } th { "File" } th { "Finding" } } }
            tbody { @for flag in flags { tr { (line(flag.kind, flag.path.as_deref(), &flag.detail)) } } }
        } }
    }
}

/// The number of flags.
pub(super) fn count(flags: usize) -> Markup {
    html! {
        @match flags { 0 => {}, 1 => { "; 1 integrity flag" }, many => { "; " (many) " integrity flags" } }
    }
}

fn line(kind: IntegrityFlagKind, path: Option<&str>, detail: &str) -> Markup {
    html! {
        td { (kind.as_str().replace('_', " ")) }
        td { @if let Some(path) = path { code { (path) } } }
        td.wide { (detail) }
    }
}
