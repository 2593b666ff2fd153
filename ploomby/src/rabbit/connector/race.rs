use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until};

use super::{
    address::{Address, addresses, blame, is_bad},
    refusal::Refusal,
};
use crate::rabbit::{
    guard::{self, Opened, Progress},
    io_thread,
    traffic::Traffic,
    url::RabbitUrl,
};

/// How long an address has to take the connection before the next one is tried beside it.
///
/// Source: [RFC 8305](https://www.rfc-editor.org/rfc/rfc8305#section-5).
const HEAD_START: Duration = Duration::from_millis(250);

/// How long a broker that took the connection has for the login before the next one is tried beside it.
const LOGIN_HEAD_START: Duration = Duration::from_secs(3);

/// How long the name of the first host has before the others are tried.
const NAME_HEAD_START: Duration = Duration::from_millis(50);

/// Opens a connection, with this password, at the first address that lets us in, `preferred` if that one does.
///
/// # Errors
///
/// What each host or address failed by.
///
/// # Cancel safety
///
/// Dropped, all that is under way is given up.
pub(in crate::rabbit) async fn open(
    (url, password): (&RabbitUrl, &str),
    name: &str,
    preferred: Option<&Address>,
    traffic: &Arc<Traffic>,
) -> Result<(Opened, Address), Vec<(String, Refusal)>> {
    let mut names: FuturesUnordered<_> = (0..).zip(url.hosts.clone()).map(asked).collect();
    let mut tries = FuturesUnordered::new();
    let mut ready: Vec<Address> = Vec::new();
    let mut failed = Vec::new();
    let mut latest: Option<(Instant, Arc<Progress>)> = None;
    let mut next_at = Instant::now() + NAME_HEAD_START;
    loop {
        // cancel safety: each of these goes on where it was
        tokio::select! {
            biased;
            Some((index, found)) = names.next(), if !names.is_empty() => match found {
                Ok(found) => {
                    ready.extend(found);
                    ready.sort_by_key(|address| {
                        (is_bad(address), Some(address) != preferred, address.place)
                    });
                    if latest.is_none() && (index == 0 || names.is_empty()) {
                        next_at = Instant::now();
                    }
                }
                Err(error) => {
                    let (host, port) = &url.hosts[index];
                    failed.push((format!("{host}:{port}"), Refusal::Name(error.to_string())));
                }
            },
            Some((address, outcome)) = tries.next(), if !tries.is_empty() => match outcome {
                Ok(opened) => return Ok((opened, address)),
                Err(error) => {
                    blame(&address);
                    failed.push((address.to_string(), Refusal::new(error, url)));
                    next_at = Instant::now();
                }
            },
            () = sleep_until(next_at), if !ready.is_empty() => {
                let logs_in = latest.as_ref().filter(|(begin, progress)| {
                    progress.is_beyond_dialling() && begin.elapsed() < LOGIN_HEAD_START
                });
                match logs_in {
                    Some((begin, _)) if !tries.is_empty() => {
                        next_at = *begin + LOGIN_HEAD_START;
                        continue;
                    }
                    _ => {}
                }
                let address = ready.remove(0);
                let progress = Arc::new(Progress::default());
                latest = Some((Instant::now(), progress.clone()));
                next_at = Instant::now() + HEAD_START;
                let traffic = traffic.clone();
                tries.push(async move {
                    let opened = guard::open((url, password), &address, name, (progress, traffic)).await;
                    (address, opened)
                });
            }
            else => return Err(failed),
        }
    }
}

/// Asks for the addresses of one host, on the thread of all connections.
async fn asked((index, host): (usize, (String, u16))) -> (usize, std::io::Result<Vec<Address>>) {
    let found = io_thread::spawn(async move { addresses(index, &host).await }).await;
    (
        index,
        found.unwrap_or_else(|panic| Err(std::io::Error::other(panic))),
    )
}
