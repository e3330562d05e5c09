//! `orchestrator doctor`: check this machine and show what to install.

use super::end;
use crate::{
    client,
    config::{Loaded, model_settings, parse_model},
    failure::{Exit, Failure},
    invocation::Invocation,
    output,
    progress::wrapped,
    wire,
};
use engine::bytes_in_words;
use sandbox::Enforcement;
use serde::Serialize;
use std::path::{Path, PathBuf};
use store::embedded;
use tokio_util::sync::CancellationToken;

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

fn data_directory(loaded: &Loaded) -> Finding {
    let path = &loaded.config.data_dir;
    let existing = existing(path);
    let writable = rustix::fs::access(&existing, rustix::fs::Access::WRITE_OK).is_ok();
    match (writable, existing == *path) {
        (true, true) => ok("data", path.display().to_string()),
        (true, false) => ok("data", format!("{} (will be created)", path.display())),
        (false, _) => not_ok(
            "data",
            State::Missing,
            format!("{} is not writable for this account", existing.display()),
            "choose another with --data-dir or ORCHESTRATOR_DATA_DIR",
        ),
    }
}

/// The path, or the nearest directory above it that exists.
fn existing(path: &Path) -> PathBuf {
    path.ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"))
        .to_owned()
}

fn disk(loaded: &Loaded) -> Finding {
    let floor = loaded.config.engine.disk_floor_bytes;
    let path = existing(&loaded.config.data_dir);
    let Ok(disk) = rustix::fs::statvfs(&path) else {
        return not_ok(
            "disk",
            State::Warning,
            format!("the disk of {} can't be read", path.display()),
            "",
        );
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let words = format!("{} MiB free at {}", free >> 20, path.display());
    if free < floor {
        let advice = format!(
            "at least {} MiB are needed (engine.disk_floor_bytes); free some",
            floor >> 20
        );
        return not_ok("disk", State::Missing, words, advice);
    }
    ok("disk", words)
}

/// Disk usage of the parts of the data directory.
async fn disk_use(loaded: &Loaded) -> Finding {
    const NAME: &str = "use";
    let data_dir = loaded.config.data_dir.clone();
    let measure = move || engine::DiskUse::measure(&data_dir, &CancellationToken::new());
    let Some(found) = tokio::task::spawn_blocking(measure).await.ok().flatten() else {
        return not_ok(NAME, State::Warning, "the data directory can't be measured", "");
    };
    let total = bytes_in_words(found.total_bytes());
    let parts = match found.areas.is_empty() {
        true => "nothing yet".to_owned(),
        false => found.words(),
    };
    match loaded.config.retention.bytes {
        None => ok(NAME, format!("{total}, without a bound (retention.bytes): {parts}")),
        Some(bound) if found.total_bytes() <= bound => ok(
            NAME,
            format!("{total} of {} (retention.bytes): {parts}", bytes_in_words(bound)),
        ),
        Some(bound) => not_ok(
            NAME,
            State::Warning,
            format!(
                "{total}, over the bound of {} (retention.bytes): {parts}",
                bytes_in_words(bound)
            ),
            "nothing new starts until there is space: `orchestrator clean --older-than 0`, or raise the bound",
        ),
    }
}

/// Connects to the configured server, or starts a private one in a temporary directory.
async fn database(loaded: &Loaded, running: Option<&str>) -> Finding {
    const NAME: &str = "database";
    if let Some(address) = running {
        return ok(NAME, format!("in use by the server at {address}"));
    }
    if let Some(url) = &loaded.config.database.url {
        return match wire::try_database(loaded, url).await {
            Ok(server) => ok(NAME, server),
            Err(failure) => failed(NAME, &failure),
        };
    }
    let tried = tokio::task::spawn_blocking(try_private_server).await;
    let broken = |error| Err(Failure::internal("the database can't be tried").caused_by(error));
    match tried.unwrap_or_else(broken) {
        Ok(programs) => ok(NAME, format!("a private PostgreSQL starts, from {programs}")),
        Err(failure) => failed(NAME, &failure),
    }
}

/// Effects that the running server leaves to a newer version, if there are any.
async fn unknown_effects(server: Option<&client::Found>) -> Option<Finding> {
    let readiness = server?.client.readiness().await.ok()?;
    (!readiness.unknown_effects.is_empty()).then(|| {
        not_ok(
            "effects",
            State::Warning,
            format!(
                "of kinds that the running version does not know: {}",
                readiness.unknown_effects.join(", ")
            ),
            "they wait for the newer version that made them: start that one",
        )
    })
}

fn try_private_server() -> Result<String, Failure> {
    let directory = tempfile::tempdir()
        .map_err(|error| Failure::environment("no temporary directory can be made").caused_by(error))?;
    let settings = embedded::Settings {
        durability: embedded::Durability::None,
        ..embedded::Settings::default()
    };
    // `start` creates the directory with a mode that lets the server's account in.
    let running = embedded::start(&directory.path().join("data"), &settings)?;
    let programs = running.binaries().display().to_string();
    running.stop()?;
    Ok(programs)
}

fn git() -> Finding {
    match git::git_cli_version() {
        Ok(version) if version >= git::MINIMUM_GIT => ok("git", version.to_string()),
        Ok(version) => not_ok(
            "git",
            State::Missing,
            format!("{version} is too old; {} or newer is needed", git::MINIMUM_GIT),
            "install a newer git (Ubuntu: add-apt-repository ppa:git-core/ppa && apt-get install -y git)",
        ),
        Err(error) => not_ok("git", State::Missing, error.to_string(), "apt-get install -y git"),
    }
}

/// The address of shared hubs. Whether it can be reached shows in the first run: each hub has its own name.
fn hubs(loaded: &Loaded) -> Option<Finding> {
    let address = loaded.config.hubs.address.as_ref()?;
    let database = loaded.config.database.url.is_some();
    Some(match wire::shared_hubs(loaded) {
        Ok(_) if !database => not_ok(
            "hubs",
            State::Warning,
            format!("shared at {address}, but the database is this machine's own"),
            "set DATABASE_URL to a database that the other machines reach, too",
        ),
        Ok(_) => ok("hubs", format!("shared at {address}")),
        Err(failure) => failed("hubs", &failure),
    })
}

/// The sandbox, tested with a real command, and its properties.
async fn sandbox(loaded: &Loaded) -> (Finding, Vec<Enforcement>) {
    const NAME: &str = "sandbox";
    let sandbox = match wire::probe(loaded).await {
        Ok(sandbox) => sandbox,
        Err(failure) => return (failed(NAME, &failure), Vec::new()),
    };
    let words = sandbox.describe();
    let finding = match sandbox.gaps() {
        _ if sandbox.tier() == sandbox::Tier::None => not_ok(
            NAME,
            State::Warning,
            words,
            "commands of models run with your own permissions",
        ),
        Some(_) => not_ok(
            NAME,
            State::Warning,
            words,
            "parts of it are not enforced here; see below",
        ),
        None => ok(NAME, words),
    };
    (finding, sandbox.enforcement())
}

/// A property of the sandbox as a finding.
fn enforced(found: Enforcement) -> Finding {
    let name = found.property.name();
    match found.state {
        sandbox::State::Enforced => ok(name, found.detail),
        state => Finding {
            name,
            state: State::Warning,
            found: format!("{state}: {}", found.detail),
            advice: found.advice,
        },
    }
}

fn models(loaded: &Loaded) -> Finding {
    const NAME: &str = "models";
    let models = model_settings(loaded).and_then(|settings| {
        llm::Models::new(settings).map_err(|error| Failure::usage("the models can't be used").caused_by(error))
    });
    let models = match models {
        Ok(models) => models,
        Err(failure) => return failed(NAME, &failure),
    };
    let chosen = [&loaded.config.models.director, &loaded.config.models.worker];
    let named: Vec<&str> = chosen.into_iter().flatten().map(String::as_str).collect();
    let capped = loaded.config.run_limits().cost_nanodollars.is_some();
    for name in &named {
        let usable = parse_model(name)
            .map_err(|failure| failure.problem)
            .and_then(|model| models.check(&model, capped).map_err(|error| error.to_string()));
        if let Err(error) = usable {
            return not_ok(
                NAME,
                State::Missing,
                format!("{name}: {error}"),
                "see docs/configuration.md, providers",
            );
        }
    }
    let providers: Vec<&str> = models.providers().collect();
    match named.len() {
        2 => ok(NAME, format!("{} plans, {} works", named[0], named[1])),
        _ => not_ok(
            NAME,
            State::Warning,
            format!("no default models; providers: {}", providers.join(", ")),
            "set ORCHESTRATOR_DIRECTOR_MODEL and ORCHESTRATOR_WORKER_MODEL, or name models with each run",
        ),
    }
}

/// Keys that can't be masked, if there are any.
fn keys(loaded: &Loaded) -> Option<Finding> {
    let models = model_settings(loaded).ok()?;
    let variables = wire::unmaskable(&models);
    (!variables.is_empty()).then(|| {
        not_ok(
            "keys",
            State::Warning,
            format!(
                "too short or too ordinary to be masked in stored texts: {}",
                variables.join(", ")
            ),
            "use a longer, random key, unless the provider accepts any key",
        )
    })
}

async fn port(loaded: &Loaded, running: Option<&str>) -> Finding {
    if let Some(address) = running {
        return ok("server", format!("running at {address}"));
    }
    let address = loaded.config.server.listen;
    match tokio::net::TcpListener::bind(address).await {
        Ok(_) => ok("server", format!("not running; {address} is free")),
        Err(error) => not_ok(
            "server",
            State::Warning,
            format!("not running, and {address} can't be used: {error}"),
            "choose another with --listen or ORCHESTRATOR_LISTEN",
        ),
    }
}

/// The number of connections that the limit of open files allows.
fn connections(loaded: &Loaded) -> Finding {
    const NAME: &str = "connections";
    let settings = match wire::server_settings(loaded) {
        Ok(settings) => settings,
        Err(failure) => return failed(NAME, &failure),
    };
    let descriptors = server::Descriptors::now();
    let caps = server::Caps::new(&settings, descriptors);
    let found = format!(
        "at most {}, {} of one address, {} event streams; {} open files allowed",
        caps.total, caps.per_address, caps.streams, descriptors.soft
    );
    match caps.total < settings.connections {
        false => ok(NAME, found),
        true => not_ok(
            NAME,
            State::Warning,
            format!("{found}, too few for server.connections = {}", settings.connections),
            format!(
                "raise the limit of open files to {} (ulimit -n, LimitNOFILE), or lower the setting",
                settings.connections * 2
            ),
        ),
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
