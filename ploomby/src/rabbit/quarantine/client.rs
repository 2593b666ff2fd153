use std::io;

use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader},
    time::timeout,
};

use super::wire::{BODY, Bytes, Frame, HEADER, METHOD, OVERHEAD, Outgoing, Reader, read_frame};
use crate::rabbit::connection::CLOSE_TIMEOUT;

/// One connection with one channel that does one thing at a time, and reads no message's
/// properties.
///
/// It asks for no heartbeats: whoever uses it has a limit of time for the whole.
pub(super) struct Client<S> {
    stream: BufReader<S>,
    frame_max: usize,
}

/// Who connects, and where to.
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a str,
    pub(super) vhost: &'a str,
    pub(super) connection_name: &'a str,
}

/// A message as it came over the wire.
pub(super) struct RawMessage {
    pub(super) tag: u64,
    pub(super) exchange: Vec<u8>,
    pub(super) routing_key: Vec<u8>,
    pub(super) properties: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// Why something could not be done, or may not have been.
#[derive(Debug, Error)]
pub(in crate::rabbit) enum ClientError {
    #[error("the connection was lost: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Refused(String),
    #[error("the broker sent what was not expected")]
    Unexpected,
    #[error("there is no queue `{0}`")]
    Unroutable(String),
    #[error("the broker did not take the message: the queue is full or cannot write")]
    NotTaken,
}

/// Class and method, as AMQP numbers them.
type Method = (u16, u16);

const CONNECTION_START: Method = (10, 10);
const CONNECTION_START_OK: Method = (10, 11);
const CONNECTION_TUNE: Method = (10, 30);
const CONNECTION_TUNE_OK: Method = (10, 31);
const CONNECTION_OPEN: Method = (10, 40);
const CONNECTION_OPEN_OK: Method = (10, 41);
const CONNECTION_CLOSE: Method = (10, 50);
const CONNECTION_CLOSE_OK: Method = (10, 51);
const CHANNEL_OPEN: Method = (20, 10);
const CHANNEL_OPEN_OK: Method = (20, 11);
const CHANNEL_CLOSE: Method = (20, 40);
const BASIC: u16 = 60;
const BASIC_PUBLISH: Method = (BASIC, 40);
const BASIC_RETURN: Method = (BASIC, 50);
const BASIC_GET: Method = (BASIC, 70);
const BASIC_GET_OK: Method = (BASIC, 71);
const BASIC_GET_EMPTY: Method = (BASIC, 72);
const BASIC_ACK: Method = (BASIC, 80);
const BASIC_NACK: Method = (BASIC, 120);
const CONFIRM_SELECT: Method = (85, 10);
const CONFIRM_SELECT_OK: Method = (85, 11);

const CHANNEL: u16 = 1;

/// What the frames of the login take at most; what is agreed on then is mostly 128 KiB.
const FIRST_FRAME_MAX: usize = 1 << 17;

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Logs in and opens the channel.
    pub(super) async fn open(stream: S, login: &Login<'_>) -> Result<Self, ClientError> {
        let mut client = Self {
            stream: BufReader::new(stream),
            frame_max: FIRST_FRAME_MAX,
        };
        let hello = Outgoing::bytes(b"AMQP\x00\x00\x09\x01");
        hello.send(&mut client.stream).await?;
        client.expect(&[CONNECTION_START]).await?;
        let name = Bytes::new()
            .short(b"connection_name")
            .u8(b'S')
            .long(login.connection_name.as_bytes());
        let response = format!("\0{}\0{}", login.user, login.password);
        let start_ok = Bytes::new()
            .long(&name.0)
            .short(b"PLAIN")
            .long(response.as_bytes())
            .short(b"en_US");
        client.call(0, CONNECTION_START_OK, &start_ok).await?;
        let (_, tune) = client.expect(&[CONNECTION_TUNE]).await?;
        let mut tune = Reader(&tune);
        let _channel_max = tune.u16().map_err(io::Error::from)?;
        // 0 means that there is no limit
        let frame_max = match tune.u32().map_err(io::Error::from)? {
            0 => u32::try_from(FIRST_FRAME_MAX).unwrap_or(u32::MAX),
            frame_max => frame_max,
        };
        client.frame_max = usize::try_from(frame_max).unwrap_or(usize::MAX);
        let tune_ok = Bytes::new().u16(CHANNEL).u32(frame_max).u16(0);
        client.call(0, CONNECTION_TUNE_OK, &tune_ok).await?;
        let open = Bytes::new().short(login.vhost.as_bytes()).short(b"").u8(0);
        client.call(0, CONNECTION_OPEN, &open).await?;
        client.expect(&[CONNECTION_OPEN_OK]).await?;
        let open = Bytes::new().short(b"");
        client.call(CHANNEL, CHANNEL_OPEN, &open).await?;
        client.expect(&[CHANNEL_OPEN_OK]).await?;
        Ok(client)
    }

    /// What a frame holds at most.
    fn room(&self) -> usize {
        self.frame_max.saturating_sub(OVERHEAD).max(1)
    }

    /// What properties may take.
    pub(super) fn room_for_properties(&self) -> usize {
        self.room().saturating_sub(HEADER_PREFIX)
    }

    /// Takes the next message that is ready, to be acknowledged.
    pub(super) async fn get(&mut self, queue: &str) -> Result<Option<RawMessage>, ClientError> {
        let get = Bytes::new().u16(0).short(queue.as_bytes()).u8(0);
        self.call(CHANNEL, BASIC_GET, &get).await?;
        let (method, arguments) = self.expect(&[BASIC_GET_OK, BASIC_GET_EMPTY]).await?;
        if method == BASIC_GET_EMPTY {
            return Ok(None);
        }
        let mut arguments = Reader(&arguments);
        let (tag, exchange, routing_key) = (|| {
            let (tag, _redelivered) = (arguments.u64()?, arguments.u8()?);
            Ok((tag, arguments.short()?, arguments.short()?))
        })()
        .map_err(|overrun: super::wire::Overrun| io::Error::from(overrun))?;
        let (properties, body) = self.content().await?;
        Ok(Some(RawMessage {
            tag,
            exchange: exchange.to_vec(),
            routing_key: routing_key.to_vec(),
            properties,
            body,
        }))
    }

