//! `[merge]` and `[workspaces.<name>.merge]`: how conflicts are decided.

use super::{file::nearest, parse_model};
use crate::failure::Failure;
use domain::merge::Layer;
use engine::{GeneratedRule, Generation, MergeSettings};
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};

/// `[merge]` for all workspaces, and `[workspaces.<name>.merge]`, which overrides it key by key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MergeSection {
    /// Layers that decide conflicts, in order: `generated`, `remembered`, `driver`, `model`, `worker`, `person`.
    pub(crate) layers: Option<Vec<String>>,
    /// Model that is asked when the first one leaves a conflict open, as `provider/model`.
    pub(crate) second_opinion: Option<String>,
    /// Program and arguments of a driver that merges by syntax.
    pub(crate) driver: Option<Vec<String>>,
    /// Seconds the driver may take for one file.
    pub(crate) driver_s: Option<NonZeroU32>,
    /// Seconds a command that rebuilds a generated file may take.
    pub(crate) regenerate_s: Option<NonZeroU32>,
    /// Most bytes of a file that is decided without a worker.
    pub(crate) file_bytes: Option<usize>,
    /// Rules for generated files.
    pub(crate) generated: Option<Vec<GeneratedSection>>,
}

/// `[[merge.generated]]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GeneratedSection {
    /// Pattern of file names, or of paths if it has a slash.
    pub(crate) files: String,
    /// Command that rebuilds them.
    pub(crate) command: Option<String>,
    /// Whether the lines of both sides are kept.
    pub(crate) union: bool,
}

impl MergeSection {
    /// The settings of all workspaces, overridden by this section.
    pub(crate) fn over(&self, all: &MergeSettings, section: &str) -> Result<MergeSettings, Failure> {
        let mut settings = all.clone();
        if let Some(names) = &self.layers {
            settings.layers = names
                .iter()
                .map(|name| layer(name, section))
                .collect::<Result<_, Failure>>()?;
        }
        if let Some(model) = &self.second_opinion {
            let parsed =
                parse_model(model).map_err(|failure| failure.with("setting", format!("{section}.second_opinion")));
            settings.second_opinion = Some(parsed?);
        }
        if let Some(driver) = &self.driver {
            check_driver(driver, section)?;
            settings.driver.clone_from(driver);
        }
        if let Some(driver_s) = self.driver_s {
            settings.driver_limit = Duration::from_secs(driver_s.get().into());
        }
        if let Some(regenerate_s) = self.regenerate_s {
            settings.regenerate_limit = Duration::from_secs(regenerate_s.get().into());
        }
        if let Some(file_bytes) = self.file_bytes {
            settings.file_bytes = file_bytes;
        }
        if let Some(rules) = &self.generated {
            settings.generated = rules
                .iter()
                .map(|rule| rule.rule(section))
                .collect::<Result<_, Failure>>()?;
        }
        Ok(settings)
    }
}

impl GeneratedSection {
    fn rule(&self, section: &str) -> Result<GeneratedRule, Failure> {
        let how = match (&self.command, self.union) {
            (Some(command), false) if !command.trim().is_empty() => Generation::Command(command.clone()),
            (None, true) => Generation::Union,
            (Some(_) | None, _) => {
                return Err(Failure::configuration(format!(
                    "a rule of {section}.generated needs one action"
                ))
                .with("files", &self.files)
                .hint(
                    "set command = \"…\", which rebuilds the files, or union = true, which keeps the lines of both \
                         sides",
                ));
            }
        };
        let unusable = |found: &dyn std::fmt::Display| {
            Failure::configuration(format!("a rule of {section}.generated has no usable pattern"))
                .with("files", format!("{:?}", self.files))
                .with("found", found)
                .hint("write a name or a pattern: files = \"Cargo.lock\", \"*.jsonl\" or \"locales/**/*.po\"")
        };
        if self.files.trim_matches('/').is_empty() {
            return Err(unusable(&"an empty pattern"));
        }
        GeneratedRule::new(&self.files, how).map_err(|error| unusable(&error.kind()))
    }
}

