//! How conflicts are decided in a workspace.

use domain::merge::Layer;
use globset::{GlobBuilder, GlobMatcher};
use llm::ModelRef;
use std::{collections::BTreeSet, time::Duration};

/// Who decides conflicts, and with what.
#[derive(Clone, Debug)]
pub struct MergeSettings {
    /// Who is asked. What they leave open fails the task, unless worker or person is among them.
    pub layers: BTreeSet<Layer>,
    /// Rules for files that nobody writes by hand; the first that matches counts.
    pub generated: Vec<GeneratedRule>,
    /// How long a command that regenerates a file may take.
    pub regenerate_limit: Duration,
    /// Program and arguments of the syntactic driver, with `{base}`, `{ours}`, `{theirs}`, `{output}` and `{path}` for
    /// the three versions, the result, and the file's path in the repository. Without `{output}` the result is what is
    /// left in `{ours}`.
    pub driver: Vec<String>,
    /// How long the driver may take for one file.
    pub driver_limit: Duration,
    /// Who is asked where the first model leaves a conflict open.
    pub second_opinion: Option<ModelRef>,
    /// Bytes of the largest file that a layer may decide.
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
    /// Whether a layer is asked.
    pub fn asks(&self, layer: Layer) -> bool {
        self.layers.contains(&layer)
    }

    /// The rule for a file, if the layer is on and one matches.
    pub(crate) fn rule_for(&self, path: &str) -> Option<&GeneratedRule> {
        let rules = self.asks(Layer::Generated).then_some(&self.generated);
        rules.into_iter().flatten().find(|rule| rule.matcher.is_match(path))
    }
}

/// What is done about conflicts in files that nobody writes by hand.
#[derive(Clone, Debug)]
pub struct GeneratedRule {
    /// The files, as it was written.
    pub files: String,
    /// What is done.
    pub how: Generation,
    matcher: GlobMatcher,
}

impl GeneratedRule {
    /// A rule for the files that match a pattern: by their name where it has no slash, else by their whole path.
    ///
    /// # Errors
    /// When it is no pattern.
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

/// How such a file comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Generation {
    /// It is only appended to: both sides' lines are kept.
    Union,
    /// This shell command makes it anew from the other files.
    Command(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_without_a_slash_is_about_names() {
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
