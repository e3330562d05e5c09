//! How conflicts are resolved in a workspace.

use domain::merge::Layer;
use globset::{GlobBuilder, GlobMatcher};
use llm::ModelRef;
use std::{collections::BTreeSet, time::Duration};

/// The layers that resolve conflicts, and their settings.
#[derive(Clone, Debug)]
pub struct MergeSettings {
    /// The enabled layers. A conflict that they leave open fails the task, unless worker or person is among them.
    pub layers: BTreeSet<Layer>,
    /// Rules for generated files; the first that matches applies.
    pub generated: Vec<GeneratedRule>,
    /// The time limit of a command that regenerates a file.
    pub regenerate_limit: Duration,
    /// Program and arguments of the syntactic driver, with `{base}`, `{ours}`, `{theirs}`, `{output}` and `{path}` for
    /// the three versions, the result, and the file's path in the repository. Without `{output}` the result is what is
    /// left in `{ours}`.
    pub driver: Vec<String>,
    /// The driver's time limit for one file.
    pub driver_limit: Duration,
    /// The model to ask when the first one leaves a conflict open.
    pub second_opinion: Option<ModelRef>,
    /// Bytes of the largest file that a layer may resolve.
    pub file_bytes: usize,
}

impl Default for MergeSettings {
    fn default() -> Self {
        Self {
            layers: BTreeSet::from(Layer::ALL),
            generated: Vec::new(),
            regenerate_limit: Duration::from_secs(600),
            driver: [
                "mergiraf", "merge", "--git", "{base}", "{ours}", "{theirs}", "-p", "{path}",
            ]
            .map(str::to_owned)
            .into(),
            driver_limit: Duration::from_secs(10),
            second_opinion: None,
            file_bytes: 16 << 20,
        }
    }
}

impl MergeSettings {
    /// Whether a layer is enabled.
    pub fn asks(&self, layer: Layer) -> bool {
        self.layers.contains(&layer)
    }

    /// The rule for a file, if the layer is enabled and one matches.
    pub(crate) fn rule_for(&self, path: &str) -> Option<&GeneratedRule> {
        let rules = self.asks(Layer::Generated).then_some(&self.generated);
        rules.into_iter().flatten().find(|rule| rule.matcher.is_match(path))
    }
}

/// A rule for conflicts in generated files.
#[derive(Clone, Debug)]
pub struct GeneratedRule {
    /// The pattern of the files, as configured.
    pub files: String,
    /// How they are resolved.
    pub how: Generation,
    matcher: GlobMatcher,
}

impl GeneratedRule {
    /// A rule for the files that match a pattern: by their name where it has no slash, else by their whole path.
    ///
    /// # Errors
    /// When the pattern is invalid.
    pub fn new(files: &str, how: Generation) -> Result<Self, globset::Error> {
        let pattern = match files.contains('/') {
            true => files.trim_start_matches('/').to_owned(),
            false => format!("**/{files}"),
        };
        let matcher = GlobBuilder::new(&pattern)
            .literal_separator(true)
            .build()?
            .compile_matcher();
        Ok(Self {
            files: files.to_owned(),
            how,
            matcher,
        })
    }
}

/// How a generated file is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Lines are only appended: the lines of both sides are kept.
    Union,
    /// This shell command regenerates it from the other files.
    Command(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_without_a_slash_matches_file_names() {
        let rule = |files| GeneratedRule::new(files, Generation::Union).unwrap();
        let settings = MergeSettings {
            generated: vec![rule("/top.jsonl"), rule("*.lock"), rule("logs/**/*.txt")],
            ..MergeSettings::default()
        };
        let matched = |path| settings.rule_for(path).map(|rule| rule.files.as_str());
        assert_eq!(matched("a/b/Cargo.lock"), Some("*.lock"));
        assert_eq!(matched("Cargo.lock"), Some("*.lock"));
        assert_eq!(matched("logs/x/y.txt"), Some("logs/**/*.txt"));
        assert_eq!(matched("a/logs/y.txt"), None);
        assert_eq!(
            (matched("top.jsonl"), matched("a/top.jsonl")),
            (Some("/top.jsonl"), None)
        );
        assert!(GeneratedRule::new("a[", Generation::Union).is_err());

        let without = MergeSettings {
            layers: BTreeSet::from([Layer::Worker]),
            ..settings
        };
        assert!(without.rule_for("Cargo.lock").is_none());
    }
}
