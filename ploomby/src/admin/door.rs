//! Who comes in: by what they show, or because they are on the machine.

use http::{Uri, header::HOST, request::Parts};

use super::{Access, AccessError, Role, Visitor};

/// The door of the page.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// None on the loopback interface, where nobody is asked.
    access: Option<Access>,
    /// Whether it answers to names of the machine alone.
    is_of_the_machine: bool,
}

impl Door {
    /// # Errors
    ///
    /// An access that cannot work.
    pub(super) fn guarded(access: Access) -> Result<Self, AccessError> {
        access.check()?;
        Ok(Self {
            access: Some(access),
            is_of_the_machine: false,
        })
    }

    /// The same for a port on the loopback interface.
    ///
    /// # Errors
    ///
    /// An access that cannot work.
    pub(super) fn guarded_on_loopback(access: Access) -> Result<Self, AccessError> {
        Ok(Self {
            is_of_the_machine: access.takes_anybody(),
            ..Self::guarded(access)?
        })
    }

    /// For a port on the loopback interface.
    pub(super) fn of_the_machine() -> Self {
        Self {
            access: None,
            is_of_the_machine: true,
        }
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
        if !self.is_of_the_machine {
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

    fn request(host: &str) -> Parts {
        let request = http::Request::get("/").header(HOST, host).body(());
        request.unwrap().into_parts().0
    }

    #[test]
    fn a_port_of_the_machine_answers_to_names_of_the_machine_alone() {
        let door = Door::of_the_machine();
        let asked = |host: &str| door.is_asked_for(&request(host));
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

    #[test]
    fn a_port_of_the_machine_that_lets_anybody_in_is_asked_for_by_its_name() {
        let token = || Access::token("0123456789abcdef", Role::Admin);
        let anybody = || Access::anybody(Role::Admin);
        for access in [anybody(), token().or(anybody())] {
            let door = Door::guarded_on_loopback(access.clone()).unwrap();
            assert!(!door.is_asked_for(&request("evil.example")));
            assert!(door.is_asked_for(&request("localhost:9090")));
            let elsewhere = Door::guarded(access).unwrap();
            assert!(elsewhere.is_asked_for(&request("admin.example")));
        }
        let door = Door::guarded_on_loopback(token()).unwrap();
        assert!(door.is_asked_for(&request("admin.example")));
    }
}
