//! Lock files: tools write them to pin versions.

/// By name. No task owns them, and no choice of lines from two versions is what the tool would write.
const LOCK_FILES: [&str; 26] = [
    "Cargo.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "bun.lockb",
    "deno.lock",
    "poetry.lock",
    "uv.lock",
    "pdm.lock",
    "Pipfile.lock",
    "composer.lock",
    "Gemfile.lock",
    "go.sum",
    "go.work.sum",
    "flake.lock",
    "mix.lock",
    "rebar.lock",
    "pubspec.lock",
    "Podfile.lock",
    "Cartfile.resolved",
    "Package.resolved",
    "packages.lock.json",
    "gradle.lockfile",
    ".terraform.lock.hcl",
];

/// Whether a tool writes the file at this path to pin versions.
pub fn is_lock_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    LOCK_FILES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_files_are_recognised_by_name() {
        assert!(is_lock_file("web/package-lock.json") && is_lock_file("Cargo.lock"));
        assert!(!is_lock_file("src/lock.rs") && !is_lock_file("package-lock.json/readme"));
    }
}
