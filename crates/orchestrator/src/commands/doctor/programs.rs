//! Checks of programs, sandbox, models and the server.

use super::{Finding, State, failed, not_ok, ok};
use crate::{
    client,
    config::{Loaded, model_settings, parse_model},
    failure::Failure,
    wire,
};
use sandbox::Enforcement;

/// Effects that the running server leaves to a newer version, if there are any.
pub(super) async fn unknown_effects(server: Option<&client::Found>) -> Option<Finding> {
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

pub(super) fn git() -> Finding {
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

/// The sandbox, tested with a real command, and its properties.
pub(super) async fn sandbox(loaded: &Loaded) -> (Finding, Vec<Enforcement>) {
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
pub(super) fn enforced(found: Enforcement) -> Finding {
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

pub(super) fn models(loaded: &Loaded) -> Finding {
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
pub(super) fn keys(loaded: &Loaded) -> Option<Finding> {
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

pub(super) async fn port(loaded: &Loaded, running: Option<&str>) -> Finding {
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
pub(super) fn connections(loaded: &Loaded) -> Finding {
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
