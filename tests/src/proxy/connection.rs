use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::frames::Frames;
use super::rules::{Direction, Fault, Rules};
use super::time_of;

/// So much is read at a time.
const PIECE: usize = 16 * 1024;

/// The protocol header, which a client sends before its first frame.
const PREAMBLE: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Vec<Arc<Connection>>>);

/// One connection of a client, and that to the broker for it.
#[derive(Debug, Default)]
struct Connection {
    cut: CancellationToken,
    stalled_to_broker: AtomicBool,
    stalled_to_client: AtomicBool,
    /// What keeps bytes from being let through has changed.
    changed: Notify,
}

impl Connections {
    pub(super) fn add(self: &Arc<Self>, client: TcpStream, broker: TcpStream, rules: &Arc<Rules>) {
        let connection = Arc::new(Connection::default());
        self.all().push(connection.clone());
        let (from_client, to_client) = client.into_split();
        let (from_broker, to_broker) = broker.into_split();
        let pump = |direction| Pump {
            direction,
            connection: connection.clone(),
            all: Arc::downgrade(self),
            rules: rules.clone(),
        };
        let there = pump(Direction::ToBroker).run(from_client, to_broker);
        let back = pump(Direction::ToClient).run(from_broker, to_client);
        let all = self.clone();
        tokio::spawn(async move {
            // dropped at once by a cut: the sockets are closed with what they still hold
            let both = async { tokio::join!(there, back) };
            connection.cut.run_until_cancelled(both).await;
            all.all().retain(|other| !Arc::ptr_eq(other, &connection));
        });
    }

    pub(super) fn cut_all(&self) {
        for connection in self.all().iter() {
            connection.cut.cancel();
        }
    }

    pub(super) fn stall(&self, direction: Direction) {
        for connection in self.all().iter() {
            for one in [Direction::ToBroker, Direction::ToClient] {
                if direction.covers(one) {
                    connection.stalled(one).store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// Has all connections look at the rules again.
    pub(super) fn wake(&self) {
        for connection in self.all().iter() {
            connection.changed.notify_waiters();
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn stalled(&self, direction: Direction) -> &AtomicBool {
        if direction == Direction::ToBroker {
            &self.stalled_to_broker
        } else {
            &self.stalled_to_client
        }
    }
}

/// Carries the bytes of one direction.
struct Pump {
    direction: Direction,
    connection: Arc<Connection>,
    all: Weak<Connections>,
    rules: Arc<Rules>,
}

impl Pump {
    async fn run(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut frames = Frames::new(match self.direction {
            Direction::ToBroker => PREAMBLE,
            _ => 0,
        });
        let mut piece = vec![0; PIECE];
        loop {
            // an error is the end of the connection, which is all that a proxy has to know
            let mut read = from.read(&mut piece).await.unwrap_or(0);
            // nor does the end of one side come through where nothing does
            if self.let_through().await && read > 0 {
                // what has come meanwhile goes on in one piece
                read += from.try_read(&mut piece[read..]).unwrap_or(0);
            }
            if read == 0 {
                // what the other side still has to say gets through
                let _ = to.shutdown().await;
                return;
            }
            let methods = frames.read(&piece[..read]);
            let mut piece = &piece[..read];
            if let Some(due) = self.rules.due(self.direction, read, &methods) {
                let (before, behind) = piece.split_at(due.at.min(read));
                if matches!(due.fault, Fault::Swallow) {
                    // before an answer can come
                    self.rules.set_swallowing(true);
                }
                let _ = to.write_all(before).await;
                match due.fault {
                    Fault::Swallow => {}
                    Fault::CutOne => self.connection.cut.cancel(),
                    Fault::CutAll => self.cut_all(),
                }
                // the test may not wait for it
                let _ = due.done.send(());
                if self.connection.cut.is_cancelled() {
                    return;
                }
                self.let_through().await;
                piece = behind;
            }
            if self.write(&mut to, piece).await.is_err() {
                // the other side is gone
                return self.connection.cut.cancel();
            }
        }
    }

    /// Waits until bytes may go on, and says whether it had to.
    async fn let_through(&self) -> bool {
        let mut has_waited = false;
        loop {
            let mut changed = std::pin::pin!(self.connection.changed.notified());
            changed.as_mut().enable();
            let stalled = self.connection.stalled(self.direction);
            if !stalled.load(Ordering::Relaxed) && !self.rules.swallows() {
                return has_waited;
            }
            has_waited = true;
            changed.await;
        }
    }

    async fn write(&self, to: &mut OwnedWriteHalf, mut piece: &[u8]) -> std::io::Result<()> {
        while let Some(bytes_per_second) = self.rules.throttle(self.direction) {
            if piece.is_empty() {
                return Ok(());
            }
            // ten times a second, or a byte
            let now = (bytes_per_second as usize / 10).clamp(1, piece.len());
            to.write_all(&piece[..now]).await?;
            tokio::time::sleep(time_of(now, bytes_per_second)).await;
            piece = &piece[now..];
        }
        to.write_all(piece).await
    }

    fn cut_all(&self) {
        match self.all.upgrade() {
            Some(all) => all.cut_all(),
            None => self.connection.cut.cancel(),
        }
    }
}
