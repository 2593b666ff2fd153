//! Who may see the page and do something by it.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use axum::extract::ConnectInfo;
use http::{HeaderName, request::Parts};
use serde::Serialize;

pub use self::token::AccessError;
use self::token::{Fault, Shown, Token};

mod token;

/// What a visitor may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Sees queues, handlers, and dead letters without their bodies and headers. May do nothing.
    Reader,
    /// Sees bodies and headers, replays dead letters, pauses and resumes queues.
    Operator,
    /// Edits and discards dead letters.
    Admin,
}

/// Somebody who was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    pub(super) who: String,
    pub(super) role: Role,
}

/// How visitors show who they are: one way, or one [or](Self::or) another.
///
/// ```
/// use ploomby::admin::{Access, Role};
///
/// let access = Access::token_file("/run/secrets/admin-token", Role::Admin)
///     .or(Access::token_env("PROMETHEUS_TOKEN", Role::Reader));
/// ```
///
/// `Debug` prints no token.
#[derive(Clone)]
#[must_use]
pub struct Access {
    ways: Vec<Way>,
}

type Roles = dyn Fn(&str) -> Option<Role> + Send + Sync;
type Visitors = dyn Fn(&Parts) -> Option<Visitor> + Send + Sync;

#[derive(Clone)]
enum Way {
    Token(Token, Role),
    Proxy {
        header: String,
        peers: BTreeSet<IpAddr>,
        roles: Arc<Roles>,
    },
    By(Arc<Visitors>),
    Anybody(Role),
}

/// A name of a visitor is cut here.
const LONGEST_NAME: usize = 100;

impl Visitor {
    /// Somebody of this name, which stands in the log beside what they do.
    pub fn new(who: impl AsRef<str>, role: Role) -> Self {
        let who = who.as_ref().chars().take(LONGEST_NAME);
        Self {
            who: who.collect(),
            role,
        }
    }

    /// Their name.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// What they may do.
    pub fn role(&self) -> Role {
        self.role
    }
}

impl Access {
    fn one(way: Way) -> Self {
        Self { ways: vec![way] }
    }

    /// Who knows this token, which has 16 characters or more. A browser asks for a name and a password: the password is the
    /// token, and the name stands in the log beside what is done. Programs send `authorization: Bearer TOKEN`.
    pub fn token(token: impl Into<String>, role: Role) -> Self {
        Self::one(Way::Token(Token::Given(token.into().into()), role))
    }

    /// The same with the token in a file, without the white space at its end. The file is read for each request: a new
    /// token counts at once.
    pub fn token_file(file: impl Into<PathBuf>, role: Role) -> Self {
        Self::one(Way::Token(Token::File(file.into()), role))
    }

    /// The same with the token in a variable of the environment.
    pub fn token_env(variable: impl Into<String>, role: Role) -> Self {
        Self::one(Way::Token(Token::Env(variable.into()), role))
    }

    /// Who a proxy in front of the program names in a header, such as `x-forwarded-user`, with the role that `roles` gives
    /// to that name. The header is believed only in requests that come straight from one of these `peers`: the proxy has
    /// to take away what visitors write there themselves. Where a peer is 127.0.0.1, whoever is logged in on the machine or
    /// forwards the port can write the header, too.
    ///
    /// A program that [nests](super::Admin::router) the page serves its router by `into_make_service_with_connect_info::<SocketAddr>`,
    /// else nobody's address is known and no header is believed.
    ///
    /// ```
    /// use std::net::{IpAddr, Ipv4Addr};
    /// use ploomby::admin::{Access, Role};
    ///
    /// let sidecar = IpAddr::from(Ipv4Addr::LOCALHOST);
    /// let access = Access::proxy("x-forwarded-user", [sidecar], |user| match user {
    ///     "ada@example.com" => Some(Role::Admin),
    ///     user if user.ends_with("@example.com") => Some(Role::Reader),
    ///     _ => None,
    /// });
    /// ```
    pub fn proxy(
        header: impl Into<String>,
        peers: impl IntoIterator<Item = IpAddr>,
        roles: impl Fn(&str) -> Option<Role> + Send + Sync + 'static,
    ) -> Self {
        Self::one(Way::Proxy {
            header: header.into(),
            peers: peers.into_iter().map(|peer| peer.to_canonical()).collect(),
            roles: Arc::new(roles),
        })
    }

    /// Whom this function lets in, by the head of the request: for sessions, or for what a layer of the program found out
    /// and put among the extensions.
    pub fn by(visitor: impl Fn(&Parts) -> Option<Visitor> + Send + Sync + 'static) -> Self {
        Self::one(Way::By(Arc::new(visitor)))
    }

    /// Anybody who comes so far: for a program whose own layers let nobody else through, or a page that all may see.
    ///
    /// A port of [`App::admin`](crate::App::admin) on the loopback interface then answers to `localhost` and addresses of
    /// that interface alone, as it does without an access.
    pub fn anybody(role: Role) -> Self {
        Self::one(Way::Anybody(role))
    }

    /// Who shows it this way or the other. If several do, the first counts.
    pub fn or(mut self, other: Self) -> Self {
        self.ways.extend(other.ways);
        self
    }

    /// Whether it can work at all.
    pub(super) fn check(&self) -> Result<(), AccessError> {
        for way in &self.ways {
            match way {
                Way::Token(token, _) => _ = token.read()?,
                Way::Proxy { header, .. } => {
                    let name = HeaderName::try_from(header);
                    name.map_err(|_| AccessError(Fault::Header(header.clone())))?;
                }
                Way::By(_) | Way::Anybody(_) => {}
            }
        }
        Ok(())
    }

    /// Whether a browser can be asked for a token.
    pub(super) fn takes_tokens(&self) -> bool {
        let is_token = |way: &Way| matches!(way, Way::Token(..));
        self.ways.iter().any(is_token)
    }

