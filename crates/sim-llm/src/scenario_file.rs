//! Scenarios as TOML: the types of the file, and its errors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::rule::{Fault, Glob, Interval, Match, Rule, ToolCall, Usage};
use crate::scenario::Scenario;

/// Why a scenario could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The scenario file, or a file that a rule names, can't be read.
    #[error("cannot read {}: {source}; check the path", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// Not TOML, or not a valid scenario.
    #[error("the scenario is not valid: {0}")]
    Shape(#[from] toml::de::Error),
    /// A rule that is incomplete or contradictory.
    #[error("rule {number} ({label}): {problem}")]
    Rule {
        /// Its position in the file, from 1.
        number: usize,
        /// Its name or its conditions.
        label: String,
        /// What is wrong and how to fix it.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    #[serde(default, rename = "rule")]
    rules: Vec<RuleFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    name: Option<String>,
    #[serde(default, rename = "match")]
    fits: MatchFile,
    say: Option<String>,
    json: Option<Value>,
    file: Option<PathBuf>,
    #[serde(default)]
    tool_calls: Vec<ToolCallFile>,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    #[serde(default)]
    latency_ms: u64,
    fault: Option<FaultFile>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct MatchFile {
    role: Option<RoleFile>,
    profile: Option<String>,
    task: Option<String>,
    file: Option<String>,
    hunk: Option<u32>,
    turn: Option<IntervalFile>,
    attempt: Option<IntervalFile>,
    contains: Option<String>,
    model: Option<String>,
    times: Option<u32>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RoleFile {
    Director,
    Worker,
    Resolver,
    Unknown,
}

/// `2`, `"2.."`, `"2..=4"` or `"..=4"`.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a number like 2 or an interval like \"2..\" or \"2..=4\""
)]
enum IntervalFile {
    Number(u32),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolCallFile {
    name: String,
    arguments: Option<Value>,
    raw_arguments: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultFile {
    kind: FaultKind,
    status: Option<u16>,
    retry_after: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    body: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum FaultKind {
    Status,
    Cut,
    Reset,
    Garbage,
    Empty,
    Hang,
    Stall,
}

impl Scenario {
    /// Reads a scenario from TOML text; paths in its rules are relative to `directory`.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, ScenarioError> {
        let file: ScenarioFile = toml::from_str(text)?;
        let mut rules = Vec::with_capacity(file.rules.len());
        for (at, rule_file) in file.rules.into_iter().enumerate() {
            rules.push(rule(rule_file, at + 1, directory)?);
        }
        Ok(Self::from_rules(rules))
    }

    /// Reads a scenario file; paths in its rules are relative to it.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let text = read(path)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(".")))
    }
}

fn read(path: &Path) -> Result<String, ScenarioError> {
    std::fs::read_to_string(path).map_err(|source| ScenarioError::Read {
        path: path.to_owned(),
        source,
    })
}

fn rule(file: RuleFile, number: usize, directory: &Path) -> Result<Rule, ScenarioError> {
    let name = file.name.clone();
    let problem = |label: String| move |problem: String| ScenarioError::Rule { number, label, problem };
    let fits = conditions(&file.fits).map_err(problem(name.clone().unwrap_or_default()))?;
    let label = name.clone().unwrap_or_else(|| fits.to_string());
    let contents = file.file.as_ref().map(|path| read(&directory.join(path))).transpose()?;
    check_one_answer(&file).map_err(problem(label.clone()))?;
    let tool_calls: Result<Vec<ToolCall>, String> = file.tool_calls.into_iter().map(tool_call).collect();
    Ok(Rule {
        name,
        fits,
        say: file.say.or(contents).or(file.json.map(|document| document.to_string())),
        tool_calls: tool_calls.map_err(problem(label.clone()))?,
        finish_reason: file.finish_reason,
        usage: file.usage,
        latency_ms: file.latency_ms,
        fault: file.fault.map(fault).transpose().map_err(problem(label))?,
    })
}

fn check_one_answer(file: &RuleFile) -> Result<(), String> {
    let texts = [file.say.is_some(), file.json.is_some(), file.file.is_some()];
    match texts.iter().filter(|given| **given).count() {
        0 if file.tool_calls.is_empty() && file.fault.is_none() => {
            Err("it has no answer; set say, json, file, tool_calls or fault".to_owned())
        }
        0 | 1 => Ok(()),
        _ => Err("it has several texts to answer with; keep one of say, json and file".to_owned()),
    }
}

fn conditions(file: &MatchFile) -> Result<Match, String> {
    let role = file.role.map(|role| match role {
        RoleFile::Director => "director",
        RoleFile::Worker => "worker",
        RoleFile::Resolver => "resolver",
        RoleFile::Unknown => "unknown",
    });
    Ok(Match {
        role: role.map(str::to_owned),
        profile: file.profile.clone(),
        task: file.task.as_deref().map(Glob::new),
        file: file.file.as_deref().map(Glob::new),
        hunk: file.hunk,
        turn: file.turn.as_ref().map(interval).transpose()?,
        attempt: file.attempt.as_ref().map(interval).transpose()?,
        contains: file.contains.clone(),
        model: file.model.as_deref().map(Glob::new),
        times: file.times,
    })
}

fn interval(file: &IntervalFile) -> Result<Interval, String> {
    let text = match file {
        IntervalFile::Number(number) => {
            return Ok(Interval {
                first: *number,
                last: Some(*number),
            });
        }
        IntervalFile::Text(text) => text.trim(),
    };
    let problem = || format!("{text:?} is no interval; write 2, \"2..\", \"2..=4\" or \"..=4\"");
    let number = |part: &str| part.parse::<u32>().map_err(|_| problem());
    let (first, last) = match text.split_once("..") {
        Some((first, "")) => (number(first)?, None),
        Some(("", last)) => (1, Some(number(last.strip_prefix('=').ok_or_else(problem)?)?)),
        Some((first, last)) => (
            number(first)?,
            Some(number(last.strip_prefix('=').ok_or_else(problem)?)?),
        ),
        None => (number(text)?, Some(number(text)?)),
    };
    Ok(Interval { first, last })
}

fn tool_call(file: ToolCallFile) -> Result<ToolCall, String> {
    let arguments = match (file.arguments, file.raw_arguments) {
        (Some(_), Some(_)) => {
            return Err(format!(
                "tool call {}: keep one of arguments and raw_arguments",
                file.name
            ));
        }
        (Some(arguments), None) => arguments.to_string(),
        (None, Some(raw)) => raw,
        (None, None) => "{}".to_owned(),
    };
    Ok(ToolCall {
        name: file.name,
        arguments,
    })
}

fn fault(file: FaultFile) -> Result<Fault, String> {
    let detailed = file.retry_after.is_some() || file.headers.is_some() || file.body.is_some();
    if file.kind != FaultKind::Status && (detailed || file.status.is_some()) {
        return Err("status, retry_after, headers and body belong to kind = \"status\"".to_owned());
    }
    Ok(match file.kind {
        FaultKind::Status => {
            let status = file.status.unwrap_or_default();
            if !(400..=599).contains(&status) {
                return Err(format!("a status fault needs a status from 400 to 599, not {status}"));
            }
            Fault::Status {
                status,
                retry_after: file.retry_after,
                headers: file.headers.unwrap_or_default(),
                body: file.body,
            }
        }
        FaultKind::Cut => Fault::Cut,
        FaultKind::Reset => Fault::Reset,
        FaultKind::Garbage => Fault::Garbage,
        FaultKind::Empty => Fault::Empty,
        FaultKind::Hang => Fault::Hang,
        FaultKind::Stall => Fault::Stall,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        match Scenario::parse(text, Path::new(".")) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_field_of_a_rule_can_be_parsed() {
        let scenario = Scenario::parse(
            r#"
            [[rule]]
            name = "late"
            match = { role = "worker", profile = "coder", task = "a-*", turn = "2..", attempt = 1, times = 1,
                      contains = "x", model = "gpt-*" }
            say = "thinking"
            tool_calls = [{ name = "shell", arguments = { command = "ls" } }, { name = "x", raw_arguments = "{" }]
            latency_ms = 5
            usage = { prompt_tokens = 10, completion_tokens = 2 }
            finish_reason = "length"

            [[rule]]
            match = { role = "resolver", file = "*.sh", hunk = 1, turn = "..=3" }
            json = { decision = "decline" }

            [[rule]]
            fault = { kind = "status", status = 429, retry_after = "0.2", headers = { x-a = "b" }, body = "slow" }
            "#
            .replace("times = 1,\n                      ", "times = 1, ")
            .as_str(),
            Path::new("."),
        );
        assert_eq!(
            scenario
                .map(|scenario| scenario.len())
                .map_err(|error| error.to_string()),
            Ok(3)
        );
    }

    #[test]
    fn errors_name_their_location() {
        assert!(error("[[rule]]\nsya = \"x\"").contains("unknown field `sya`"));
        assert!(error("[[rule]]\nmatch = { role = \"boss\" }\nsay = \"x\"").contains("unknown variant `boss`"));
        assert!(error("[[rule]]\nname = \"mute\"").contains("rule 1 (mute): it has no answer"));
        assert!(error("[[rule]]\nsay = \"a\"\njson = {}").contains("keep one of say, json and file"));
        assert!(error("[[rule]]\nsay = \"a\"\nmatch = { turn = \"2-4\" }").contains("is no interval"));
        assert!(error("[[rule]]\nfault = { kind = \"cut\", status = 500 }").contains("belong to kind"));
        assert!(error("[[rule]]\nfault = { kind = \"status\" }").contains("from 400 to 599"));
        assert!(error("[[rule]]\nfile = \"no-such-file\"").contains("no-such-file"));
    }
}
