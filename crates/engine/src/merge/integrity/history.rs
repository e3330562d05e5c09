//! A measurement, run by hand: the share of a repository's history that would be flagged.

use super::{Inspection, Scope};
use domain::plan::PlanDocument;
use git::Hub;
use std::{collections::BTreeMap, path::PathBuf};

/// Commits that are looked at.
const COMMITS: usize = 5_000;

/// `INTEGRITY_HISTORY=/path/to/repository INTEGRITY_CHECK='cargo test' cargo test -p engine --lib share_of_history -- \
/// --ignored --nocapture`
#[test]
#[ignore = "a measurement on a repository of your choice"]
fn share_of_history() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let repository = std::env::var_os("INTEGRITY_HISTORY").map_or(here, PathBuf::from);
    let check = std::env::var("INTEGRITY_CHECK").unwrap_or_else(|_| "cargo test".to_owned());
    let directory = tempfile::tempdir().unwrap();
    let hub = Hub::open_or_create(&directory.path().join("hub"), &repository).unwrap();
    let head = match git::inspect(&repository).unwrap() {
        git::Found::Repository { head: Some(head), .. } => head,
        _ => panic!("{} has no commit", repository.display()),
    };
    let task = PlanDocument::single("x", "coder", "y").tasks.remove(0);
    let scope = Scope::of(&task, &[]);
    let (mut looked, mut flagged, mut twice) = (0, 0, 0);
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for commit in hub.log(None, &head, COMMITS).unwrap() {
        let [parent] = commit.parents.as_slice() else {
            continue;
        };
        looked += 1;
        let found = Inspection::of(&hub, &check, &scope, parent, &commit.commit).unwrap();
        twice += usize::from(!found.restored().is_empty());
        flagged += usize::from(!found.flags.is_empty());
        for flag in &found.flags {
            *kinds.entry(flag.kind.to_string()).or_default() += 1;
            println!(
                "{} {}: {}: {}",
                commit.commit.short(),
                commit.summary,
                flag.title(),
                flag.detail
            );
        }
    }
    println!("{flagged} of {looked} commits flagged by their tree, {twice} checked twice; flags: {kinds:?}");
    assert!(looked > 0);
}