fn layer(name: &str, section: &str) -> Result<Layer, Failure> {
    Layer::parse(name).ok_or_else(|| {
        let failure = Failure::configuration(format!("there is no merge layer {name:?}"))
            .with("setting", format!("{section}.layers"));
        let names = || Layer::ALL.iter().map(|layer| layer.as_str());
        match nearest(name, names()) {
            Some(near) => failure.hint(format!("did you mean {near:?}?")),
            None => failure.hint(format!("expected one of: {}", names().collect::<Vec<_>>().join(", "))),
        }
    })
}

/// An empty list means no driver.
fn check_driver(driver: &[String], section: &str) -> Result<(), Failure> {
    let unusable = |problem: &str, found: String| {
        Failure::configuration(format!("{section}.driver {problem}"))
            .with("found", found)
            .hint(
                "name a program and its arguments, such as \
                 [\"merge\", \"{base}\", \"{ours}\", \"{theirs}\", \"-o\", \"{output}\"]",
            )
    };
    let Some(program) = driver.first() else {
        return Ok(());
    };
    if program.is_empty() || (program.contains('/') && !program.starts_with('/')) {
        return Err(unusable(
            "must start with a program name or an absolute path",
            format!("{program:?}"),
        ));
    }
    for needed in ["{base}", "{ours}", "{theirs}"] {
        if !driver.iter().any(|argument| argument.contains(needed)) {
            return Err(unusable(&format!("must contain {needed}"), driver.join(" ")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<MergeSettings, Failure> {
        let section: MergeSection = toml::from_str(text).unwrap();
        section.over(&MergeSettings::default(), "merge")
    }

    fn problem(text: &str) -> String {
        settings(text).err().unwrap().to_string()
    }

    #[test]
    fn workspace_section_overrides_single_keys() {
        let all = settings(
            "layers = [\"model\", \"worker\"]\ndriver_s = 3\n[[generated]]\nfiles = \"*.jsonl\"\nunion = true\n",
        );
        let all = all.unwrap();
        assert_eq!(all.layers.iter().collect::<Vec<_>>(), [&Layer::Model, &Layer::Worker]);
        let own: MergeSection = toml::from_str("second_opinion = \"openai/gpt-5\"\nlayers = []\n").unwrap();
        let own = own.over(&all, "workspaces.a.merge").unwrap();
        assert!(own.layers.is_empty());
        assert_eq!((own.driver_limit.as_secs(), own.generated.len()), (3, 1));
        assert_eq!(own.second_opinion.unwrap().to_string(), "openai/gpt-5");
    }

    #[test]
    fn invalid_values_are_reported_with_the_way_out() {
        let problems = [
            "layers = [\"modl\"]",
            "layers = [\"me\"]",
            "second_opinion = \"gpt-5\"",
            "[[generated]]\nfiles = \"a[\"\nunion = true",
            "[[generated]]\nfiles = \"Cargo.lock\"",
            "driver = [\"bin/merge\", \"{base}\", \"{ours}\", \"{theirs}\"]",
            "driver = [\"merge\", \"{base}\", \"{ours}\"]",
        ];
        insta::assert_snapshot!(problems.map(problem).join("\n"), @r#"
        error: there is no merge layer "modl"
          setting: merge.layers
          did you mean "model"?
        error: there is no merge layer "me"
          setting: merge.layers
          expected one of: generated, remembered, driver, model, worker, person
        error: a model needs a provider and a name
          found: "gpt-5"
          setting: merge.second_opinion
          write provider/model, for example openai/gpt-4.1
        error: a rule of merge.generated has no usable pattern
          files: "a["
          found: unclosed character class; missing ']'
          write a name or a pattern: files = "Cargo.lock", "*.jsonl" or "locales/**/*.po"
        error: a rule of merge.generated needs one action
          files: Cargo.lock
          set command = "…", which rebuilds the files, or union = true, which keeps the lines of both sides
        error: merge.driver must start with a program name or an absolute path
          found: "bin/merge"
          name a program and its arguments, such as ["merge", "{base}", "{ours}", "{theirs}", "-o", "{output}"]
        error: merge.driver must contain {theirs}
          found: merge {base} {ours}
          name a program and its arguments, such as ["merge", "{base}", "{ours}", "{theirs}", "-o", "{output}"]
        "#);
    }
}
