mod connection;
mod distance;
mod frames;
mod rules;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

pub use distance::Distance;
pub use frames::Method;
pub use rules::{Cut, Direction};

use self::connection::Connections;
use self::rules::Rules;

/// A proxy before a broker, which does to connections what networks do.
///
/// Dropped, it takes no more connections; those that it has go on.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    rules: Arc<Rules>,
    connections: Arc<Connections>,
    accepted: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before the AMQP port at `target`.
    ///
    /// # Panics
    ///
    /// Where the machine has no port left.
    pub async fn before(target: (String, u16)) -> Self {
        Self::behind(TcpListener::bind("127.0.0.1:0").await.unwrap(), target)
    }

    /// A slow way to the AMQP port at `target`, which takes so many bytes a second, and holds few of them. What
    /// comes back is fast.
    ///
    /// # Panics
    ///
    /// Where the machine has no port left.
    pub fn uplink(target: (String, u16), bytes_per_second: u32) -> Self {
        /// In bytes.
        const HELD: u32 = 16 << 10;

        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(HELD).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let proxy = Self::behind(socket.listen(64).unwrap(), target);
        proxy.rules.set_throttle(Some(bytes_per_second));
        proxy.rules.set_throttled(Direction::ToBroker);
        proxy
    }

    /// A proxy at an address of this machine, before the AMQP port at `target`.
    ///
    /// # Panics
    ///
    /// Where the address is taken.
    pub async fn at(address: SocketAddr, target: (String, u16)) -> Self {
        Self::behind(TcpListener::bind(address).await.unwrap(), target)
    }

    fn behind(listener: TcpListener, target: (String, u16)) -> Self {
        let address = listener.local_addr().unwrap();
        let rules = Arc::new(Rules::default());
        let connections = Arc::new(Connections::default());
        let accepted = Arc::new(AtomicUsize::new(0));
        let accepting = {
            let (rules, connections) = (rules.clone(), connections.clone());
            let count = accepted.clone();
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    if rules.refuses() {
                        continue;
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    if let Ok(broker) = TcpStream::connect((target.0.as_str(), target.1)).await {
                        connections.add(client, broker, &rules);
                    }
                }
            })
        };
        Self {
            address,
            rules,
            connections,
            accepted,
            accepting,
        }
    }

    /// Where the proxy listens, as `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// An `amqp://` URL that leads through the proxy.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}", self.address)
    }

    /// Cuts all connections, wherever they are in a frame. New ones are let through.
    pub fn cut(&self) {
        self.connections.cut_all();
    }

    /// Cuts connections once, when what the [`Cut`] names comes by. Resolves when that is done.
    pub fn cut_when(&self, cut: Cut) -> impl Future<Output = ()> + use<> {
        let done = self.rules.arm(cut);
        async move {
            // the proxy is gone, and with it what there was to cut
            let _ = done.await;
        }
    }

    /// Hangs up on new connections at once.
    pub fn refuse(&self) {
        self.rules.set_refusing(true);
    }

    /// Takes new connections again.
    pub fn accept(&self) {
        self.rules.set_refusing(false);
    }

    /// Lets nothing through in this direction, with all sockets open, on the connections that there
    /// are. New ones are let through.
    pub fn stall(&self, direction: Direction) {
        self.connections.stall(direction);
    }

    /// Lets nothing through in either direction, with all sockets open, also on new connections, until
    /// they are to [go on](Self::go_on).
    pub fn swallow(&self) {
        self.rules.set_swallowing(true);
        self.connections.wake();
    }

    /// [Swallows](Self::swallow), once, from when what the [`Cut`] names comes by. Resolves when that is so.
    pub fn swallow_when(&self, cut: Cut) -> impl Future<Output = ()> + use<> {
        self.cut_when(cut.swallow())
    }

    /// Lets new connections and those that are not [stalled](Self::stall) go on.
    pub fn go_on(&self) {
        self.rules.set_swallowing(false);
        self.connections.wake();
    }

    /// Lets no more than so many bytes a second through, in each direction of each connection.
    pub fn throttle(&self, bytes_per_second: u32) {
        self.rules.set_throttle(Some(bytes_per_second));
    }

    /// Lets everything through as it comes.
    pub fn hurry(&self) {
        self.rules.set_throttle(None);
    }

    /// How many connections there were, those that were cut among them.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// How long so many bytes take at so many a second.
fn time_of(bytes: usize, bytes_per_second: u32) -> Duration {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    Duration::from_secs_f64(f64::from(bytes) / f64::from(bytes_per_second.max(1)))
}