    /// Whether it asks nobody who they are.
    pub(super) fn takes_anybody(&self) -> bool {
        let is_anybody = |way: &Way| matches!(way, Way::Anybody(_));
        self.ways.iter().any(is_anybody)
    }

    /// Who sends a request, if they may come in.
    pub(super) fn visitor(&self, request: &Parts) -> Option<Visitor> {
        let shown = Shown::of(request);
        self.ways.iter().find_map(|way| match way {
            Way::Token(token, role) => {
                let shown = shown.as_ref()?;
                token
                    .is(&shown.token)
                    .then(|| Visitor::new(&shown.who, *role))
            }
            Way::Proxy {
                header,
                peers,
                roles,
            } => {
                let peer = request.extensions.get::<ConnectInfo<SocketAddr>>()?;
                if !peers.contains(&peer.0.ip().to_canonical()) {
                    return None;
                }
                let mut named = request.headers.get_all(header.as_str()).iter();
                // of two, one may be the visitor's own
                let (Some(who), None) = (named.next(), named.next()) else {
                    return None;
                };
                let who = who.to_str().ok().filter(|who| !who.is_empty())?;
                Some(Visitor::new(who, roles(who)?))
            }
            Way::By(visitor) => visitor(request),
            Way::Anybody(role) => Some(Visitor::new("anybody", *role)),
        })
    }
}

impl Role {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = self.ways.iter().map(|way| match way {
            Way::Token(Token::Given(_), role) => format!("token: {role:?}"),
            Way::Token(Token::File(file), role) => format!("token in {}: {role:?}", file.display()),
            Way::Token(Token::Env(variable), role) => format!("token in ${variable}: {role:?}"),
            Way::Proxy { header, peers, .. } => format!("{header} from {peers:?}"),
            Way::By(_) => "a function".to_owned(),
            Way::Anybody(role) => format!("anybody: {role:?}"),
        });
        f.debug_list().entries(ways).finish()
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use http::HeaderValue;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn request(header: &str, value: &str) -> Parts {
        let request = http::Request::get("/queues").header(header, value);
        request.body(()).unwrap().into_parts().0
    }

    fn from(mut request: Parts, peer: &str) -> Parts {
        let peer: IpAddr = peer.parse().unwrap();
        request
            .extensions
            .insert(ConnectInfo(SocketAddr::new(peer, 1)));
        request
    }

    #[test]
    fn a_token_lets_a_program_and_a_browser_in() {
        let access = Access::token(TOKEN, Role::Operator);
        let program = access.visitor(&request("authorization", &format!("Bearer {TOKEN}")));
        assert_eq!(program, Some(Visitor::new("a program", Role::Operator)));
        let basic = STANDARD.encode(format!("ada:{TOKEN}"));
        let browser = access.visitor(&request("authorization", &format!("Basic {basic}")));
        assert_eq!(browser, Some(Visitor::new("ada", Role::Operator)));
    }

    #[test]
    fn nothing_else_than_the_token_lets_in() {
        let access = Access::token(TOKEN, Role::Reader);
        for shown in [
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer 0123456789abcdeF",
            "0123456789abcdef",
            "Digest 0123456789abcdef",
            "Basic 0123456789abcdef",
            "Basic ====",
        ] {
            let visitor = access.visitor(&request("authorization", shown));
            assert_eq!(visitor, None, "{shown}");
        }
        assert_eq!(access.visitor(&request("x-token", TOKEN)), None);
    }

    #[test]
    fn a_header_counts_from_the_proxy_alone() {
        let proxy = "10.0.0.1".parse().unwrap();
        let access = Access::proxy("x-user", [proxy], |who| {
            (who == "ada").then_some(Role::Admin)
        });
        let ada = || request("x-user", "ada");
        let visitor = Some(Visitor::new("ada", Role::Admin));
        assert_eq!(access.visitor(&from(ada(), "10.0.0.1")), visitor);
        // as a socket for both kinds of addresses writes it
        assert_eq!(access.visitor(&from(ada(), "::ffff:10.0.0.1")), visitor);
        assert_eq!(access.visitor(&from(ada(), "10.0.0.2")), None);
        assert_eq!(access.visitor(&ada()), None);
        let bob = request("x-user", "bob");
        assert_eq!(access.visitor(&from(bob, "10.0.0.1")), None);
        let mut two = from(ada(), "10.0.0.1");
        two.headers
            .append("x-user", HeaderValue::from_static("ada"));
        assert_eq!(access.visitor(&two), None);
    }

    #[test]
    fn the_first_way_counts() {
        let access = Access::token(TOKEN, Role::Admin).or(Access::anybody(Role::Reader));
        let bearer = request("authorization", &format!("Bearer {TOKEN}"));
        assert_eq!(access.visitor(&bearer).unwrap().role(), Role::Admin);
        assert_eq!(
            access.visitor(&request("a", "b")).unwrap().role(),
            Role::Reader
        );
    }

    #[test]
    fn what_cannot_work_is_told_and_no_token_is_printed() {
        let told = |access: Access| access.check().unwrap_err().to_string();
        assert!(told(Access::token("too short", Role::Reader)).contains("16 characters"));
        assert!(told(Access::token_file("/no/such/file", Role::Reader)).contains("/no/such/file"));
        assert!(
            told(Access::token_env("PLOOMBY_NOT_SET", Role::Reader)).contains("PLOOMBY_NOT_SET")
        );
        assert!(told(Access::proxy("a b", [], |_| None)).contains("`a b`"));
        let access = Access::token(TOKEN, Role::Reader);
        assert!(access.check().is_ok());
        assert!(!format!("{access:?}").contains(TOKEN));
    }
}
