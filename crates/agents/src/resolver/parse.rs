//! Checks that a resolved file still parses, for the formats whose grammar is available.

mod grammar;
mod json;

use json::UniqueKeys;
use tree_sitter::Language;

/// A format that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON without duplicate keys, which merges can produce.
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
    /// Rust.
    Rust,
    /// Python.
    Python,
    /// JavaScript, with JSX.
    JavaScript,
    /// TypeScript.
    TypeScript,
    /// TypeScript with JSX.
    Tsx,
    /// Go.
    Go,
    /// Java.
    Java,
}

impl Format {
    /// The format of a file by its name, if every version of it parses. Otherwise the resolution need not parse.
    pub fn of(path: &str, versions: &[&str]) -> Option<Self> {
        let format = match path.rsplit_once('.')?.1 {
            "json" => Self::Json,
            "toml" => Self::Toml,
            "yaml" | "yml" => Self::Yaml,
            "rs" => Self::Rust,
            "py" | "pyi" => Self::Python,
            "js" | "jsx" | "mjs" | "cjs" => Self::JavaScript,
            "ts" | "mts" | "cts" => Self::TypeScript,
            "tsx" => Self::Tsx,
            "go" => Self::Go,
            "java" => Self::Java,
            _ => return None,
        };
        versions.iter().all(|text| format.check(text).is_ok()).then_some(format)
    }

    /// The format's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Toml => "TOML",
            Self::Yaml => "YAML",
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
            Self::TypeScript | Self::Tsx => "TypeScript",
            Self::Go => "Go",
            Self::Java => "Java",
        }
    }

    /// Whether the text parses.
    ///
    /// # Errors
    /// The problem and its position.
    pub fn check(self, text: &str) -> Result<(), String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let by = |language: Language| grammar::check(&language, text);
        let parsed = match self {
            Self::Json => serde_json::from_str::<UniqueKeys>(text)
                .map(drop)
                .map_err(|error| error.to_string()),
            Self::Toml => text
                .parse::<toml::Table>()
                .map(drop)
                .map_err(|error| error.message().to_owned()),
            Self::Yaml => by(tree_sitter_yaml::LANGUAGE.into()),
            Self::Rust => by(tree_sitter_rust::LANGUAGE.into()),
            Self::Python => by(tree_sitter_python::LANGUAGE.into()),
            Self::JavaScript => by(tree_sitter_javascript::LANGUAGE.into()),
            Self::TypeScript => by(tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into()),
            Self::Tsx => by(tree_sitter_typescript::LANGUAGE_TSX.into()),
            Self::Go => by(tree_sitter_go::LANGUAGE.into()),
            Self::Java => by(tree_sitter_java::LANGUAGE.into()),
        };
        parsed.map_err(|error| format!("the file is no {} any more: {error}", self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_is_checked_only_if_every_version_parses() {
        assert_eq!(
            Format::of("a/b.json", &["{}", "[1, null, \"x\"]", "1.5"]),
            Some(Format::Json)
        );
        assert_eq!(Format::of("tsconfig.json", &["{}", "{ // words\n}"]), None);
        assert_eq!(Format::of("a.toml", &["", "a = 1", "[b]\nc = [1]"]), Some(Format::Toml));
        assert_eq!(Format::of("a.rs", &["", "fn a() {}"]), Some(Format::Rust));
        assert_eq!(Format::of("a.rs", &["", "fn a( {}"]), None);
        assert_eq!(Format::of("a.txt", &["", ""]), None);
        assert_eq!(Format::of("toml", &["", ""]), None);
    }

    #[test]
    fn duplicate_key_is_refused() {
        let problem = Format::Json
            .check("{\"a\": {\"x\": 1, \"y\": 2, \"x\": 3, \"z\": 4}}")
            .unwrap_err();
        assert!(problem.contains("\"x\" stands twice"), "{problem}");
        assert!(Format::Json.check("{\"a\": 1,}").is_err());
        assert!(Format::Toml.check("a = 1\na = 2\n").is_err());
        assert!(Format::Json.check("{\"a\": true, \"b\": [-1, 2.5, null]}").is_ok());
    }

    #[test]
    fn broken_source_is_reported_with_the_line() {
        let texts = [
            (Format::Rust, "fn a() {\n    b();\n}\n", "fn a() {\n    b(;\n}\n", 2),
            (
                Format::Python,
                "def a():\n    return 1\n",
                "x = 1\ndef a(:\n    return 1\n",
                2,
            ),
            (
                Format::JavaScript,
                "const a = <b>{c}</b>;\n",
                "function a() {\n  return (1;\n}\n",
                2,
            ),
            (Format::TypeScript, "let a: number = <number>b;\n", "let a: = 1;\n", 1),
            (Format::Tsx, "let a: X = <b>{c}</b>;\n", "let a = <b>{c}</d;\n", 1),
            (Format::Go, "package a\n\nfunc b() {}\n", "package a\n\nfunc b() {\n", 3),
            (
                Format::Java,
                "class A { int b() { return 1; } }\n",
                "class A {\n  int b() { return 1 }\n}\n",
                2,
            ),
            (Format::Yaml, "a:\n  - b: 1\n    c: [1, 2]\n", "a: [1, 2\nb: 3\n", 1),
        ];
        for (format, good, broken, line) in texts {
            assert_eq!(format.check(good), Ok(()), "{format:?}");
            let problem = format.check(broken).unwrap_err();
            assert!(problem.contains(&format!("in line {line}:")), "{format:?}: {problem}");
        }
    }

    #[test]
    fn deeply_nested_text_is_checked() {
        let deep = format!("fn a() {{ {} {} }}", "(".repeat(50_000), ")".repeat(50_000));
        assert!(Format::Rust.check(&deep).is_ok());
        assert!(Format::Rust.check(&deep[..deep.len() - 9]).is_err());
    }
}
