//! Where the server listens.

use crate::Settings;
use std::{io, net::SocketAddr};
use tokio::net::TcpListener;

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address can be reached by others, and nothing would keep them out.
    #[error(
        "{0} can be reached from other machines, and no token is configured\n  set a token (ORCHESTRATOR_TOKEN), or listen on 127.0.0.1"
    )]
    Exposed(SocketAddr),
    /// Somebody listens there.
    #[error(
        "{0} is taken by another process\n  stop that one, or choose another address with --listen (port 0 takes any free one)"
    )]
    Taken(SocketAddr),
    /// We may not listen there.
    #[error("this user may not listen on {0}\n  choose a port from 1024 up with --listen")]
    Forbidden(SocketAddr),
    /// The machine has no such address, or something else.
    #[error("cannot listen on {address}: {source}\n  choose another address with --listen")]
    Other {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Listens on an address. One that others can reach needs a token.
///
/// # Errors
/// When the address is taken, not ours, or would be open to anybody.
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
    async fn a_taken_port_is_named() {
        let first = bind("127.0.0.1:0".parse().unwrap(), &Settings::default())
            .await
            .unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address, &Settings::default()).await.unwrap_err();
        assert!(matches!(error, BindError::Taken(_)), "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn an_address_that_others_reach_needs_a_token() {
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
