//! Converts the configuration into the settings of each part.

use super::{
    Purpose, Scripted,
    delivery::{delivery_secrets, delivery_settings},
    process_name,
};
use crate::{
    config::{Loaded, LogFormat, parse_model},
    failure::Failure,
    token::token,
};
use engine::{Duties, Identity, PushAccess, Retention, SharedHubs, WorkspaceSettings};
use secrecy::ExposeSecret;
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    time::Duration,
};

/// See `src/bin`.
const LAUNCHER: &str = "orchestrator-launcher";

/// How long open requests may take when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(3);

pub(crate) fn server_settings(loaded: &Loaded) -> Result<server::Settings, Failure> {
    let section = &loaded.config.server;
    Ok(server::Settings {
        token: token(loaded)?.map(|token| server::Token::new(token.expose_secret())),
        allowed_hosts: section.allowed_hosts.clone(),
        connections: section.connections,
        connections_per_address: section.connections_per_address,
        streams: section.streams,
        requests: section.requests,
        header_within: Duration::from_secs(section.header_timeout_s),
        body_within: Duration::from_secs(section.body_timeout_s),
        idle_within: Duration::from_secs(section.idle_timeout_s),
        body_bytes: section.body_bytes,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        stop_within: LAST_REQUESTS,
        ..server::Settings::default()
    })
}

pub(super) fn add_scripted(models: &mut llm::Settings, scripted: &Scripted) -> Result<(), Failure> {
    let provider = llm::Provider::new(scripted.base_url.clone(), None);
    models.providers.insert(scripted.provider.clone(), provider);
    let prices = scripted
        .models
        .iter()
        .map(|(name, facts)| (format!("{}/{name}", scripted.provider), facts.clone()));
    models.prices = std::mem::replace(&mut models.prices, vendored()?)
        .with(prices.collect())
        .map_err(|error| Failure::configuration("the prices can't be used").caused_by(error))?;
    Ok(())
}

fn vendored() -> Result<llm::Prices, Failure> {
    llm::Prices::vendored().map_err(|error| Failure::configuration("the prices can't be used").caused_by(error))
}

