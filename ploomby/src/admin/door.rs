//! Who comes in: by what they show, or because they are on the machine.

use http::{Uri, header::HOST, request::Parts};

use super::{Access, AccessError, Role, Visitor};

/// The door of the page.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// None on the loopback interface, where nobody is asked.
    access: Option<Access>,
}

impl Door {
    /// # Errors
    ///
    /// An access that cannot work.
    pub(super) fn guarded(access: Access) -> Result<Self, AccessError> {
        access.check()?;
        Ok(Self {
            access: Some(access),
        })
    }

    /// For a port on the loopback interface.
    pub(super) fn of_the_machine() -> Self {
        Self { access: None }
    }

    /// Who sends a request, if they may come in.
    pub(super) fn visitor(&self, request: &Parts) -> Option<Visitor> {
        match &self.access {
            Some(access) => access.visitor(request),
            None => Some(Visitor::new("loopback", Role::Admin)),
        }
    }

    /// Whether a browser is asked for a token.
    pub(super) fn takes_tokens(&self) -> bool {
        self.access.as_ref().is_some_and(Access::takes_tokens)
    }

    /// Whether a request asks for this machine by a name that means it. Where nobody is asked who they are, a page of
    /// somebody else could have a browser send requests here under a name of its own, which it lets mean 127.0.0.1.
    pub(super) fn is_asked_for(&self, request: &Parts) -> bool {
        if self.access.is_some() {
            return true;
        }
        let host = request
            .headers
            .get(HOST)
            .and_then(|host| host.to_str().ok());
        let host = host.or_else(|| request.uri.authority().map(|authority| authority.as_str()));
        let Some(host) = host.and_then(|host| host.parse::<Uri>().ok()) else {
            return false;
        };
        match host.host() {
            Some(name) if name.eq_ignore_ascii_case("localhost") => true,
            Some(address) => {
                let address = address.trim_start_matches('[').trim_end_matches(']');
                let address = address.parse::<std::net::IpAddr>();
                address.is_ok_and(|address| address.to_canonical().is_loopback())
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_the_machine_answers_to_names_of_the_machine_alone() {
        let door = Door::of_the_machine();
        let asked = |host: &str| {
            let request = http::Request::get("/").header(HOST, host).body(());
            door.is_asked_for(&request.unwrap().into_parts().0)
        };
        for host in [
            "127.0.0.1:9090",
            "localhost",
            "LOCALHOST:1",
            "[::1]:9090",
            "127.8.0.1",
        ] {
            assert!(asked(host), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:9090",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            "a b",
        ] {
            assert!(!asked(host), "{host}");
        }
        let nameless = http::Request::get("/").body(()).unwrap();
        assert!(!door.is_asked_for(&nameless.into_parts().0));
    }
}
