//! The top-level modules of each crate must form no cycle; edges are read from the sources.

mod graph;
mod source;

use graph::Edges;
use std::{fs, path::Path};

/// Edges that still form a cycle: crate, importing and imported module. The list only shrinks.
const EXCEPTIONS: [(&str, &str, &str); 3] = [
    ("sandbox", "bubblewrap", "lib.rs"),
    ("sandbox", "environment", "lib.rs"),
    ("secrets", "json", "lib.rs"),
];

#[test]
fn modules_form_no_cycle() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut faults = Vec::new();
    for entry in fs::read_dir(crates).expect("the crates can be listed") {
        let directory = entry.expect("a crate can be looked at").path();
        if !directory.join("src").is_dir() {
            continue;
        }
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut edges = source::edges(&directory.join("src"));
        let excepted: Vec<_> = EXCEPTIONS
            .iter()
            .filter(|(crate_name, ..)| *crate_name == name)
            .collect();
        let removed: Vec<_> = excepted.iter().map(|(_, from, to)| edges.remove(from, to)).collect();
        for ((_, from, to), was_there) in excepted.iter().zip(removed) {
            if !was_there || edges.path(to, from).is_none() {
                faults.push(format!(
                    "{name}: {from} → {to} closes no cycle any more: take it out of EXCEPTIONS"
                ));
            }
        }
        if let Some(cycle) = edges.shortest_cycle() {
            faults.push(format!("{name}: {}", described(&edges, &cycle)));
        }
    }
    faults.sort();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn described(edges: &Edges, cycle: &[String]) -> String {
    let mut text = format!(
        "modules use each other in a circle: {}. Move what both need into a module below them, or pass it as a parameter",
        cycle.join(" → ")
    );
    for pair in cycle.windows(2) {
        text.push_str(&format!(
            "\n  {} → {}: {}",
            pair[0],
            pair[1],
            edges.sites(&pair[0], &pair[1])
        ));
    }
    text
}

#[test]
fn every_form_of_a_path_is_an_edge() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("the directory is made");
        fs::write(path, text).expect("the file is written");
    };
    write(
        "lib.rs",
        "mod a; mod b; mod c; mod d; mod e; mod f; pub use e::deep::{Thing, Other as Renamed}; pub const LIMIT: u8 = 1;",
    );
    write("a.rs", "use crate::{b::{X, y::Z}, c};");
    write("b/mod.rs", "mod y; fn f() { println!(\"{}\", crate::c::value()) }");
    write(
        "b/y.rs",
        "use super::super::d; mod inner { use super::super::super::e::E; }",
    );
    write("c.rs", "fn f(thing: crate::Thing) -> crate::Renamed { crate::LIMIT }");
    write(
        "d.rs",
        "// crate::a\nconst A: &str = \"crate::a\"; #[cfg(test)] mod tests { use crate::a; } #[cfg(test)] mod oracle;",
    );
    write("d/oracle.rs", "use crate::a;");
    write("e/mod.rs", "mod deep;");
    write("f.rs", "pub(in crate::f) fn f() { self::g::<crate::a::A>() }");
    let edges = source::edges(root.path());
    assert_eq!(
        edges.all(),
        [
            "a → b",
            "a → c",
            "b → c",
            "b → d",
            "b → e",
            "c → e",
            "c → lib.rs",
            "f → a"
        ]
    );
    assert_eq!(edges.shortest_cycle(), None);
}

#[test]
fn shortest_cycle_is_named() {
    let mut edges = Edges::default();
    for (from, to) in [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "c")] {
        edges.add(from, to, "x.rs");
    }
    assert_eq!(
        edges.shortest_cycle().map(|cycle| cycle.join(" ")),
        Some("c d c".to_owned())
    );
    assert!(edges.remove("d", "c"));
    assert_eq!(
        edges.shortest_cycle().map(|cycle| cycle.join(" ")),
        Some("a b c a".to_owned())
    );
    assert!(!edges.remove("d", "c"));
}
