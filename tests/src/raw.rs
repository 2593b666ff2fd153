use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::Rabbit;

/// A client that sends and gets properties as bytes, whatever is in them.
///
/// It blocks; a call takes as long as a broker that runs takes to answer.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    version: String,
}

/// A message as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawMessage {
    /// The properties: flags, and what they announce.
    pub properties: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
}

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const END: u8 = 0xCE;

/// More than anything here sends or gets in one frame.
const FRAME_MAX: u32 = 131_072;

impl RawClient {
    /// Logs in as `guest` and opens a channel.
    ///
    /// # Panics
    ///
    /// Where the broker does not let it in.
    pub fn connect(rabbit: &Rabbit) -> Self {
        let stream = TcpStream::connect((rabbit.host(), rabbit.port())).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let version = String::new();
        let mut client = Self { stream, version };
        client.stream.write_all(b"AMQP\x00\x00\x09\x01").unwrap();
        client.version = version_in(&client.expect([10, 10]));
        let login = b"\0guest\0guest";
        let start_ok = [long(b""), short(b"PLAIN"), long(login), short(b"en_US")].concat();
        client.send_method(0, [10, 11], &start_ok);
        client.expect([10, 30]);
        let tune_ok = [&1_u16.to_be_bytes()[..], &FRAME_MAX.to_be_bytes(), &[0, 0]].concat();
        client.send_method(0, [10, 31], &tune_ok);
        let open = [short(b"/"), short(b""), vec![0]].concat();
        client.call(0, [10, 40], &open);
        client.call(1, [20, 10], &short(b""));
        client.call(1, [85, 10], &[0]);
        client
    }

    /// Whether the broker is RabbitMQ 3, which keeps headers as bytes. RabbitMQ 4 takes them apart, in a time that grows
    /// with the square of their depth.
    pub fn is_version_3(&self) -> bool {
        self.version.starts_with("3.")
    }

    /// Binds a queue to a topic exchange that each broker has, for all routing keys.
    pub fn bind_to_topic(&mut self, queue: &str) {
        self.bind(queue, "amq.topic", "#");
    }

    /// Binds a queue to an exchange.
    pub fn bind(&mut self, queue: &str, exchange: &str, key: &str) {
        let names = [queue, exchange, key]
            .map(|name| short(name.as_bytes()))
            .concat();
        let bind = [&[0, 0][..], &names, &[0], &long(b"")].concat();
        self.call(1, [50, 20], &bind);
    }

    /// Publishes to a queue, and waits until it is there.
    pub fn publish(&mut self, queue: &str, properties: &[u8], body: &[u8]) {
        self.publish_to(b"", queue.as_bytes(), properties, body);
    }

