//! What `git fsck` says of very many names.

use super::reserved;
use crate::{
    process::isolated,
    tree::{FILE, LINK},
};
use git2::{ObjectType, Repository};
use std::collections::{BTreeMap, BTreeSet};

const WORDS: [&str; 16] = [
    ".git",
    "git~1",
    "git~2",
    ".gitmodules",
    ".gitattributes",
    ".gitignore",
    ".mailmap",
    "gitmod~1",
    "GITATT~4",
    "gitign~5",
    "gi7eba~1",
    "gi7d~123",
    "GI250A~9",
    "maba30~2",
    "g~123456",
    ".github",
];
const ENDS: [&str; 14] = [
    "",
    "",
    "",
    " ",
    ".",
    ". .",
    ":x",
    "::$INDEX_ALLOCATION",
    " :x",
    "\\",
    "\\hooks",
    "x",
    "~1",
    "\u{200b}",
];
const BEGINNINGS: [&str; 8] = ["", "", "", "", "a\\", "\\", ".", " "];
const IGNORED: [char; 16] = [
    '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{206a}', '\u{206b}', '\u{206c}', '\u{206d}', '\u{206e}', '\u{206f}', '\u{feff}',
];

/// A name near one that git reserves.
fn name(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut name = Vec::new();
    name.extend_from_slice(random.choice(BEGINNINGS).unwrap().as_bytes());
    for char in random.choice(WORDS).unwrap().chars() {
        match random.u8(..40) {
            0 => continue,
            1 | 2 => name.extend_from_slice(random.choice(IGNORED).unwrap().to_string().as_bytes()),
            3 => name.push(0xff),
            _ => {}
        }
        match random.u8(..3) {
            0 => name.push(char.to_ascii_uppercase() as u8),
            _ => name.push(char as u8),
        }
    }
    for _ in 0..random.u8(..3) {
        name.extend_from_slice(random.choice(ENDS).unwrap().as_bytes());
    }
    if random.u8(..12) == 0 {
        name.extend_from_slice(random.choice(IGNORED).unwrap().to_string().as_bytes());
    }
    name
}

/// git refuses by one file system's rules at a time; ours may be stricter only where several meet in one name, or where a
/// name is no text.
#[test]
fn same_names_are_refused_as_by_git() {
    let directory = tempfile::tempdir().unwrap();
    let repository = Repository::init_bare(directory.path()).unwrap();
    let blob = repository.blob(b"x").unwrap();
    let mut random = fastrand::Rng::with_seed(8);
    let mut trees = BTreeMap::new();
    for _ in 0..3_000 {
        let (name, mode) = (name(&mut random), random.choice([FILE, LINK]).unwrap());
        if matches!(&name[..], b"" | b"." | b"..") {
            continue;
        }
        let tree = [format!("{mode:o} ").as_bytes(), &name, b"\0", blob.as_bytes()].concat();
        let tree = repository.odb().unwrap().write(ObjectType::Tree, &tree).unwrap();
        trees.insert(tree.to_string(), (name, mode));
    }
    let said = isolated("git")
        .current_dir(directory.path())
        .args(["fsck", "--no-dangling"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let refused: BTreeSet<&str> = said
        .lines()
        .filter(|line| line.contains("hasDotgit") || line.contains("Symlink"))
        .filter_map(|line| line.split_once(" in tree ")?.1.split(':').next())
        .collect();
    assert!(
        refused.len() > 200,
        "git refused only {} of {}",
        refused.len(),
        trees.len()
    );
    let mut plain = 0;
    for (tree, (name, mode)) in &trees {
        let (theirs, ours) = (refused.contains(tree.as_str()), reserved(name, *mode).is_some());
        let shown = String::from_utf8_lossy(name);
        assert!(ours || !theirs, "git refuses {shown:?} ({mode:o}), and this does not");
        if name.is_ascii() {
            plain += 1;
            // git looks for links behind a backslash only for `.gitmodules`.
            assert!(
                theirs || !ours || name.contains(&b'\\'),
                "git takes {shown:?} ({mode:o})"
            );
        }
    }
    assert!(plain > 500, "{plain} plain names");
}
