//! The delivery of a workspace, as the engine takes it.

use crate::{
    config::{DeliverySection, Loaded},
    failure::Failure,
};
use engine::{DeliveryError, DeliverySettings, ForgeCommand, ForgeWords, PushAccess, PushTo};
use std::time::Duration;

/// Names of variables whose values are masked wherever they turn up.
const SECRET_NAMES: [&str; 6] = ["TOKEN", "KEY", "SECRET", "PASS", "AUTH", "CREDENTIAL"];

/// The section of the workspace of that name, checked.
pub(super) fn delivery_settings(
    loaded: &Loaded,
    name: &str,
    section: &DeliverySection,
) -> Result<DeliverySettings, Failure> {
    settings(loaded, section).map_err(|error| {
        Failure::usage("the delivery can't be configured so")
            .with("in", format!("workspaces.{name}.delivery"))
            .with("found", error)
            .hint("docs/configuration.md shows one")
    })
}

fn settings(loaded: &Loaded, section: &DeliverySection) -> Result<DeliverySettings, DeliveryError> {
    let push = section.push.as_ref().map(|push| {
        let access = PushAccess {
            credential_helper: push.credential_helper.clone(),
            ssh_command: push.ssh_command.clone(),
        };
        PushTo::new(&push.address, push.branch.clone(), access)
    });
    let pull_request = section.pull_request.as_ref().map(|forge| {
        let words = ForgeWords {
            create: forge.create.clone(),
            find: forge.find.clone(),
            base: forge.base.clone(),
            limit: Duration::from_secs(forge.time_s),
            output_bytes: forge.output_bytes,
        };
        let variable = |name: &String| (name.clone(), loaded.environment.get(name).map(str::to_owned));
        let environment = forge.pass_env.iter().map(variable).collect();
        ForgeCommand::new(words, environment, section.push.is_some())
    });
    Ok(DeliverySettings {
        push: push.transpose()?,
        pull_request: pull_request.transpose()?,
    })
}

/// What the forge commands are given that must never be shown.
pub(super) fn delivery_secrets(loaded: &Loaded) -> Vec<String> {
    let workspaces = loaded.config.workspaces.values();
    let names = workspaces
        .filter_map(|workspace| workspace.delivery.pull_request.as_ref())
        .flat_map(|forge| &forge.pass_env);
    let secret = names.filter(|name| {
        let name = name.to_ascii_uppercase();
        SECRET_NAMES.iter().any(|part| name.contains(part))
    });
    let values = secret.filter_map(|name| loaded.environment.get(name));
    values.map(str::to_owned).collect()
}
