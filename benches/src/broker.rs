//! A broker that does nothing but deliver: as fast as acknowledgements come in, or one message at
//! a time.
//!
//! Each delivery is encoded before the first goes out, all that is changed is its tag, and those that
//! fit into the window leave by one write: what is measured is the consumer. Every queue that a
//! client asks for is there, and it never gets empty.

use std::{
    io,
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use self::session::Session;

mod channel;
mod deliveries;
mod session;

/// When a message is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As soon as the consumer's window has room.
    Flood,
    /// One each time, whatever was acknowledged by then.
    Every(Duration),
    /// One each time from this queue, and from all others as soon as there is room.
    Beside {
        /// The queue that has little to do.
        light: String,
        /// What lies between two of its messages.
        every: Duration,
    },
}

/// What all connections count together.
#[derive(Debug, Default)]
pub struct Counts {
    acked: AtomicU64,
    ack_frames: AtomicU64,
    refused: AtomicU64,
    /// From the delivery to its acknowledgement, of messages that come one at a time.
    latencies: Mutex<Vec<Duration>>,
}

impl Counts {
    /// How many deliveries were acknowledged.
    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// In how many frames.
    pub fn ack_frames(&self) -> u64 {
        self.ack_frames.load(Ordering::Relaxed)
    }

    /// How many deliveries were rejected or given back.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// What was measured since the last call.
    pub fn take_latencies(&self) -> Vec<Duration> {
        std::mem::take(
            &mut *self
                .latencies
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn latency(&self, latency: Duration) {
        let mut latencies = self
            .latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        latencies.push(latency);
    }
}

/// Serves on a free port of this machine, on threads of its own, and returns the port.
///
/// # Errors
///
/// There is no port.
pub fn serve(body: Vec<u8>, pace: Pace, counts: Arc<Counts>) -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let body: Arc<[u8]> = body.into();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (body, counts, pace) = (body.clone(), counts.clone(), pace.clone());
            thread::spawn(move || {
                if let Err(error) = talk(stream, body, pace, counts) {
                    // a consumer that is killed is no fault
                    if error.kind() != io::ErrorKind::ConnectionReset {
                        eprintln!("connection lost: {error}");
                    }
                }
            });
        }
    });
    Ok(port)
}

fn talk(stream: TcpStream, body: Arc<[u8]>, pace: Pace, counts: Arc<Counts>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    Session::new(stream, body, counts, pace).run()
}
