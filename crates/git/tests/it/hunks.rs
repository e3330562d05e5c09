use crate::support::{Fixture, numbered, with_line};
use domain::CommitId;
use git::{ConflictedText, HunkError, MergeOutcome};
use proptest::prelude::*;

fn merged(fixture: &Fixture, ours: &CommitId, theirs: &CommitId) -> Option<Result<ConflictedText, HunkError>> {
    match fixture.hub.merge(ours, theirs).unwrap() {
        MergeOutcome::Conflicted(conflict) => Some(fixture.hub.hunks(&conflict, &conflict.files[0])),
        _ => None,
    }
}

fn hunks_of(base: &str, ours: &str, theirs: &str) -> ConflictedText {
    let fixture = Fixture::with(|user| user.write("file", base));
    let ours = fixture.commit_on(&fixture.base, |user| user.write("file", ours));
    let theirs = fixture.commit_on(&fixture.base, |user| user.write("file", theirs));
    merged(&fixture, &ours, &theirs).unwrap().unwrap()
}

#[test]
fn a_hunk_has_three_sides_a_line_and_surroundings() {
    let base = numbered(40);
    let ours = with_line(&with_line(&with_line(&base, 2, "top"), 20, "ours 20"), 35, "ours 35");
    let theirs = with_line(&with_line(&base, 20, "theirs 20"), 35, "theirs 35");
    let text = hunks_of(&base, &ours, &theirs);
    let hunks: Vec<_> = text.hunks().collect();
    assert_eq!(hunks.len(), 2);
    assert_eq!((hunks[0].line, hunks[0].ours.as_str()), (20, "ours 20\n"));
    assert_eq!(
        (hunks[0].base.as_str(), hunks[0].theirs.as_str()),
        ("line 20\n", "theirs 20\n")
    );
    assert_eq!(hunks[1].line, 35);
    assert_eq!(
        text.surroundings(0, 2),
        ("line 18\nline 19\n".to_owned(), "line 21\nline 22\n".to_owned())
    );
    let resolved = String::from_utf8(text.resolve(&["both 20", "both 35\nand more\n"]).unwrap()).unwrap();
    let expected = with_line(
        &with_line(&with_line(&base, 2, "top"), 20, "both 20"),
        35,
        "both 35\nand more",
    );
    assert_eq!(resolved, expected);
    assert!(matches!(
        text.resolve(&["one"]),
        Err(HunkError::WrongCount { given: 1, hunks: 2 })
    ));
}

#[test]
fn taking_one_side_everywhere_gives_that_side_byte_for_byte() {
    for (base, ours, theirs) in [
        ("a\nb\nc\n", "a\nX\nc\n", "a\nY\nc\n"),
        ("a\nb", "a\nX", "a\nY\n"),
        ("a\nb\n", "a\nX\n", "a\nY"),
        ("a\r\nb\r\nc\r\n", "a\r\nX\r\nc\r\n", "a\r\nY\r\nc\r\n"),
        ("a\r\nb", "a\r\nX", "a\r\nY"),
        ("a\n=======\nb\n", "a\n=======\nX\n", "a\n=======\nY\n"),
        ("a\n||||||| b\nb\n", "a\n||||||| b\nX\n", "a\n||||||| b\nY\n"),
        ("a\nb\n", "a\n<<<<<<< x\n", "a\n>>>>>>> y\n"),
        ("b\n", "", "c\n"),
    ] {
        if ours.is_empty() {
            continue;
        }
        let text = hunks_of(base, ours, theirs);
        let side = |of: fn(&git::Hunk) -> &String| {
            let replacements: Vec<_> = text.hunks().map(|hunk| of(hunk).clone()).collect();
            String::from_utf8(text.resolve(&replacements).unwrap()).unwrap()
        };
        assert_eq!(side(|hunk| &hunk.ours), ours, "{base:?}");
        assert_eq!(side(|hunk| &hunk.theirs), theirs, "{base:?}");
        assert_eq!(side(|hunk| &hunk.base), base, "{base:?}");
    }
}

#[test]
fn both_sides_adding_a_file_is_one_hunk_without_base() {
    let fixture = Fixture::new();
    let ours = fixture.commit_on(&fixture.base, |user| user.write("new", "one\nours\n"));
    let theirs = fixture.commit_on(&fixture.base, |user| user.write("new", "one\ntheirs\n"));
    let text = merged(&fixture, &ours, &theirs).unwrap().unwrap();
    assert!(text.hunks().all(|hunk| hunk.base.is_empty()));
    let ours: Vec<_> = text.hunks().map(|hunk| hunk.ours.clone()).collect();
    assert_eq!(text.resolve(&ours).unwrap(), b"one\nours\n");
}

#[test]
fn binary_files_have_no_hunks() {
    let fixture = Fixture::with(|user| user.write("file", "base\n"));
    let ours = fixture.commit_on(&fixture.base, |user| user.write("file", b"caf\xe9\n"));
    let theirs = fixture.commit_on(&fixture.base, |user| user.write("file", "tea\n"));
    let error = merged(&fixture, &ours, &theirs).unwrap().unwrap_err();
    assert!(matches!(error, HunkError::NotText { side: "our" }), "{error}");
}

fn edited(base: &[u8]) -> impl Strategy<Value = Vec<u8>> {
    let base = base.to_vec();
    prop::collection::vec((0..base.len(), 0..4u8, b'p'..=b's'), 1..4).prop_map(move |edits| {
        let mut lines = base.clone();
        for (position, action, letter) in edits {
            let position = position.min(lines.len().saturating_sub(1));
            match action {
                0 if lines.len() > 1 => drop(lines.remove(position)),
                1 => lines.insert(position, letter),
                _ => lines[position] = letter,
            }
        }
        lines
    })
}

fn as_text(letters: &[u8]) -> String {
    letters.iter().map(|letter| format!("{}\n", *letter as char)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_outside_the_hunks_are_gits(ours in edited(b"abcdefghijkl"), theirs in edited(b"abcdefghijkl")) {
        let fixture = Fixture::with(|user| user.write("file", as_text(b"abcdefghijkl")));
        let ours = fixture.commit_on(&fixture.base, |user| user.write("file", as_text(&ours)));
        let theirs = fixture.commit_on(&fixture.base, |user| user.write("file", as_text(&theirs)));
        if let MergeOutcome::Conflicted(conflict) = fixture.hub.merge(&ours, &theirs).unwrap() {
            let text = fixture.hub.hunks(&conflict, &conflict.files[0]).unwrap();
            // Writing each hunk as git writes it gives git's own file.
            let base = conflict.base.clone().unwrap();
            let marked: Vec<_> = text.hunks().map(|hunk| format!(
                "<<<<<<< {ours}\n{}||||||| {}\n{}=======\n{}>>>>>>> {theirs}\n", hunk.ours, base.short(), hunk.base, hunk.theirs
            )).collect();
            let whole = fixture.hub.commit_tree(&conflict.tree_with_markers, &[], &crate::support::stamp("marked")).unwrap();
            let file = fixture.hub.read_file(&whole, &"file".into()).unwrap().unwrap();
            prop_assert_eq!(String::from_utf8(text.resolve(&marked).unwrap()).unwrap(), String::from_utf8(file).unwrap());
        }
    }
}