/// The program that starts commands in sandboxes: the small one beside this one, because a large one takes milliseconds
/// to start, else this one, even if its file was replaced.
fn launcher() -> PathBuf {
    let beside = std::env::current_exe().map(|own| own.with_file_name(LAUNCHER));
    let beside = beside.ok().filter(|launcher| launcher.is_file());
    beside.unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// Grants and limits of sandboxed commands.
pub(super) fn sandbox_settings(loaded: &Loaded) -> sandbox::Settings {
    let section = &loaded.config.sandbox;
    sandbox::Settings {
        bubblewrap: section.bubblewrap.clone(),
        host_uid: section.host_uid,
        launcher: Some(launcher()),
        probe_directory: Some(loaded.config.data_dir.clone()),
        extra_read_only: section.extra_read_only.clone(),
        temporary_bytes: section.temporary_bytes,
        file_bytes: section.file_bytes,
        address_space_bytes: section.address_space_bytes,
        memory_bytes: section.memory_bytes,
        total_memory_bytes: section.total_memory_bytes,
        processes: section.processes,
        cpu_weight: section.cpu_weight,
        worktree_bytes: section.worktree_bytes,
        worktree_files: section.worktree_files,
        disk_floor_bytes: loaded.config.engine.disk_floor_bytes,
        output_file_bytes: section.output_file_bytes,
        ..sandbox::Settings::default()
    }
}

pub(super) fn telemetry_settings(
    loaded: &Loaded,
    data_dir: &Path,
    models: &llm::Settings,
    log: &'static str,
) -> Result<telemetry::Settings, Failure> {
    let section = &loaded.config.telemetry;
    let profiles = profiles(loaded)?;
    let mut names: Vec<String> = models.prices.names().map(str::to_owned).collect();
    let config = &loaded.config;
    let of_workspaces = config.workspaces.values().map(|own| &own.merge.second_opinion);
    let of_all = [
        &config.models.director,
        &config.models.worker,
        &config.merge.second_opinion,
    ];
    for model in of_all.into_iter().chain(of_workspaces).flatten() {
        names.push(parse_model(model)?.model);
    }
    let keys = models
        .providers
        .values()
        .filter_map(|provider| provider.api_key.as_ref());
    let headers = models
        .providers
        .values()
        .flat_map(|provider| provider.extra_headers.values());
    let mut secrets: Vec<String> = keys.chain(headers).map(|secret| secret.expose().to_owned()).collect();
    // An address without a password is no secret.
    secrets.extend(
        loaded
            .config
            .database
            .url
            .clone()
            .filter(|url| url.contains('@') || url.contains("password=")),
    );
    secrets.extend(delivery_secrets(loaded));
    let terminal = std::io::stderr().is_terminal();
    let format = section
        .log_format
        .unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    Ok(telemetry::Settings {
        profiles: profiles.names(),
        models: names,
        tools: agents::tools::Tool::ALL
            .iter()
            .map(|tool| tool.name().to_owned())
            .collect(),
        compatibility_names: section.compatibility_names,
        metrics_enabled: true,
        environment: section.environment.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        otlp_endpoint: section.otlp_endpoint.clone(),
        log_format: match format {
            LogFormat::Text => telemetry::LogFormat::Human,
            LogFormat::Json => telemetry::LogFormat::Json,
        },
        log_filter: section
            .log
            .clone()
            .or_else(|| (!log.is_empty()).then(|| log.to_owned())),
        data_dir_for_disk: data_dir.to_owned(),
        secrets,
    })
}

fn profiles(loaded: &Loaded) -> Result<agents::profile::Profiles, Failure> {
    let profiles = match &loaded.config.engine.profiles {
        Some(directory) => agents::profile::Profiles::with_directory(directory),
        None => agents::profile::Profiles::built_in(),
    };
    profiles.map_err(|error| Failure::configuration("the worker profiles can't be used").caused_by(error))
}

/// The engine's part of the configuration.
pub(super) fn engine_settings(loaded: &Loaded, data_dir: &Path, purpose: Purpose) -> Result<engine::Settings, Failure> {
    let config = &loaded.config;
    let model = |name: &Option<String>| name.as_deref().map(parse_model).transpose();
    let workspaces = config.workspaces.iter().map(|(name, workspace)| {
        let path = workspace.path.canonicalize().unwrap_or_else(|_| workspace.path.clone());
        let settings = WorkspaceSettings {
            check: workspace.check.clone(),
            read_only: workspace.read_only.clone(),
            merge: config.merge_settings_of(name, workspace)?,
            delivery: delivery_settings(loaded, name, &workspace.delivery)?,
            allow_integrity_flags: workspace.allow_integrity_flags,
        };
        Ok((path, settings))
    });
    Ok(engine::Settings {
        data_dir: data_dir.to_owned(),
        process_name: match purpose {
            Purpose::Work | Purpose::Help | Purpose::Deliver(_) | Purpose::Tidy => process_name(data_dir)?,
            // No process is registered, so no id is created.
            Purpose::Read | Purpose::Change => data_dir.display().to_string(),
        },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        slots: config.engine.workers,
        director: model(&config.models.director)?,
        worker: model(&config.models.worker)?,
        workspace_roots: config.server.workspaces.clone(),
        workspace_named: loaded.named_workspace.clone(),
        initialise_files: config.engine.initialise_files,
        initialise_bytes: config.engine.initialise_bytes,
        merge_tries: config.engine.merge_tries,
        workspaces: workspaces.collect::<Result<_, Failure>>()?,
        merge: config.merge_settings()?,
        limits: config.run_limits(),
        profiles: config.engine.profiles.clone(),
        identity: Identity {
            name: config.engine.commit_name.clone(),
            email: config.engine.commit_email.clone(),
        },
        // The sandbox grants these to every job by itself.
        extra_read_only: Vec::<PathBuf>::new(),
        disk_floor_bytes: config.engine.disk_floor_bytes,
        keep_runs: config.retention.kept(),
        disk_bound_bytes: config.retention.bytes,
        measure: Duration::from_secs(config.retention.measure_s),
        duties: match purpose {
            Purpose::Work => Duties::All,
            Purpose::Help => Duties::WithoutWorkspaces,
            Purpose::Deliver(run) => Duties::Delivery(run),
            Purpose::Tidy => Duties::Cleaning,
            Purpose::Read | Purpose::Change => Duties::None,
        },
        retention: match purpose {
            Purpose::Help => Retention::OwnCopies,
            Purpose::Tidy | Purpose::Read if helped(data_dir) => Retention::OwnCopies,
            Purpose::Work | Purpose::Deliver(_) | Purpose::Tidy | Purpose::Read | Purpose::Change => Retention::Runs,
        },
        hubs: shared_hubs(loaded)?,
        poll: Duration::from_millis(config.engine.poll_ms),
        heartbeat: Duration::from_secs(config.engine.heartbeat_s),
        lease: Duration::from_secs(config.engine.lease_s),
        gate_reruns: config.engine.gate_reruns,
        gates: config.engine.gates,
        gates_ahead: config.engine.gates_ahead,
        priority_level: Duration::from_secs(config.engine.priority_level_s),
        fast_forward: config.engine.fast_forward,
        allow_integrity_flags: config.engine.allow_integrity_flags,
    })
}

/// Marks the data directory of a worker: other commands there may do no more than the worker.
const WORKER: &str = "worker";

/// Whether a worker used the data directory last.
fn helped(data_dir: &Path) -> bool {
    data_dir.join(WORKER).exists()
}

/// Records whether a worker uses the data directory.
pub(super) fn note_purpose(data_dir: &Path, purpose: Purpose) -> std::io::Result<()> {
    let mark = data_dir.join(WORKER);
    match purpose {
        Purpose::Help => std::fs::write(mark, "remote worker of a server on another machine\n"),
        Purpose::Work => match std::fs::remove_file(mark) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        },
        Purpose::Deliver(_) | Purpose::Tidy | Purpose::Read | Purpose::Change => Ok(()),
    }
}

/// Location of hubs that several machines share.
pub(crate) fn shared_hubs(loaded: &Loaded) -> Result<Option<SharedHubs>, Failure> {
    let section = &loaded.config.hubs;
    let access = PushAccess {
        credential_helper: section.credential_helper.clone(),
        ssh_command: section.ssh_command.clone(),
    };
    let shared = section.address.as_ref().map(|address| SharedHubs::new(address, access));
    shared.transpose().map_err(|error| {
        Failure::configuration("the shared hubs can't be used")
            .with("in", "hubs.address")
            .caused_by(error)
            .hint("docs/configuration.md has an example")
    })
}