    /// The same, where the broker may not take the message; then this client is of no use any more.
    ///
    /// # Errors
    ///
    /// The broker closed the channel or the connection.
    pub fn try_publish(&mut self, queue: &str, properties: &[u8], body: &[u8]) -> io::Result<()> {
        let publish = [&[0, 0][..], &short(b""), &short(queue.as_bytes()), &[0]].concat();
        let len = u64::try_from(body.len()).unwrap();
        let header = [&[0, 60, 0, 0][..], &len.to_be_bytes(), properties].concat();
        let method = [&[0, 60, 0, 40][..], &publish].concat();
        let message = [(METHOD, &method[..]), (HEADER, &header[..]), (BODY, body)]
            .map(|(kind, payload)| [&[kind, 0, 1][..], &long(payload), &[END][..]].concat());
        self.stream.write_all(&message.concat())?;
        let mut head = [0; 7];
        self.stream.read_exact(&mut head)?;
        let len = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut answer = vec![0; usize::try_from(len).unwrap() + 1];
        self.stream.read_exact(&mut answer)?;
        match answer[..4] {
            [0, 60, 0, 80] => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Publishes to an exchange, and waits until the broker has the message.
    pub fn publish_to(&mut self, exchange: &[u8], key: &[u8], properties: &[u8], body: &[u8]) {
        let publish = [&[0, 0][..], &short(exchange), &short(key), &[0]].concat();
        self.send_method(1, [60, 40], &publish);
        let len = u64::try_from(body.len()).unwrap();
        let header = [&[0, 60, 0, 0][..], &len.to_be_bytes(), properties].concat();
        self.send(HEADER, 1, &header);
        if !body.is_empty() {
            self.send(BODY, 1, body);
        }
        self.expect([60, 80]);
    }

    /// Deletes a queue, unless something is in it: then this client is of no use any more.
    pub fn delete_if_empty(&mut self, queue: &str) -> bool {
        const IF_EMPTY: u8 = 2;

        let delete = [&[0, 0][..], &short(queue.as_bytes()), &[IF_EMPTY]].concat();
        self.send_method(1, [50, 40], &delete);
        self.receive(METHOD)[..4] == [0, 50, 0, 41]
    }

    /// Takes the next message, where one is ready.
    pub fn get(&mut self, queue: &str) -> Option<RawMessage> {
        const NO_ACK: u8 = 1;

        self.take(queue, NO_ACK)
    }

    fn take(&mut self, queue: &str, no_ack: u8) -> Option<RawMessage> {
        let get = [&[0, 0][..], &short(queue.as_bytes()), &[no_ack]].concat();
        self.send_method(1, [60, 70], &get);
        let answer = self.receive(METHOD);
        if answer[..4] == [0, 60, 0, 72] {
            return None;
        }
        assert_eq!(answer[..4], [0, 60, 0, 71], "{}", answer.escape_ascii());
        let header = self.receive(HEADER);
        let (size, properties) = header[4..].split_first_chunk().unwrap();
        let mut body = Vec::new();
        while u64::try_from(body.len()).unwrap() < u64::from_be_bytes(*size) {
            body.extend(self.receive(BODY));
        }
        Some(RawMessage {
            properties: properties.to_vec(),
            body,
        })
    }

    /// Sends a method, and waits for the one that answers it, which has the next number.
    fn call(&mut self, channel: u16, [class, method]: [u16; 2], arguments: &[u8]) {
        self.send_method(channel, [class, method], arguments);
        self.expect([class, method + 1]);
    }

    fn send_method(&mut self, channel: u16, [class, method]: [u16; 2], arguments: &[u8]) {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
        self.send(METHOD, channel, &payload);
    }

    fn send(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let frame = [
            &[kind][..],
            &channel.to_be_bytes(),
            &long(payload),
            &[END][..],
        ];
        self.stream.write_all(&frame.concat()).unwrap();
    }

    fn expect(&mut self, [class, method]: [u16; 2]) -> Vec<u8> {
        let payload = self.receive(METHOD);
        let expected = [class.to_be_bytes(), method.to_be_bytes()].concat();
        assert_eq!(payload[..4], expected, "{}", payload.escape_ascii());
        payload
    }

    fn receive(&mut self, kind: u8) -> Vec<u8> {
        let mut head = [0; 7];
        self.stream.read_exact(&mut head).unwrap();
        let len = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut payload = vec![0; usize::try_from(len).unwrap() + 1];
        self.stream.read_exact(&mut payload).unwrap();
        assert_eq!(payload.pop(), Some(END));
        assert_eq!(head[0], kind, "{}", payload.escape_ascii());
        payload
    }
}

/// What the broker says of itself in its first words.
fn version_in(start: &[u8]) -> String {
    const NAME: &[u8] = b"\x07versionS";

    let mut windows = start.windows(NAME.len());
    let at = windows.position(|window| window == NAME).unwrap() + NAME.len();
    let len = u32::from_be_bytes(start[at..at + 4].try_into().unwrap());
    let text = &start[at + 4..][..usize::try_from(len).unwrap()];
    String::from_utf8(text.to_vec()).unwrap()
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap();
    [&len.to_be_bytes(), bytes].concat()
}
