//! The bearer token of the server.

use crate::{config::Loaded, failure::Failure};
use secrecy::{ExposeSecret, SecretString};

/// The bearer token, if one is configured: its own variable, or the file that the configuration names.
pub(crate) fn token(loaded: &Loaded) -> Result<Option<SecretString>, Failure> {
    if let Some(token) = loaded.environment.get("ORCHESTRATOR_TOKEN") {
        return Ok(Some(token.into()));
    }
    let Some(path) = &loaded.config.server.token_file else {
        return Ok(None);
    };
    let problem = |found: String| {
        Failure::configuration("the token file can't be used")
            .with("file", path.display())
            .with("found", found)
            .hint("it must hold one line with the token; correct server.token_file or ORCHESTRATOR_TOKEN_FILE")
    };
    let text = SecretString::from(std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?);
    match text.expose_secret().trim() {
        "" => Err(problem("an empty file".to_owned())),
        token => Ok(Some(token.into())),
    }
}
