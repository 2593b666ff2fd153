use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{
    fault::Fault,
    login::{GREETING, LoginError, Tuned, read_frame},
    methods::{
        self, CONNECTION_OPEN, CONNECTION_OPEN_OK, CONNECTION_START, CONNECTION_START_OK,
        CONNECTION_TUNE, CONNECTION_TUNE_OK, Method,
    },
    wire::{Bytes, METHOD, Reader},
};

/// A port of this machine that lets in the client of this program, and nobody else.
///
/// Any local program can connect to a port of the loopback interface. So the client shows a secret that only
/// this process knows, with what it would show a broker: its password. Whoever does not is hung up on, having
/// seen nothing but the greeting that all servers have; nothing of the connection to the broker is here by
/// then. The port is closed once the client is in.
pub(super) struct Door {
    listener: TcpListener,
    address: SocketAddr,
    secret: String,
}

/// The user as which the client logs in here. The broker knows nothing of it.
pub(super) const USER: &str = "guard";

/// How long a caller may take to show the secret. Our own client takes no time.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many callers may be at the door at a time.
const CALLERS: usize = 256;

impl Door {
    /// Opens a port that the system chooses.
    pub(super) async fn open() -> io::Result<Self> {
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await?,
        };
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            secret: format!("{:032x}", u128::from_be_bytes(secret)),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What our client shows as its password.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// Waits for our client, and tells it what was agreed on with the broker.
    ///
    /// # Cancel safety
    ///
    /// Dropped, whoever is at the door is hung up on.
    pub(super) async fn let_in(&self, tuned: Tuned) -> io::Result<TcpStream> {
        let mut callers = FuturesUnordered::new();
        loop {
            // cancel safety: a caller that is accepted is among the others in the same step
            tokio::select! {
                accepted = self.listener.accept(), if callers.len() < CALLERS => {
                    let (caller, _) = accepted?;
                    callers.push(timeout(PATIENCE, self.greet(caller, tuned)));
                }
                Some(greeted) = callers.next(), if !callers.is_empty() => {
                    if let Ok(Ok(ours)) = greeted {
                        return Ok(ours);
                    }
                }
            }
        }
    }

    /// Plays the part of a broker until a client has logged in.
    async fn greet(&self, mut caller: TcpStream, tuned: Tuned) -> Result<TcpStream, LoginError> {
        let mut greeting = [0; GREETING.len()];
        caller.read_exact(&mut greeting).await?;
        if greeting != GREETING {
            return Err(LoginError::NotAmqp(greeting.to_vec()));
        }
        caller.set_nodelay(true)?;
        let start = Bytes::new()
            .u8(0)
            .u8(9)
            .long(b"")
            .long(b"PLAIN")
            .long(b"en_US");
        say(&mut caller, CONNECTION_START, &start).await?;
        let start_ok = hear(&mut caller, CONNECTION_START_OK).await?;
        let mut start_ok = Reader(&start_ok);
        let (_properties, _mechanism) = (start_ok.long()?, start_ok.short()?);
        if !self.is_known(start_ok.long()?) {
            return Err(LoginError::HungUp);
        }
        let tune = Bytes::new()
            .u16(tuned.channel_max)
            .u32(tuned.frame_max)
            // the heartbeats are the guard's: the client's own come every nine hours
            .u16(u16::MAX);
        say(&mut caller, CONNECTION_TUNE, &tune).await?;
        hear(&mut caller, CONNECTION_TUNE_OK).await?;
        hear(&mut caller, CONNECTION_OPEN).await?;
        say(&mut caller, CONNECTION_OPEN_OK, &Bytes::new().short(b"")).await?;
        Ok(caller)
    }

    /// Compares all of it, so that the time that it takes tells nothing.
    fn is_known(&self, response: &[u8]) -> bool {
        let expected = format!("\0{USER}\0{}", self.secret);
        let pairs = response.iter().zip(expected.as_bytes());
        let difference = pairs.fold(0, |difference, (one, other)| difference | (one ^ other));
        response.len() == expected.len() && difference == 0
    }
}

