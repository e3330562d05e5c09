//! Replays what fuzzing has collected and found: see `fuzz/README.md`.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test stops where it breaks; the body is the fuzz target's"
)]

#[path = "../../../fuzz/bodies/redactor.rs"]
mod body;

#[test]
fn corpus_is_read_correctly() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/redactor");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display()); // shown where it fails: the last one is it
        body::run(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0);
}
