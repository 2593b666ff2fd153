use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A proxy before a broker, whose connections a test can cut.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
    refusing: Arc<AtomicBool>,
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let refusing = Arc::new(AtomicBool::new(false));
        let refused = refusing.clone();
        let kept = connections.clone();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if refused.load(Ordering::Relaxed) {
                    continue;
                }
                let target = target.clone();
                count.fetch_add(1, Ordering::Relaxed);
                let mut connections = kept.lock().unwrap_or_else(PoisonError::into_inner);
                connections.spawn(forward(client, target));
            }
        });
        Self {
            address,
            connections,
            refusing,
            accepted,
            accepting,
        }
    }

    /// Where the proxy listens, as `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// How many connections there were, those that were cut among them.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Cuts all connections, wherever they are in a frame. New ones are let through.
    pub fn cut(&self) {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // dropped at once: the sockets are closed with what they still hold
        *connections = JoinSet::new();
    }

    /// Hangs up on new connections at once.
    pub fn refuse(&self) {
        self.refusing.store(true, Ordering::Relaxed);
    }

    /// Takes new connections again.
    pub fn accept(&self) {
        self.refusing.store(false, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(mut client: TcpStream, target: (String, u16)) {
    let Ok(mut broker) = TcpStream::connect(target).await else {
        return;
    };
    // an error is the end of the connection, which is all that a proxy has to know
    let _ = copy_bidirectional(&mut client, &mut broker).await;
}
