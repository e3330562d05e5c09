//! `orchestrator doctor`: check this machine and show what to install.

mod programs;
mod storage;

use super::end;
use crate::{
    client,
    config::Loaded,
    failure::{Exit, Failure},
    invocation::Invocation,
    output,
    progress::wrapped,
    wire,
};
use programs::{connections, enforced, git, keys, models, port, sandbox, unknown_effects};
use serde::Serialize;
use storage::{data_directory, database, disk, disk_use, hubs};

/// The result of one check.
#[derive(Debug, Serialize)]
struct Finding {
    name: &'static str,
    state: State,
    /// What was found.
    found: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// Some things will not work.
    Warning,
    /// Nothing will work.
    Missing,
}

/// Checks everything a run needs.
pub(crate) async fn doctor(loaded: &Loaded, json: bool) -> Result<Exit, Failure> {
    wire::install_crypto();
    let server = client::find(loaded).await;
    let running = server.as_ref().map(|found| found.address.clone());
    let mut findings = vec![data_directory(loaded), disk(loaded), disk_use(loaded).await];
    findings.push(database(loaded, running.as_deref()).await);
    findings.extend(unknown_effects(server.as_ref()).await);
    findings.push(git());
    findings.extend(hubs(loaded));
    let (tier, enforcement) = sandbox(loaded).await;
    findings.push(tier);
    findings.push(models(loaded));
    findings.extend(keys(loaded));
    findings.push(port(loaded, running.as_deref()).await);
    findings.push(connections(loaded));
    let missing = findings.iter().any(|finding| finding.state == State::Missing);
    if json {
        let document = serde_json::json!({ "ready": !missing, "findings": findings, "sandbox": enforcement });
        output::document(&document)?;
    } else {
        output::line(&lines(&findings, &loaded.invocation, end::columns()).join("\n"))?;
        if !enforcement.is_empty() {
            let enforced: Vec<Finding> = enforcement.into_iter().map(enforced).collect();
            output::line("\nProperties of the sandbox:")?;
            output::line(&lines(&enforced, &loaded.invocation, end::columns()).join("\n"))?;
        }
    }
    Ok(if missing { Exit::Environment } else { Exit::Complete })
}

fn lines(findings: &[Finding], invocation: &Invocation, columns: usize) -> Vec<String> {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for finding in findings {
        let mark = match finding.state {
            State::Ok => "✓",
            State::Warning => "!",
            State::Missing => "✗",
        };
        let found = wrapped(
            &invocation.in_text(&finding.found),
            columns.saturating_sub(width + 7).max(30),
        );
        for (at, line) in found.into_iter().enumerate() {
            let (mark, name) = if at == 0 { (mark, finding.name) } else { ("", "") };
            lines.push(format!("  {mark:<1} {name:<width$}  {line}"));
        }
        let advice = finding.advice.as_deref().unwrap_or_default();
        let advice = invocation.in_text(advice);
        lines.extend(advice.lines().map(|line| format!("    {:<width$}  {line}", "")));
    }
    lines
}

fn ok(name: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        name,
        state: State::Ok,
        found: found.into(),
        advice: None,
    }
}

fn not_ok(name: &'static str, state: State, found: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding {
        name,
        state,
        found: found.into(),
        advice: Some(advice.into()),
    }
}

/// A failure as a finding.
fn failed(name: &'static str, failure: &Failure) -> Finding {
    let advice = failure.hint.clone().unwrap_or_default();
    let details = failure
        .details
        .iter()
        .map(|(name, value)| format!(" ({name}: {value})"));
    let found = format!("{}{}", failure.problem, details.collect::<String>());
    Finding {
        name,
        state: State::Missing,
        found,
        advice: (!advice.is_empty()).then_some(advice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_aligned_with_advice_below() {
        let findings = [
            ok("git", "2.47.3"),
            not_ok("sandbox", State::Missing, "no bwrap", "install it"),
        ];
        assert_eq!(
            lines(&findings, &Invocation::default(), 80),
            [
                "  ✓ git      2.47.3",
                "  ✗ sandbox  no bwrap",
                "             install it"
            ]
        );
    }
}
