//! Where the port is, and for whom.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use thiserror::Error;
use tokio::net::{TcpListener, lookup_host};

use super::{Access, AccessError, door::Door};

/// What a program says of its admin port.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) address: Option<String>,
    pub(super) access: Option<Access>,
}

/// Why there is no port.
#[derive(Debug, Error)]
pub(super) enum PortError {
    #[error("`{0}` is no address of this machine: {1}")]
    Address(String, io::Error),
    #[error(
        "`{0}` can be reached from elsewhere, and nobody would be asked who they are: say who may come in by \
         `App::admin_access`, or take 127.0.0.1"
    )]
    Open(String),
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl Settings {
    /// Opens the port.
    pub(super) async fn open(&self) -> Result<(TcpListener, Door), PortError> {
        let address = self.address.as_deref().unwrap_or("127.0.0.1:9090");
        let unusable = |error| PortError::Address(address.to_owned(), error);
        // a port alone
        let whole = match address.parse::<u16>() {
            Ok(port) => format!("127.0.0.1:{port}"),
            Err(_) => address.to_owned(),
        };
        let addresses: Vec<SocketAddr> = lookup_host(whole).await.map_err(unusable)?.collect();
        let is_of_the_machine = addresses.iter().all(|address| is_loopback(address.ip()));
        let door = match &self.access {
            Some(access) if is_of_the_machine => Door::guarded_on_loopback(access.clone())?,
            Some(access) => Door::guarded(access.clone())?,
            None if is_of_the_machine => Door::of_the_machine(),
            None => return Err(PortError::Open(address.to_owned())),
        };
        let listener = TcpListener::bind(&addresses[..]).await.map_err(unusable)?;
        Ok((listener, door))
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Role;

    fn at(address: &str) -> Settings {
        Settings {
            address: Some(address.to_owned()),
            access: None,
        }
    }

    #[tokio::test]
    async fn a_port_alone_is_on_the_loopback_interface() {
        let (listener, _) = at("0").open().await.unwrap();
        assert!(listener.local_addr().unwrap().ip().is_loopback());
    }

    #[tokio::test]
    async fn an_address_that_others_reach_needs_an_access() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
            let error = at(address).open().await.unwrap_err();
            assert!(matches!(error, PortError::Open(_)), "{address}: {error}");
            assert!(error.to_string().contains("App::admin_access"), "{error}");
        }
        let open = Settings {
            access: Some(Access::anybody(Role::Reader)),
            ..at("0.0.0.0:0")
        };
        assert!(open.open().await.is_ok());
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_had_is_told() {
        for address in ["nonsense", "127.0.0.1", "127.0.0.1:99999", ""] {
            let error = at(address).open().await.unwrap_err();
            assert!(
                error.to_string().contains(&format!("`{address}`")),
                "{error}"
            );
        }
        let (taken, _) = at("0").open().await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        assert!(at(&address).open().await.is_err());
    }
}
