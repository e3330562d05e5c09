//! The allowed dependencies between the product's crates, as in `docs/ARCHITECTURE.md`, checked against the real graph.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use std::collections::{BTreeMap, BTreeSet};

/// Which crates each crate may import.
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

/// Third-party crates that only one crate may use.
const USED_ONLY_BY: [(&str, &[&str]); 9] = [
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

/// Libraries that must be direct dependencies of the product.
const REQUIRED: [&str; 7] = [
    "tokio",
    "sqlx",
    "axum",
    "opentelemetry",
    "opentelemetry-prometheus",
    "git2",
    "async-openai",
];

fn metadata() -> Metadata {
    // Dependencies of other platforms may not be downloaded.
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
fn crates_import_only_lower_crates() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.into_iter().collect();
    for package in metadata.workspace_packages() {
        let allowed = allowed
            .get(package.name.as_str())
            .unwrap_or_else(|| panic!("the crate {} is new: add it to MAY_IMPORT", package.name));
        for import in shipped(package) {
            let is_own = MAY_IMPORT.iter().any(|(name, _)| *name == import);
            assert!(
                !is_own || allowed.contains(&import.as_str()),
                "{} may not import {import}",
                package.name
            );
        }
    }
}

#[test]
fn each_large_library_has_one_user() {
    for package in metadata().workspace_packages() {
        for (library, users) in USED_ONLY_BY {
            let uses = shipped(package).contains(library);
            assert!(
                !uses || users.contains(&package.name.as_str()),
                "{} may not use {library}",
                package.name
            );
        }
    }
}

#[test]
fn required_libraries_are_direct_dependencies() {
    let metadata = metadata();
    let direct: BTreeSet<String> = metadata.workspace_packages().into_iter().flat_map(shipped).collect();
    for library in REQUIRED {
        assert!(direct.contains(library), "{library} is not a direct dependency");
    }
}