async fn say(caller: &mut TcpStream, method: Method, arguments: &Bytes) -> io::Result<()> {
    caller
        .write_all(&Bytes::method(0, method, arguments).0)
        .await
}

async fn hear(caller: &mut TcpStream, expected: Method) -> Result<Vec<u8>, LoginError> {
    let (kind, payload) = read_frame(caller).await?;
    let (method, arguments) = methods::split(&payload)?;
    match (kind, method) {
        (METHOD, method) if method == expected => Ok(arguments.to_vec()),
        (_, method) => Err(Fault::Unasked { method, channel: 0 }.into()),
    }
}

#[cfg(test)]
mod tests {
    use amqprs::connection::{Connection, OpenConnectionArguments};

    use super::*;

    const TUNED: Tuned = Tuned {
        channel_max: 10,
        frame_max: 131_072,
        heartbeat: 20,
    };

    fn arguments(door: &Door, secret: &str) -> OpenConnectionArguments {
        OpenConnectionArguments::new("127.0.0.1", door.address().port(), USER, secret)
    }

    /// What a stranger sees that goes as far as showing this.
    async fn try_to_get_in(address: SocketAddr, secret: &str) -> Vec<u8> {
        let mut stranger = TcpStream::connect(address)
            .await
            .expect("anybody can connect");
        let start_ok = Bytes::new()
            .long(b"")
            .short(b"PLAIN")
            .long(format!("\0{USER}\0{secret}").as_bytes())
            .short(b"en_US");
        let login = Bytes::method(0, CONNECTION_START_OK, &start_ok);
        let mut seen = Vec::new();
        let talk = async {
            stranger.write_all(&GREETING).await?;
            stranger.write_all(&login.0).await?;
            stranger.read_to_end(&mut seen).await
        };
        let _: io::Result<usize> = talk.await;
        seen
    }

    #[tokio::test]
    async fn who_does_not_know_the_secret_sees_a_greeting_and_nothing_else() {
        let door = Door::open().await.expect("there is a loopback interface");
        let address = door.address();
        let almost = format!("{}0", &door.secret()[1..]);
        let secrets = ["", "guest", &almost, &door.secret()[1..]];
        let strangers = async {
            for secret in secrets {
                let seen = try_to_get_in(address, secret).await;
                assert!(seen.len() < 64, "{}", seen.escape_ascii());
                assert!(seen.is_empty() || seen[7..11] == [0, 10, 0, 10]);
            }
        };
        tokio::select! {
            _ = door.let_in(TUNED) => panic!("a stranger is in"),
            () = strangers => {}
        }
    }

    /// `PLOOMBY_ROUNDS` says how often another time.
    #[tokio::test]
    async fn our_client_gets_in_however_many_others_are_at_the_door() {
        let rounds = std::env::var("PLOOMBY_ROUNDS").ok();
        let rounds = rounds.map_or(1_000, |rounds| rounds.parse().expect("it is a number"));
        let mut mute = Vec::new();
        for round in 0..rounds {
            let door = Door::open().await.expect("there is a loopback interface");
            let address = door.address();
            // two programs that are there first, and say nothing or the wrong thing
            mute.truncate(20);
            mute.push(
                TcpStream::connect(address)
                    .await
                    .expect("anybody can connect"),
            );
            let stranger = tokio::spawn(async move { try_to_get_in(address, "guest").await });
            let arguments = arguments(&door, door.secret());
            let opening = async { Connection::open(&arguments).await.map_err(io::Error::other) };
            let (stream, connection) = tokio::try_join!(door.let_in(TUNED), opening)
                .unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert_eq!(connection.channel_max(), TUNED.channel_max);
            assert_eq!(stream.local_addr().expect("it is open"), address);
            drop(door);
            let seen = stranger.await.expect("it does not panic");
            assert!(seen.len() < 64, "{}", seen.escape_ascii());
        }
    }
}
