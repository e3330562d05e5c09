//! The edges between the rooms, as `docs/ARCHITECTURE.md` draws them, read off the real dependency graph.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use std::collections::{BTreeMap, BTreeSet};

/// Which rooms each room may import.
const MAY_IMPORT: [(&str, &[&str]); 14] = [
    ("domain", &[]),
    ("secrets", &[]),
    ("telemetry", &["domain", "secrets"]),
    ("store", &["domain", "telemetry"]),
    ("git", &["domain", "telemetry"]),
    ("llm", &["domain", "telemetry"]),
    ("sandbox", &["domain", "telemetry"]),
    ("agents", &["domain", "telemetry", "llm", "sandbox", "git"]),
    (
        "engine",
        &["domain", "telemetry", "store", "git", "llm", "sandbox", "agents"],
    ),
    ("api", &["domain"]),
    ("server", &["domain", "telemetry", "engine", "api"]),
    ("sim-llm", &[]),
    (
        "orchestrator",
        &[
            "domain",
            "telemetry",
            "store",
            "git",
            "llm",
            "sandbox",
            "agents",
            "engine",
            "api",
            "server",
            "sim-llm",
        ],
    ),
    ("e2e", &["domain", "api", "sim-llm"]),
];

/// Third-party crates that belong to one room each.
const BELONGS_TO: [(&str, &[&str]); 9] = [
    ("sqlx", &["store", "e2e"]),
    ("git2", &["git"]),
    ("async-openai", &["llm"]),
    ("axum", &["server", "sim-llm"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("opentelemetry-prometheus", &["telemetry"]),
    ("opentelemetry-otlp", &["telemetry"]),
    ("prometheus", &["telemetry"]),
];

/// What every one of the product's fixed libraries must really be: a direct dependency of what ships.
const FIXED: [&str; 7] = [
    "tokio",
    "sqlx",
    "axum",
    "opentelemetry",
    "opentelemetry-prometheus",
    "git2",
    "async-openai",
];

fn metadata() -> Metadata {
    // What only other platforms need was never downloaded here.
    let host = std::process::Command::new("rustc")
        .args(["--print", "host-tuple"])
        .output();
    let host = String::from_utf8(host.expect("rustc runs").stdout).expect("a name of this platform");
    let only = ["--offline", "--filter-platform", host.trim()];
    MetadataCommand::new()
        .other_options(only.map(str::to_owned).to_vec())
        .exec()
        .expect("cargo tells what depends on what")
}

fn shipped(package: &Package) -> BTreeSet<String> {
    let normal = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal);
    normal.map(|dependency| dependency.name.clone()).collect()
}

#[test]
fn imports_point_down() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.into_iter().collect();
    for package in metadata.workspace_packages() {
        let allowed = allowed
            .get(package.name.as_str())
            .unwrap_or_else(|| panic!("the room {} is new: say in this test what it may import", package.name));
        for import in shipped(package) {
            let is_room = MAY_IMPORT.iter().any(|(room, _)| *room == import);
            assert!(
                !is_room || allowed.contains(&import.as_str()),
                "{} may not import {import}",
                package.name
            );
        }
    }
}

#[test]
fn each_large_library_has_one_user() {
    for package in metadata().workspace_packages() {
        for (library, rooms) in BELONGS_TO {
            let uses = shipped(package).contains(library);
            assert!(
                !uses || rooms.contains(&package.name.as_str()),
                "{} may not use {library}",
                package.name
            );
        }
    }
}

#[test]
fn the_fixed_libraries_are_direct_dependencies() {
    let metadata = metadata();
    let direct: BTreeSet<String> = metadata.workspace_packages().into_iter().flat_map(shipped).collect();
    for library in FIXED {
        assert!(direct.contains(library), "{library} is no direct dependency");
    }
}
