//! Binding the listen address.

use crate::Settings;
use std::{io, net::SocketAddr};
use tokio::net::TcpListener;

/// Why the server can't listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is reachable from other machines, and there is no token.
    #[error(
        "{0} can be reached from other machines, and no token is configured\n  set a token (ORCHESTRATOR_TOKEN), or listen on 127.0.0.1"
    )]
    Exposed(SocketAddr),
    /// Another process listens there.
    #[error(
        "{0} is in use by another process\n  stop that process, or choose another address with --listen (port 0 takes any free one)"
    )]
    Taken(SocketAddr),
    /// The user may not listen there.
    #[error("this user may not listen on {0}\n  choose a port of at least 1024 with --listen")]
    Forbidden(SocketAddr),
    /// Any other error.
    #[error("cannot listen on {address}: {source}\n  choose another address with --listen")]
    Other {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
}

/// Listens on an address. One beyond loopback needs a token.
///
/// # Errors
/// When the address is in use, not available, or reachable without a token.
pub async fn bind(address: SocketAddr, settings: &Settings) -> Result<TcpListener, BindError> {
    if !address.ip().is_loopback() && settings.token.is_none() {
        return Err(BindError::Exposed(address));
    }
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken(address),
        io::ErrorKind::PermissionDenied => BindError::Forbidden(address),
        _ => BindError::Other { address, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Token;

    #[tokio::test]
    async fn address_in_use_is_named() {
        let first = bind("127.0.0.1:0".parse().unwrap(), &Settings::default())
            .await
            .unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address, &Settings::default()).await.unwrap_err();
        assert!(matches!(error, BindError::Taken(_)), "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn address_beyond_loopback_needs_a_token() {
        let address = "0.0.0.0:0".parse().unwrap();
        let error = bind(address, &Settings::default()).await.unwrap_err();
        assert!(matches!(error, BindError::Exposed(_)), "{error}");
        let settings = Settings {
            token: Some(Token::new("secret")),
            ..Settings::default()
        };
        bind(address, &settings).await.unwrap();
    }
}
