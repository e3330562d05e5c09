//! `orchestrator config`: the effective configuration and its sources.

use crate::{
    config::Loaded,
    failure::{Exit, Failure},
    output,
};

/// Prints the effective configuration, secrets masked.
pub(crate) fn config(loaded: &Loaded, json: bool) -> Result<Exit, Failure> {
    let config = loaded.config.masked();
    if json {
        output::document(&config)?;
        return Ok(Exit::Complete);
    }
    let text = toml::to_string(&config)
        .map_err(|error| Failure::usage("the configuration can't be shown").caused_by(error))?;
    let sources = if loaded.sources.is_empty() {
        "defaults only".to_owned()
    } else {
        loaded.sources.join(", ")
    };
    output::line(&format!("# from: {sources}\n{}", text.trim_end()))?;
    Ok(Exit::Complete)
}
