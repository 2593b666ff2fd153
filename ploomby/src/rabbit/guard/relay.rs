use std::{
    future::{pending, poll_fn},
    io::{self, ErrorKind},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    condition::{Changing, Ended},
    frames::{Judge, Scanned, Scanner},
    judges::{FromBroker, FromClient, Shared},
    login::Tuned,
    methods::CONNECTION_CLOSE,
    wire::{Bytes, HEARTBEAT_FRAME},
};
use crate::rabbit::{dial::Stream, traffic::Traffic};

/// What is read at a time. A few frames of the usual size fit in.
const BUFFER: usize = 64 << 10;

/// How long the sides have to take leave of each other.
const LEAVE: Duration = Duration::from_secs(2);

/// How often the client hears that its connection lives. It gives up after 36 hours without a frame.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60 * 60);

/// Passes frames between the client and a broker until one of them is gone, and notes why, and what moves meanwhile.
pub(super) async fn relay(
    client: TcpStream,
    broker: Stream,
    tuned: Tuned,
    (condition, traffic): (Changing, Arc<Traffic>),
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_broker, mut to_broker) = split(broker);
    let shared = Shared::default();
    let most = tuned.longest_frame();
    let relay = Relay {
        heartbeat: tuned.heartbeat(),
        life: Life::new(),
        traffic,
        is_between_frames: AtomicBool::new(true),
    };
    let ended = {
        let inbound = Scanner::new(FromBroker::new(&shared, &condition), most);
        let outbound = Scanner::new(FromClient::new(&shared), usize::MAX);
        // cancel safety: when one direction has ended, nobody misses what the other one had at hand
        tokio::select! {
            ended = relay.inbound(inbound, &mut from_broker, &mut to_client) => ended,
            ended = relay.outbound(outbound, &mut from_client, &mut to_broker) => ended,
            ended = relay.silence() => ended,
        }
    };
    let ended = ended.after_idling(relay.life.idle());
    let client_left = matches!(ended, Ended::Left);
    condition.end(ended);
    if client_left {
        if relay.is_between_frames.load(Ordering::Relaxed) {
            let text = Bytes::new().u16(200).short(b"the client is gone").u32(0);
            let close = Bytes::method(0, CONNECTION_CLOSE, &text);
            // a broker that was told before has hung up by now
            let _ = timeout(LEAVE, to_broker.write_all(&close.0)).await;
        }
    } else {
        // whatever it has not read would be lost to it if its own last words were left unread
        let _ = timeout(LEAVE, async {
            to_client.shutdown().await?;
            tokio::io::copy(&mut from_client, &mut tokio::io::sink()).await
        })
        .await;
    }
    let _ = timeout(LEAVE, to_broker.shutdown()).await;
}

struct Relay {
    /// How often each side has to send something.
    heartbeat: Option<Duration>,
    life: Life,
    traffic: Arc<Traffic>,
    /// Whether the broker has got the last frame whole that it has got the beginning of.
    is_between_frames: AtomicBool,
}

