use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{net::lookup_host, time::Instant};

/// One address of a host of the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rabbit) struct Address {
    /// As the URL has it, which a certificate is verified by.
    pub(in crate::rabbit) host: String,
    pub(in crate::rabbit) at: SocketAddr,
    /// The place of the host in the URL, and that of the address among those of the host.
    pub(super) place: (usize, usize),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, at, .. } = self;
        match literal(host) {
            Some(_) => write!(f, "{at}"),
            None => write!(f, "{host} ({at})"),
        }
    }
}

/// An address that stands in the URL, with brackets around one of IPv6.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

/// All addresses of a host, IPv6 and IPv4 in turn, in the order that the machine prefers.
///
/// Source: [RFC 8305](https://www.rfc-editor.org/rfc/rfc8305#section-4).
pub(super) async fn addresses(
    index: usize,
    (host, port): &(String, u16),
) -> io::Result<Vec<Address>> {
    let found: Vec<SocketAddr> = match literal(host) {
        Some(address) => vec![(address, *port).into()],
        None => lookup_host((host.as_str(), *port)).await?.collect(),
    };
    let Some(first) = found.first() else {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    };
    let first_family = first.is_ipv6();
    let (of_first, others): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|address| address.is_ipv6() == first_family);
    let mut others = others.into_iter();
    let mut in_turn = Vec::new();
    for address in of_first {
        in_turn.push(address);
        in_turn.extend(others.next());
    }
    in_turn.extend(others);
    let with_place = in_turn.into_iter().enumerate().map(|(number, at)| Address {
        host: host.clone(),
        at,
        place: (index, number),
    });
    Ok(with_place.collect())
}

/// How long an address is tried after the others that failed.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Until when addresses come last, for all connections of the process.
static BAD: LazyLock<Mutex<HashMap<SocketAddr, Instant>>> = LazyLock::new(Mutex::default);

/// Notes that a broker did not do its part: it is tried after the others for a while.
pub(in crate::rabbit) fn blame(address: &Address) {
    let mut bad = bad();
    let now = Instant::now();
    bad.retain(|_, until| *until > now);
    bad.insert(address.at, now + REMEMBERED);
}

/// Whether an address was [blamed](blame) lately.
pub(super) fn is_bad(address: &Address) -> bool {
    bad()
        .get(&address.at)
        .is_some_and(|until| *until > Instant::now())
}

fn bad() -> MutexGuard<'static, HashMap<SocketAddr, Instant>> {
    BAD.lock().unwrap_or_else(PoisonError::into_inner)
}
