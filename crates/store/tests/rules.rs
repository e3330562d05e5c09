//! No query decides by the name of a state: what a state allows is decided in `domain`.

use domain::{
    effect::EffectKind,
    merge::{Decision, Layer, MergeState},
    money::CallState,
    run::RunState,
    task::TaskState,
};
use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn no_query_names_a_state() {
    let names: BTreeSet<&str> = []
        .into_iter()
        .chain(RunState::NAMES)
        .chain(TaskState::NAMES)
        .chain(MergeState::NAMES)
        .chain(CallState::NAMES)
        .chain(EffectKind::NAMES)
        .chain(Layer::NAMES)
        .chain(Decision::NAMES)
        .collect();
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.sqlx");
    let mut read = 0;
    for entry in fs::read_dir(queries).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let description: serde_json::Value = serde_json::from_str(&text).unwrap();
        let query = description["query"].as_str().unwrap();
        let named: Vec<_> = names
            .iter()
            .filter(|name| query.contains(&format!("'{name}'")))
            .collect();
        assert!(
            named.is_empty(),
            "{named:?} should be parameters, from `as_str` or `names`:\n{query}"
        );
        read += 1;
    }
    assert!(read > 100, "only {read} queries were found");
}
