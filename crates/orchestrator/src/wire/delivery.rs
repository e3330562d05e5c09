//! Delivery settings of a workspace, for the engine.

use crate::{
    config::{DeliverySection, Loaded},
    failure::Failure,
};
use engine::{DeliveryError, DeliverySettings, ForgeCommand, ForgeWords, PushAccess, PushTo};
use std::time::Duration;

/// Parts of variable names whose values are secret.
const SECRET_NAMES: [&str; 6] = ["TOKEN", "KEY", "SECRET", "PASS", "AUTH", "CREDENTIAL"];

/// Converts and checks the delivery section of a workspace.
pub(super) fn delivery_settings(
    loaded: &Loaded,
    name: &str,
    section: &DeliverySection,
) -> Result<DeliverySettings, Failure> {
    settings(loaded, section).map_err(|error| {
        Failure::configuration("the delivery settings can't be used")
            .with("in", format!("workspaces.{name}.delivery"))
            .caused_by(error)
            .hint("docs/configuration.md has an example")
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

/// Secrets in the environment of forge commands.
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
