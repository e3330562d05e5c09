//! Lines of `.gitattributes` that make git run a program: a filter, a diff or a merge driver.

use super::list::{BUILT_IN_DIFF, BUILT_IN_MERGE};
use std::collections::BTreeSet;

/// A line in a sentence is cut here.
const SHOWN_CHARACTERS: usize = 120;

/// What changed of such lines, in a sentence; `None`: nothing did.
pub(super) fn changed(before: &[u8], after: &[u8]) -> Option<String> {
    let (before, after) = (lines(before), lines(after));
    let new: Vec<&str> = after.difference(&before).map(String::as_str).collect();
    let gone: Vec<&str> = before.difference(&after).map(String::as_str).collect();
    match (new.first(), gone.first()) {
        (Some(line), _) => Some(format!("makes git run a program for these paths: `{}`", shown(line))),
        (None, Some(line)) => Some(format!(
            "git runs no program for these paths any more: `{}`",
            shown(line)
        )),
        (None, None) => None,
    }
}

fn shown(line: &str) -> String {
    line.chars().take(SHOWN_CHARACTERS).collect()
}

/// The lines that name a driver, whatever they are for.
fn lines(text: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(text);
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with('#') && line.split_whitespace().any(names_a_driver))
        .map(str::to_owned)
        .collect()
}

fn names_a_driver(word: &str) -> bool {
    match word.split_once('=') {
        Some(("filter", _)) => true,
        Some(("diff", driver)) => !BUILT_IN_DIFF.contains(&driver),
        Some(("merge", driver)) => !BUILT_IN_MERGE.contains(&driver),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::changed;

    #[test]
    fn only_lines_that_name_a_driver_count() {
        let quiet = "* text=auto\n*.rs diff=rust\n*.lock -merge\nCHANGELOG.md merge=union\n# x filter=y\n*.png binary -filter\n";
        assert_eq!(changed(b"", quiet.as_bytes()), None);
        for loud in [
            "*.x filter=evil",
            "[attr]m diff=evil",
            "\"a b\" merge=evil text",
            "*.x\tfilter=evil\r",
        ] {
            let after = format!("{quiet}{loud}\n");
            let said = changed(quiet.as_bytes(), after.as_bytes());
            assert!(said.is_some_and(|said| said.contains("evil")), "{loud}");
            assert_eq!(changed(after.as_bytes(), after.as_bytes()), None);
            let said = changed(after.as_bytes(), quiet.as_bytes());
            assert!(said.is_some_and(|said| said.contains("no program")), "{loud}");
        }
    }
}
