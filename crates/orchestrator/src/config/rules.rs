//! Rules of the configuration that types can't express.

use super::Config;
use crate::failure::Failure;

/// Checks the configuration as a whole.
pub(super) fn check(config: &Config) -> Result<(), Failure> {
    if config.engine.workers == 0 && config.hubs.address.is_none() {
        return Err(Failure::configuration("engine.workers must be at least 1")
            .with("found", 0)
            .hint("0 is for a server whose work is done by remote workers, which share hubs.address"));
    }
    if let Some(root) = config.server.workspaces.iter().find(|root| !root.is_absolute()) {
        return Err(Failure::configuration("server.workspaces must be absolute paths")
            .with("found", root.display())
            .hint("give absolute paths; in a file, paths relative to the file work, too"));
    }
    // A process trusts its lease only while there is time left to notice its loss.
    let (lease, heartbeat) = (config.engine.lease_s, config.engine.heartbeat_s);
    if lease < heartbeat.saturating_add(3) {
        return Err(
            Failure::configuration("engine.lease_s must be at least 3 more than engine.heartbeat_s")
                .with("found", format!("lease_s = {lease}, heartbeat_s = {heartbeat}"))
                .hint("a process without a heartbeat for lease_s counts as lost, so it needs heartbeats more often"),
        );
    }
    if let Some(dollars) = config.budget.run_dollars
        && domain::NanoDollars::from_dollars(dollars).is_none()
    {
        return Err(Failure::configuration("budget.run_dollars must be an amount of dollars").with("found", dollars));
    }
    for (key, model) in [
        ("models.director", &config.models.director),
        ("models.worker", &config.models.worker),
    ] {
        if let Some(model) = model {
            super::parse_model(model).map_err(|failure| failure.with("setting", key))?;
        }
    }
    check_server(config)?;
    config.retention.check()?;
    config.sandbox.check()?;
    config.merge_settings()?;
    for (name, workspace) in &config.workspaces {
        config.merge_settings_of(name, workspace)?;
        if workspace.path.as_os_str().is_empty() {
            return Err(Failure::configuration(format!("workspaces.{name} has no path"))
                .hint("name the repository: path = \"/path/to/repository\""));
        }
    }
    Ok(())
}

/// Rejects limits that would reject every request.
fn check_server(config: &Config) -> Result<(), Failure> {
    let (server, count) = (&config.server, |count: usize| count as u64);
    let limits = [
        ("server.connections", count(server.connections)),
        ("server.connections_per_address", count(server.connections_per_address)),
        ("server.requests", count(server.requests)),
        ("server.body_bytes", count(server.body_bytes)),
        ("server.header_timeout_s", server.header_timeout_s),
        ("server.body_timeout_s", server.body_timeout_s),
        ("server.idle_timeout_s", server.idle_timeout_s),
        ("limits.open_runs", u64::from(config.limits.open_runs)),
    ];
    match limits.into_iter().find(|(_, value)| *value == 0) {
        Some((key, value)) => Err(Failure::configuration(format!("{key} must be at least 1"))
            .with("found", value)
            .hint("docs/configuration.md lists every setting with its default")),
        None => Ok(()),
    }
}