    pub(super) async fn ack(&mut self, tag: u64) -> Result<(), ClientError> {
        let ack = Bytes::new().u64(tag).u8(0);
        self.call(CHANNEL, BASIC_ACK, &ack).await
    }

    /// Leaves a message to the queue's dead-letter exchange.
    pub(super) async fn reject(&mut self, tag: u64) -> Result<(), ClientError> {
        let nack = Bytes::new().u64(tag).u8(0);
        self.call(CHANNEL, BASIC_NACK, &nack).await
    }

    /// Gives everything back that was not acknowledged.
    pub(super) async fn requeue_all(&mut self) -> Result<(), ClientError> {
        const MULTIPLE: u8 = 1;
        const REQUEUE: u8 = 2;

        let nack = Bytes::new().u64(0).u8(MULTIPLE | REQUEUE);
        self.call(CHANNEL, BASIC_NACK, &nack).await
    }

    /// Has the broker confirm what is published.
    pub(super) async fn confirm_select(&mut self) -> Result<(), ClientError> {
        let select = Bytes::new().u8(0);
        self.call(CHANNEL, CONFIRM_SELECT, &select).await?;
        self.expect(&[CONFIRM_SELECT_OK]).await?;
        Ok(())
    }

    /// Publishes to a queue, through the default exchange, and waits until the broker has taken
    /// responsibility.
    pub(super) async fn publish(
        &mut self,
        queue: &str,
        properties: &[u8],
        body: &[u8],
    ) -> Result<(), ClientError> {
        const MANDATORY: u8 = 1;

        let publish = Bytes::new()
            .u16(0)
            .short(b"")
            .short(queue.as_bytes())
            .u8(MANDATORY);
        let (class, method) = BASIC_PUBLISH;
        let len = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let header = Bytes::new().u16(BASIC).u16(0).u64(len).raw(properties);
        let message =
            Outgoing::method(CHANNEL, class, method, &publish).frame(HEADER, CHANNEL, &header.0);
        let message = body.chunks(self.room()).fold(message, |message, chunk| {
            message.frame(BODY, CHANNEL, chunk)
        });
        message.send(&mut self.stream).await?;
        let mut returned = false;
        loop {
            let expected = [BASIC_ACK, BASIC_NACK, BASIC_RETURN];
            match self.expect(&expected).await? {
                // it comes before the confirm
                (BASIC_RETURN, _) => {
                    self.content().await?;
                    returned = true;
                }
                (BASIC_ACK, _) if returned => {
                    return Err(ClientError::Unroutable(queue.to_owned()));
                }
                (BASIC_ACK, _) => return Ok(()),
                _ => return Err(ClientError::NotTaken),
            }
        }
    }

    /// Closes the connection; what is on its way is done before.
    pub(super) async fn close(mut self) {
        let close = Bytes::new().u16(200).short(b"").u16(0).u16(0);
        let closing = timeout(CLOSE_TIMEOUT, async {
            self.call(0, CONNECTION_CLOSE, &close).await?;
            self.expect(&[CONNECTION_CLOSE_OK]).await
        });
        // the broker does the same when it sees the end of the stream
        let _ = closing.await;
    }

    async fn call(
        &mut self,
        channel: u16,
        (class, method): Method,
        arguments: &Bytes,
    ) -> Result<(), ClientError> {
        let frame = Outgoing::method(channel, class, method, arguments);
        Ok(frame.send(&mut self.stream).await?)
    }

    /// Waits for one of these methods, and gives its arguments.
    async fn expect(&mut self, methods: &[Method]) -> Result<(Method, Vec<u8>), ClientError> {
        let payload = self.frame(METHOD).await?;
        let mut reader = Reader(&payload);
        let method = (
            reader.u16().map_err(io::Error::from)?,
            reader.u16().map_err(io::Error::from)?,
        );
        if methods.contains(&method) {
            return Ok((method, reader.0.to_vec()));
        }
        if matches!(method, CONNECTION_CLOSE | CHANNEL_CLOSE) {
            let _code = reader.u16().map_err(io::Error::from)?;
            let text = reader.short().map_err(io::Error::from)?;
            return Err(ClientError::Refused(
                String::from_utf8_lossy(text).into_owned(),
            ));
        }
        Err(ClientError::Unexpected)
    }

    /// Reads the properties and the body of a message.
    async fn content(&mut self) -> Result<(Vec<u8>, Vec<u8>), ClientError> {
        let mut header = self.frame(HEADER).await?;
        let len = Reader(header.get(4..).unwrap_or_default())
            .u64()
            .map_err(io::Error::from)?;
        let properties = header.split_off(HEADER_PREFIX);
        let mut body = Vec::new();
        while u64::try_from(body.len()).is_ok_and(|read| read < len) {
            body.append(&mut self.frame(BODY).await?);
        }
        Ok((properties, body))
    }

    async fn frame(&mut self, expected: u8) -> Result<Vec<u8>, ClientError> {
        let Frame { kind, payload } = read_frame(&mut self.stream, self.frame_max).await?;
        if kind == expected {
            Ok(payload)
        } else {
            Err(ClientError::Unexpected)
        }
    }
}

/// What stands before the properties in a content header: class, weight and the body's size.
const HEADER_PREFIX: usize = 2 + 2 + 8;
