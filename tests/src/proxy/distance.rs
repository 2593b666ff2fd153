use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// So much is read at a time.
const PIECE: usize = 16 * 1024;

/// So many pieces are under way at most, as in a window of TCP.
const UNDER_WAY: usize = 256;

/// A broker that is far away: what goes there and back takes its time, and the rate stays as it is.
///
/// Dropped, it takes no more connections; those that it has go on.
#[derive(Debug)]
pub struct Distance {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Distance {
    /// A way to `target` and back that takes so long.
    ///
    /// # Panics
    ///
    /// Where the machine has no port left.
    pub async fn before(target: (String, u16), round_trip: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let target = target.clone();
                tokio::spawn(async move {
                    // the handshake of TCP is a round trip, too
                    sleep_until(Instant::now() + round_trip).await;
                    let Ok(far) = TcpStream::connect((target.0.as_str(), target.1)).await else {
                        return;
                    };
                    for stream in [&near, &far] {
                        stream.set_nodelay(true).unwrap();
                    }
                    let (from_near, to_near) = near.into_split();
                    let (from_far, to_far) = far.into_split();
                    carry(from_near, to_far, round_trip / 2);
                    carry(from_far, to_near, round_trip / 2);
                });
            }
        });
        Self { address, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> (String, u16) {
        (self.address.ip().to_string(), self.address.port())
    }
}

impl Drop for Distance {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries the bytes of one direction until one side is gone.
fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, takes: Duration) {
    let (sender, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    tokio::spawn(async move {
        let mut piece = vec![0; PIECE];
        while let Ok(read @ 1..) = from.read(&mut piece).await {
            let arrives = Instant::now() + takes;
            if sender
                .send((arrives, piece[..read].to_vec()))
                .await
                .is_err()
            {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((arrives, piece)) = under_way.recv().await {
            sleep_until(arrives).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
}
