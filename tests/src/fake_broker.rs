use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A server that speaks as much AMQP as a consumer takes, and lies when it is told to.
///
/// It answers what it is asked, and delivers one message to each consumer: the number of the connection.
#[derive(Debug)]
pub struct FakeBroker {
    port: u16,
    accepted: Arc<AtomicUsize>,
    settled: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// What a fake broker does on one connection.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// It answers whatever comes.
    Honest,
    /// In place of its answer of this number, from 0, it sends what the seed makes it send, and answers on.
    Lying {
        /// The number of the answer.
        answer: usize,
        /// For the lie.
        seed: u64,
    },
    /// It hangs up once it has delivered its message, and it was acknowledged.
    Fickle,
    /// In place of its answer of this number, from 0, it says that it has failed within itself.
    Failing {
        /// The number of the answer.
        answer: usize,
    },
    /// It says that messages are ready, and delivers none.
    Starving,
    /// Its queue is deleted once it is consumed, of which it tells nobody who does not ask.
    Forgetful,
}

impl FakeBroker {
    /// Starts one on a port of this machine, with a manner for each connection by its number, from 0.
    ///
    /// # Panics
    ///
    /// Where there is no port.
    pub async fn start(manner: impl Fn(usize) -> Manner + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let settled = Arc::new(AtomicUsize::new(0));
        let counter = accepted.clone();
        let settling = settled.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::Relaxed);
                let conversation = Conversation {
                    stream,
                    manner: manner(number),
                    answers: 0,
                    number,
                    published: 0,
                    consumers: 0,
                    is_gone: false,
                    settled: settling.clone(),
                };
                tokio::spawn(conversation.run());
            }
        });
        Self {
            port,
            accepted,
            settled,
            task,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many connections there were.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How often a message was acknowledged or given back.
    pub fn settled(&self) -> usize {
        self.settled.load(Ordering::Relaxed)
    }
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Conversation {
    stream: TcpStream,
    manner: Manner,
    answers: usize,
    number: usize,
    /// How many messages it was given.
    published: u64,
    consumers: usize,
    /// The queue was deleted.
    is_gone: bool,
    settled: Arc<AtomicUsize>,
}

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;

impl Conversation {
    async fn run(mut self) {
        // whoever is lied to hangs up
        let _: io::Result<()> = self.talk().await;
    }

    async fn talk(&mut self) -> io::Result<()> {
        let mut greeting = [0; 8];
        self.stream.read_exact(&mut greeting).await?;
        let start = [
            &[0, 9][..],
            &long(b""),
            &long(b"PLAIN EXTERNAL"),
            &long(b"en_US"),
        ]
        .concat();
        self.answer(method(0, 10, 10, &start)).await?;
        loop {
            let (kind, channel, payload) = self.frame().await?;
            if kind != METHOD {
                continue;
            }
            let [c1, c0, m1, m0, arguments @ ..] = &payload[..] else {
                return Ok(());
            };
            let asked = (
                u16::from_be_bytes([*c1, *c0]),
                u16::from_be_bytes([*m1, *m0]),
            );
            let answer = |arguments: &[u8]| method(channel, asked.0, asked.1 + 1, arguments);
            match asked {
                (10, 11) => {
                    let tune = [&[7, 0xFF][..], &131_072_u32.to_be_bytes(), &[0, 60]].concat();
                    self.answer(method(0, 10, 30, &tune)).await?;
                }
                (10, 40) => self.answer(answer(&[0])).await?,
                (20, 10) => self.answer(answer(&long(b""))).await?,
                (10 | 20, 50 | 40) => self.answer(answer(&[])).await?,
                (50, 10) => {
                    let name = arguments.get(2..).unwrap_or_default();
                    let len = usize::from(name.first().copied().unwrap_or_default());
                    let is_passive = name.get(len + 1).is_some_and(|bits| bits & 1 == 1);
                    let name = name.get(..=len).unwrap_or(&[0]);
                    if self.is_gone && name == short(b"q") {
                        if is_passive {
                            let text = short(b"NOT_FOUND - no queue 'q' in vhost '/'");
                            let close = [&404_u16.to_be_bytes()[..], &text, &[0, 50, 0, 10]];
                            let close = method(channel, 20, 40, &close.concat());
                            self.answer(close).await?;
                            continue;
                        }
                        self.is_gone = false;
                    }
                    let ready = u8::from(matches!(self.manner, Manner::Starving));
                    let counts = [0, 0, 0, ready, 0, 0, 0, 1];
                    self.answer(answer(&[name, &counts].concat())).await?;
                }
                (60 | 85, 10) => self.answer(answer(&[])).await?,
                (60, 20) => {
                    self.answer(answer(&short(b"tag"))).await?;
                    self.consumers += 1;
                    self.is_gone = matches!(self.manner, Manner::Forgetful) && self.consumers == 1;
                    if !self.is_gone && !matches!(self.manner, Manner::Starving) {
                        let deliver = self.deliver(channel);
                        self.answer(deliver).await?;
                    }
                }
                (60, 30) => self.answer(answer(&short(b"tag"))).await?,
                // a message of ours, or of theirs
                (60, 80 | 90 | 120) => {
                    self.settled.fetch_add(1, Ordering::Relaxed);
                    if matches!(self.manner, Manner::Fickle) {
                        return Ok(());
                    }
                }
                (60, 40) => {
                    self.published += 1;
                    let number = self.published.to_be_bytes();
                    let ack = [&number[..], &[0]].concat();
                    self.answer(method(channel, 60, 80, &ack)).await?;
                }
                _ => {}
            }
        }
    }

    /// A message for the handler `work`.
    fn deliver(&self, channel: u16) -> Vec<u8> {
        let body = self.number.to_string();
        let len = u64::try_from(body.len()).unwrap_or_default();
        let tag = 1_u64.to_be_bytes();
        let deliver = [&short(b"tag")[..], &tag, &[0], &short(b""), &short(b"q")].concat();
        let header = [&short(b"task_name")[..], b"S", &long(b"work")].concat();
        let properties = [&0x2000_u16.to_be_bytes()[..], &long(&header)].concat();
        let content = [&[0, 60, 0, 0][..], &len.to_be_bytes(), &properties].concat();
        [
            method(channel, 60, 60, &deliver),
            frame(HEADER, channel, &content),
            frame(BODY, channel, body.as_bytes()),
        ]
        .concat()
    }

    async fn answer(&mut self, truth: Vec<u8>) -> io::Result<()> {
        let number = self.answers;
        self.answers += 1;
        match self.manner {
            Manner::Lying { answer, seed } if answer == number => {
                let lie = lie(&mut fastrand::Rng::with_seed(seed), truth);
                let sent = self.stream.write_all(&lie.bytes).await;
                if lie.hangs_up {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                sent
            }
            Manner::Failing { answer } if answer == number => {
                let text = short(b"INTERNAL_ERROR - on purpose");
                let close = [&541_u16.to_be_bytes()[..], &text, &[0; 4]].concat();
                self.stream.write_all(&method(0, 10, 50, &close)).await
            }
            _ => self.stream.write_all(&truth).await,
        }
    }

    async fn frame(&mut self) -> io::Result<(u8, u16, Vec<u8>)> {
        let mut head = [0; 7];
        self.stream.read_exact(&mut head).await?;
        let len = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut payload = vec![0; usize::try_from(len).unwrap_or_default() + 1];
        self.stream.read_exact(&mut payload).await?;
        payload.pop();
        Ok((head[0], u16::from_be_bytes([head[1], head[2]]), payload))
    }
}

struct Lie {
    bytes: Vec<u8>,
    hangs_up: bool,
}

/// What comes in the place of the truth. It is never mere silence, which takes its time to be told from a slow
/// broker.
fn lie(random: &mut fastrand::Rng, truth: Vec<u8>) -> Lie {
    let mut hangs_up = random.bool();
    let mut some = |most| {
        (0..random.usize(1..most))
            .map(|_| random.u8(..))
            .collect::<Vec<_>>()
    };
    let bytes = match some(2)[0] % 14 {
        0 => {
            hangs_up = true;
            Vec::new()
        }
        1 => some(2_000),
        2 => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        3 => [&[METHOD, 0, 0][..], &u32::MAX.to_be_bytes()].concat(),
        4 => {
            hangs_up = true;
            let len = usize::from(some(2)[0]) % truth.len();
            truth[..len].to_vec()
        }
        5 => {
            hangs_up = true;
            let mut bent = truth;
            let at = usize::from(some(2)[0]) % bent.len();
            bent[at] ^= some(2)[0] | 1;
            bent
        }
        6 => [&truth[..], &truth].concat(),
        7 => {
            let [class, number, channel] = [some(2)[0] % 90, some(2)[0], some(2)[0] % 3];
            let arguments = some(40);
            let other = method(channel.into(), class.into(), number.into(), &arguments);
            [other, truth].concat()
        }
        8 => [frame(some(2)[0], 1, &some(40)), truth].concat(),
        9 => [frame(BODY, 1, b"out of order"), truth].concat(),
        10 => {
            let header = [&[0, 60, 0, 0][..], &[0xFF; 8], &[0, 0]].concat();
            let deliver = [&short(b"tag")[..], &[0; 9], &short(b""), &short(b"q")].concat();
            [
                method(1, 60, 60, &deliver),
                frame(HEADER, 1, &header),
                truth,
            ]
            .concat()
        }
        11 => {
            let close = [
                &320_u16.to_be_bytes()[..],
                &short(b"CONNECTION_FORCED - no"),
                &[0; 4],
            ];
            hangs_up = true;
            method(0, 10, 50, &close.concat())
        }
        12 => {
            let close = [
                &541_u16.to_be_bytes()[..],
                &short(b"INTERNAL_ERROR \xE9"),
                &[0; 4],
            ];
            hangs_up = true;
            method(1, 20, 40, &close.concat())
        }
        _ => {
            let ack = [&some(9)[..], &[0; 9]].concat()[..9].to_vec();
            [method(1, 60, 80, &ack), truth].concat()
        }
    };
    Lie { bytes, hangs_up }
}

fn method(channel: u16, class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
    frame(METHOD, channel, &payload)
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    [
        &[kind][..],
        &channel.to_be_bytes(),
        &long(payload),
        &[0xCE][..],
    ]
    .concat()
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap_or(u8::MAX)], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&len.to_be_bytes(), bytes].concat()
}
