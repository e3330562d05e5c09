//! `[merge]` and `[workspaces.<name>.merge]`: how conflicts are decided.

use super::{file::nearest, parse_model};
use crate::failure::Failure;
use domain::merge::Layer;
use engine::{GeneratedRule, Generation, MergeSettings};
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};

/// `[merge]`, for all workspaces, and `[workspaces.<name>.merge]`, whose keys go before it one by one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MergeSection {
    /// Who is asked about a conflict: `generated`, `remembered`, `driver`, `model`, `worker`, `person`.
    pub(crate) layers: Option<Vec<String>>,
    /// Who is asked where the first model leaves a conflict open, as `provider/model`.
    pub(crate) second_opinion: Option<String>,
    /// Program and arguments of a driver that merges by syntax.
    pub(crate) driver: Option<Vec<String>>,
    /// Seconds that the driver may take for one file.
    pub(crate) driver_s: Option<NonZeroU32>,
    /// Seconds that a command which makes a generated file anew may take.
    pub(crate) regenerate_s: Option<NonZeroU32>,
    /// Bytes of the largest file that is decided without a worker.
    pub(crate) file_bytes: Option<usize>,
    /// Rules for files that nobody writes by hand.
    pub(crate) generated: Option<Vec<GeneratedSection>>,
}

/// `[[merge.generated]]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GeneratedSection {
    /// The files: a pattern of names, or of whole paths where it has a slash.
    pub(crate) files: String,
    /// The command that makes them anew.
    pub(crate) command: Option<String>,
    /// Whether both sides' lines are kept.
    pub(crate) union: bool,
}

impl MergeSection {
    /// The settings, with what this section says on top of those of all workspaces.
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
                return Err(Failure::usage(format!("a rule of {section}.generated has to say one thing to do"))
                    .with("files", &self.files)
                    .hint(
                        "give it command = \"…\", which makes the files anew, or union = true, which keeps both sides' \
                         lines",
                    ));
            }
        };
        let unusable = |found: &dyn std::fmt::Display| {
            Failure::usage(format!("a rule of {section}.generated names no files"))
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
        let failure = Failure::usage(format!("there is no layer {name:?} to decide conflicts"))
            .with("setting", format!("{section}.layers"));
        let names = || Layer::ALL.iter().map(|layer| layer.as_str());
        match nearest(name, names()) {
            Some(near) => failure.hint(format!("did you mean {near:?}?")),
            None => failure.hint(format!("known: {}", names().collect::<Vec<_>>().join(", "))),
        }
    })
}

/// An empty list is a driver that is never asked.
fn check_driver(driver: &[String], section: &str) -> Result<(), Failure> {
    let unusable = |problem: &str, found: String| {
        Failure::usage(format!("{section}.driver {problem}"))
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
            "begins with a program's name or absolute path",
            format!("{program:?}"),
        ));
    }
    for needed in ["{base}", "{ours}", "{theirs}"] {
        if !driver.iter().any(|argument| argument.contains(needed)) {
            return Err(unusable(&format!("has to name {needed}"), driver.join(" ")));
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
    fn keys_go_before_those_of_all_workspaces_one_by_one() {
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
    fn what_can_not_be_meant_is_named() {
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
        error: there is no layer "modl" to decide conflicts
          setting: merge.layers
          did you mean "model"?
        error: there is no layer "me" to decide conflicts
          setting: merge.layers
          known: generated, remembered, driver, model, worker, person
        error: a model is named by its provider and its name
          found: "gpt-5"
          setting: merge.second_opinion
          write provider/model, for example openai/gpt-4.1
        error: a rule of merge.generated names no files
          files: "a["
          found: unclosed character class; missing ']'
          write a name or a pattern: files = "Cargo.lock", "*.jsonl" or "locales/**/*.po"
        error: a rule of merge.generated has to say one thing to do
          files: Cargo.lock
          give it command = "…", which makes the files anew, or union = true, which keeps both sides' lines
        error: merge.driver begins with a program's name or absolute path
          found: "bin/merge"
          name a program and its arguments, such as ["merge", "{base}", "{ours}", "{theirs}", "-o", "{output}"]
        error: merge.driver has to name {theirs}
          found: merge {base} {ours}
          name a program and its arguments, such as ["merge", "{base}", "{ours}", "{theirs}", "-o", "{output}"]
        "#);
    }
}
