//! Detects the check command from a repository's well-known files.

use domain::run::{Check, CheckSource};

/// Files at the root with their check command. The first that exists decides.
const KNOWN: [(&str, &str); 9] = [
    ("test.sh", "sh test.sh"),
    ("Cargo.toml", "cargo test --offline --no-fail-fast"),
    ("go.mod", "go test ./..."),
    ("pyproject.toml", "python3 -m pytest -q"),
    ("pytest.ini", "python3 -m pytest -q"),
    ("setup.py", "python3 -m pytest -q"),
    ("package.json", "npm test"),
    ("Makefile", "make test"),
    ("makefile", "make test"),
];

/// The check of a run: the requested one, else the configured one, else a detected one, else none.
pub(crate) fn check(
    requested: Option<&str>,
    configured: Option<&str>,
    read: impl Fn(&str) -> Option<Vec<u8>>,
) -> Check {
    if let Some(command) = requested {
        return Check {
            command: Some(command.to_owned()),
            source: CheckSource::Request,
        };
    }
    if let Some(command) = configured {
        return Check {
            command: Some(command.to_owned()),
            source: CheckSource::Configuration,
        };
    }
    let detected = KNOWN
        .iter()
        .find(|(file, _)| read(file).is_some_and(|text| has_tests(file, &text)));
    match detected {
        Some((_, command)) => Check {
            command: Some((*command).to_owned()),
            source: CheckSource::Detected,
        },
        None => Check {
            command: None,
            source: CheckSource::NotConfigured,
        },
    }
}

/// Whether the file has tests, where it may be about anything.
fn has_tests(file: &str, text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    match file {
        "package.json" => serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|package| package["scripts"]["test"].as_str().map(str::to_owned))
            .is_some_and(|script| !script.contains("no test specified")),
        "Makefile" | "makefile" => text.lines().any(|line| line.starts_with("test:")),
        "pyproject.toml" => text.contains("pytest"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(files: &[(&str, &str)]) -> Option<String> {
        let read = |name: &str| {
            files
                .iter()
                .find(|(file, _)| *file == name)
                .map(|(_, text)| text.as_bytes().to_vec())
        };
        check(None, None, read).command
    }

    #[test]
    fn request_overrides_configuration_and_both_override_detection() {
        let files = |name: &str| (name == "Cargo.toml").then(Vec::new);
        assert_eq!(check(Some("a"), Some("b"), files).command.as_deref(), Some("a"));
        assert_eq!(check(None, Some("b"), files).source, CheckSource::Configuration);
        assert_eq!(
            check(None, None, files).command.as_deref(),
            Some("cargo test --offline --no-fail-fast")
        );
    }

    #[test]
    fn npm_placeholder_is_ignored() {
        let placeholder = r#"{"scripts":{"test":"echo \"Error: no test specified\" && exit 1"}}"#;
        assert_eq!(detected(&[("package.json", placeholder)]), None);
        assert_eq!(
            detected(&[("package.json", r#"{"scripts":{"test":"node --test"}}"#)]).as_deref(),
            Some("npm test")
        );
    }

    #[test]
    fn unknown_repository_is_not_configured() {
        assert_eq!(check(None, None, |_| None).source, CheckSource::NotConfigured);
        assert_eq!(detected(&[("Makefile", "all:\n\tcc x.c\n")]), None);
    }
}
