//! Trees and changes that meet each other often: few paths, many kinds of changes.

use git2::{Index, IndexEntry, IndexTime, Oid, Repository, Signature, Time};
use proptest::prelude::*;
use std::collections::BTreeMap;

pub(crate) const FILE: u32 = 0o100_644;
const EXECUTABLE: u32 = 0o100_755;
const SYMLINK: u32 = 0o120_000;
const SUBMODULE: u32 = 0o160_000;

const PATHS: [&str; 12] = [
    "a.txt",
    "b.txt",
    "B.txt",
    "d/one.txt",
    "d/two.txt",
    "d/e/three.txt",
    "d/e/four.txt",
    "x/y/five.txt",
    "x/six.txt",
    "odd \"name\"\n.txt",
    "d/.gitattributes",
    "z",
];
const DIRECTORIES: [&str; 5] = ["d", "d/e", "x", "x/y", "new/place"];
const ATTRIBUTES: [&str; 9] = [
    "*.txt merge=union\n",
    "* text=auto\n",
    "d/** -merge\n",
    "*.txt text eol=crlf\n",
    "# nothing\n",
    "*.txt filter=lfs diff=lfs\n",
    "one.txt merge=custom\n/a.txt -merge\n",
    "[attr]generated -merge\nd/e/*.txt generated\n",
    "*.txt working-tree-encoding=UTF-16 ident\n",
];

pub(crate) type Files = BTreeMap<String, (u32, Vec<u8>)>;

#[derive(Clone, Debug)]
pub(crate) enum Change {
    EditLine(u8, u8, u8),
    InsertLine(u8, u8, u8),
    DeleteLine(u8, u8),
    MoveLines(u8, u8, u8),
    Delete(u8),
    Rename(u8, u8),
    RenameDirectory(u8, u8),
    SwitchMode(u8),
    Add(u8, u8),
    Link(u8, u8),
    LineEnds(u8),
    Binary(u8, u8),
    Empty(u8),
    Attributes(u8),
    Submodule(u8, u8),
    FileToDirectory(u8),
    DeleteDirectory(u8),
}

/// Lines of which some repeat, as in code.
fn line(number: u8) -> Vec<u8> {
    match number % 5 {
        0 => b"}\n".to_vec(),
        1 => b"\n".to_vec(),
        _ => format!("statement {number}\n").into_bytes(),
    }
}

pub(crate) fn base_files(seed: u8) -> Files {
    let text = |file: usize| {
        (0..20 + file as u8)
            .flat_map(|number| line(number.wrapping_mul(3).wrapping_add(seed)))
            .collect()
    };
    PATHS[..9]
        .iter()
        .enumerate()
        .filter(|(_, path)| **path != "B.txt")
        .map(|(file, path)| ((*path).to_owned(), (FILE, text(file))))
        .collect()
}

fn apply(files: &mut Files, change: &Change) {
    let names: Vec<String> = files.keys().cloned().collect();
    if names.is_empty() {
        return;
    }
    let pick = |number: u8| names[usize::from(number) % names.len()].clone();
    let path = |number: u8| PATHS[usize::from(number) % PATHS.len()].to_owned();
    match *change {
        Change::EditLine(file, at, text) => edit(files, &pick(file), |lines| {
            let at = usize::from(at) % lines.len().max(1);
            if let Some(old) = lines.get_mut(at) {
                *old = line(text);
            }
        }),
        Change::InsertLine(file, at, text) => {
            edit(files, &pick(file), |lines| {
                lines.insert(usize::from(at) % (lines.len() + 1), line(text))
            });
        }
        Change::DeleteLine(file, at) => edit(files, &pick(file), |lines| {
            if !lines.is_empty() {
                lines.remove(usize::from(at) % lines.len());
            }
        }),
        Change::MoveLines(file, from, to) => edit(files, &pick(file), |lines| {
            if lines.len() > 4 {
                let from = usize::from(from) % (lines.len() - 3);
                let moved: Vec<_> = lines.drain(from..from + 3).collect();
                let to = usize::from(to) % (lines.len() + 1);
                lines.splice(to..to, moved);
            }
        }),
        Change::Delete(file) => drop(files.remove(&pick(file))),
        Change::Rename(file, to) => {
            if let Some(content) = files.remove(&pick(file)) {
                put(files, path(to), content);
            }
        }
        Change::RenameDirectory(from, to) => {
            let from = format!("{}/", DIRECTORIES[usize::from(from) % DIRECTORIES.len()]);
            let to = DIRECTORIES[usize::from(to) % DIRECTORIES.len()];
            for name in names.iter().filter(|name| name.starts_with(&from)) {
                if let Some(content) = files.remove(name) {
                    put(files, format!("{to}/moved/{}", &name[from.len()..]), content);
                }
            }
        }
        Change::DeleteDirectory(directory) => {
            let below = format!("{}/", DIRECTORIES[usize::from(directory) % DIRECTORIES.len()]);
            files.retain(|path, _| !path.starts_with(&below));
        }
        Change::SwitchMode(file) => {
            if let Some((mode, _)) = files.get_mut(&pick(file)) {
                *mode = if *mode == FILE { EXECUTABLE } else { *mode };
            }
        }
        Change::Add(at, text) => put(files, path(at), (FILE, (0..text % 12).flat_map(line).collect())),
        Change::Link(file, target) => put(files, pick(file), (SYMLINK, path(target).into_bytes())),
        Change::LineEnds(file) => edit(files, &pick(file), |lines| {
            for line in lines {
                line.pop();
                line.extend_from_slice(b"\r\n");
            }
        }),
        Change::Binary(file, byte) => put(files, pick(file), (FILE, vec![0, byte, 0])),
        Change::Empty(file) => put(files, pick(file), (FILE, Vec::new())),
        Change::Attributes(which) => {
            let rule = ATTRIBUTES[usize::from(which) % ATTRIBUTES.len()];
            put(files, ".gitattributes".to_owned(), (FILE, rule.as_bytes().to_vec()));
        }
        Change::Submodule(at, commit) => put(files, path(at), (SUBMODULE, vec![commit.max(1); 20])),
        Change::FileToDirectory(file) => {
            let name = pick(file);
            if let Some(content) = files.remove(&name) {
                put(files, format!("{name}/inside"), content);
            }
        }
    }
}