impl Relay {
    /// Passes on what the broker sends.
    async fn inbound(
        &self,
        mut scanner: Scanner<impl Judge>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Ended {
        let mut buffer = BytesMut::with_capacity(BUFFER);
        let mut sign_of_life = pin!(sleep(SIGN_OF_LIFE));
        loop {
            buffer.reserve(BUFFER / 2);
            // cancel safety: a read that is dropped has read nothing
            tokio::select! {
                biased;
                read = from.read_buf(&mut buffer) => match read {
                    Ok(0) => return Ended::HungUp,
                    Ok(_) => {}
                    Err(error) => return error.into(),
                },
                () = &mut sign_of_life => {
                    sign_of_life.as_mut().reset(Instant::now() + SIGN_OF_LIFE);
                    if scanner.is_between_frames() && to.write_all(&HEARTBEAT_FRAME).await.is_err() {
                        return Ended::Left;
                    }
                    continue;
                }
            }
            self.life.hear();
            if buffer[..] != HEARTBEAT_FRAME {
                self.traffic.note_came();
            }
            loop {
                let scanned = match scanner.scan(&buffer) {
                    Ok(scanned) => scanned,
                    Err(fault) => return fault.into(),
                };
                self.life.set_passing(true);
                let passed = pass(&mut buffer, scanned, to, || {}).await;
                self.life.set_passing(false);
                match passed {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => return Ended::Left,
                }
            }
        }
    }

    /// Passes on what the client sends, and heartbeats in between.
    async fn outbound(
        &self,
        mut scanner: Scanner<impl Judge>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Ended {
        let mut buffer = BytesMut::with_capacity(BUFFER);
        let pause = self.heartbeat.map(|interval| interval / 2);
        let mut last = Instant::now();
        let mut due = pin!(sleep(pause.unwrap_or_default()));
        loop {
            buffer.reserve(BUFFER / 2);
            // cancel safety: a read that is dropped has read nothing
            tokio::select! {
                biased;
                read = from.read_buf(&mut buffer) => match read {
                    // a client that closes may still want to say something
                    Ok(0) => return Ended::Left,
                    Ok(_) => {}
                    Err(_) => return Ended::Left,
                },
                () = &mut due, if pause.is_some() => {
                    let pause = pause.unwrap_or_default();
                    if last + pause <= Instant::now() && scanner.is_between_frames() {
                        self.life.speak();
                        if let Err(error) = write(to, &HEARTBEAT_FRAME, || self.note_left()).await {
                            return error.into();
                        }
                        last = Instant::now();
                    }
                    let next = (last + pause).max(Instant::now() + pause / 8);
                    due.as_mut().reset(next);
                    continue;
                }
            }
            loop {
                let scanned = match scanner.scan(&buffer) {
                    Ok(scanned) => scanned,
                    Err(fault) => return fault.into(),
                };
                self.is_between_frames.store(false, Ordering::Relaxed);
                // what has to wait until the broker has taken more tells that it lives
                self.life.speak();
                match pass(&mut buffer, scanned, to, || self.note_left()).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => return error.into(),
                }
            }
            let is_between_frames = scanner.is_between_frames();
            self.is_between_frames
                .store(is_between_frames, Ordering::Relaxed);
            last = Instant::now();
        }
    }

    /// The broker has taken something that had to wait: it lives.
    fn note_left(&self) {
        self.life.hear();
        self.traffic.note_left();
    }

    /// Resolves when nothing has come from the broker for two intervals.
    async fn silence(&self) -> Ended {
        let Some(interval) = self.heartbeat else {
            return pending().await;
        };
        let most = interval * 2;
        loop {
            let since = self.life.since_heard();
            if since >= most {
                return Ended::Silent(most);
            }
            sleep_until(Instant::now() + (most - since)).await;
        }
    }
}

/// Writes what a scan has found at the front, and says whether to look at what follows.
async fn pass(
    buffer: &mut BytesMut,
    scanned: Scanned,
    to: &mut (impl AsyncWrite + Unpin),
    progress: impl Fn(),
) -> io::Result<bool> {
    let Scanned {
        pass,
        skip,
        instead,
    } = scanned;
    write(to, &buffer[..pass], &progress).await?;
    write(to, &instead, &progress).await?;
    buffer.advance(pass + skip);
    Ok(skip > 0 && !buffer.is_empty())
}

/// Writes all of it, and tells when some of it went that had to wait.
async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    progress: impl Fn(),
) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    while !bytes.is_empty() {
        let mut waited = false;
        let written = poll_fn(|context| {
            let written = Pin::new(&mut *to).poll_write(context, bytes);
            waited |= written.is_pending();
            match written {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(ErrorKind::WriteZero.into())),
                written => written,
            }
        });
        let written = written.await?;
        if waited {
            progress();
        }
        bytes = &bytes[written..];
    }
    to.flush().await
}

/// When the broker was last heard of.
struct Life {
    start: Instant,
    /// In milliseconds since the start.
    heard: AtomicU64,
    /// When it was last told something.
    spoke: AtomicU64,
    /// Something of it is on its way to the client, and nothing more is read.
    passing: AtomicBool,
}

impl Life {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            heard: AtomicU64::new(0),
            spoke: AtomicU64::new(0),
            passing: AtomicBool::new(false),
        }
    }

    fn hear(&self) {
        self.heard.store(self.now(), Ordering::Relaxed);
    }

    fn speak(&self) {
        self.spoke.store(self.now(), Ordering::Relaxed);
    }

    /// How long nothing has gone in either direction.
    fn idle(&self) -> Duration {
        let (heard, spoke) = (&self.heard, &self.spoke);
        let last = heard
            .load(Ordering::Relaxed)
            .max(spoke.load(Ordering::Relaxed));
        let last = Duration::from_millis(last);
        self.start.elapsed().saturating_sub(last)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn set_passing(&self, passing: bool) {
        self.passing.store(passing, Ordering::Relaxed);
    }

    fn since_heard(&self) -> Duration {
        if self.passing.load(Ordering::Relaxed) {
            self.hear();
        }
        let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(heard)
    }
}