fn edit(files: &mut Files, name: &str, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    if let Some((FILE | EXECUTABLE, content)) = files.get_mut(name) {
        let mut lines = content
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        change(&mut lines);
        *content = lines.concat();
    }
}

/// A path can't be a file and a directory: the newcomer wins.
fn put(files: &mut Files, path: String, content: (u32, Vec<u8>)) {
    files.retain(|other, _| !other.starts_with(&format!("{path}/")) && !path.starts_with(&format!("{other}/")));
    files.insert(path, content);
}

/// Commits some files.
pub(crate) fn commit(repository: &Repository, files: &Files, parents: &[Oid]) -> Oid {
    let mut index = Index::new().unwrap();
    for (path, (mode, content)) in files {
        let id = match *mode {
            SUBMODULE => Oid::from_bytes(content).unwrap(),
            _ => repository.blob(content).unwrap(),
        };
        index.add(&entry(path, *mode, id)).unwrap();
    }
    let tree = repository.find_tree(index.write_tree_to(repository).unwrap()).unwrap();
    let signature = Signature::new("T", "t@example.org", &Time::new(1_700_000_000, 0)).unwrap();
    let parents: Vec<_> = parents
        .iter()
        .map(|oid| repository.find_commit(*oid).unwrap())
        .collect();
    let parents: Vec<_> = parents.iter().collect();
    repository
        .commit(None, &signature, &signature, "c", &tree, &parents)
        .unwrap()
}

/// The files after some changes.
pub(crate) fn changed(files: &Files, changes: &[Change]) -> Files {
    let mut files = files.clone();
    changes.iter().for_each(|change| apply(&mut files, change));
    files
}

fn change() -> impl Strategy<Value = Change> {
    let n = any::<u8>;
    prop_oneof![
        6 => (n(), n(), n()).prop_map(|(a, b, c)| Change::EditLine(a, b, c)),
        4 => (n(), n(), n()).prop_map(|(a, b, c)| Change::InsertLine(a, b, c)),
        2 => (n(), n()).prop_map(|(a, b)| Change::DeleteLine(a, b)),
        1 => (n(), n(), n()).prop_map(|(a, b, c)| Change::MoveLines(a, b, c)),
        2 => n().prop_map(Change::Delete),
        3 => (n(), n()).prop_map(|(a, b)| Change::Rename(a, b)),
        2 => (n(), n()).prop_map(|(a, b)| Change::RenameDirectory(a, b)),
        1 => n().prop_map(Change::SwitchMode),
        3 => (n(), n()).prop_map(|(a, b)| Change::Add(a, b)),
        1 => (n(), n()).prop_map(|(a, b)| Change::Link(a, b)),
        1 => n().prop_map(Change::LineEnds),
        1 => (n(), n()).prop_map(|(a, b)| Change::Binary(a, b)),
        1 => n().prop_map(Change::Empty),
        1 => n().prop_map(Change::Attributes),
        1 => (n(), n()).prop_map(|(a, b)| Change::Submodule(a, b)),
        1 => n().prop_map(Change::FileToDirectory),
        1 => n().prop_map(Change::DeleteDirectory),
    ]
}

/// One to four changes.
pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(change(), 1..5)
}

fn entry(path: &str, mode: u32, id: Oid) -> IndexEntry {
    let time = IndexTime::new(0, 0);
    let path = path.as_bytes().to_vec();
    let (dev, ino, uid, gid, file_size, flags, flags_extended) = (0, 0, 0, 0, 0, 0, 0);
    IndexEntry {
        ctime: time,
        mtime: time,
        dev,
        ino,
        mode,
        uid,
        gid,
        file_size,
        id,
        flags,
        flags_extended,
        path,
    }
}
