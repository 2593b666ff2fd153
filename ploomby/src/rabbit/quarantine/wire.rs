use std::io::{self, ErrorKind};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The kinds of frames.
pub(super) const METHOD: u8 = 1;
pub(super) const HEADER: u8 = 2;
pub(super) const BODY: u8 = 3;
pub(super) const HEARTBEAT: u8 = 8;

const END: u8 = 0xCE;

/// What a frame takes beside its payload.
pub(super) const OVERHEAD: usize = 8;

/// One frame, its payload as bytes.
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) payload: Vec<u8>,
}

/// Reads the next frame that is no heartbeat.
pub(super) async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    frame_max: usize,
) -> io::Result<Frame> {
    loop {
        let kind = stream.read_u8().await?;
        let _channel = stream.read_u16().await?;
        let len = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
        if len > frame_max.saturating_sub(OVERHEAD) {
            return Err(invalid("a frame is longer than agreed"));
        }
        let mut payload = vec![0; len];
        stream.read_exact(&mut payload).await?;
        if stream.read_u8().await? != END {
            return Err(invalid("a frame does not end where it should"));
        }
        if kind != HEARTBEAT {
            return Ok(Frame { kind, payload });
        }
    }
}

pub(super) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// Frames that are sent together.
pub(super) struct Outgoing(Vec<u8>);

impl Outgoing {
    pub(super) fn bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub(super) fn method(channel: u16, class: u16, method: u16, arguments: &Bytes) -> Self {
        let payload = Bytes::new().u16(class).u16(method).raw(&arguments.0);
        Self(Vec::new()).frame(METHOD, channel, &payload.0)
    }

    pub(super) fn frame(mut self, kind: u8, channel: u16, payload: &[u8]) -> Self {
        let head = Bytes::new().u8(kind).u16(channel).long(payload);
        self.0.extend(head.u8(END).0);
        self
    }

    pub(super) async fn send(self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        stream.write_all(&self.0).await?;
        stream.flush().await
    }
}

/// Bytes that are put together.
#[derive(Debug, Default)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Bytes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u8(self, number: u8) -> Self {
        self.raw(&[number])
    }

    pub(super) fn u16(self, number: u16) -> Self {
        self.raw(&number.to_be_bytes())
    }

    pub(super) fn u32(self, number: u32) -> Self {
        self.raw(&number.to_be_bytes())
    }

    pub(super) fn u64(self, number: u64) -> Self {
        self.raw(&number.to_be_bytes())
    }

    /// AMQP's short string: at most 255 bytes, cut where there are more.
    pub(super) fn short(self, text: &[u8]) -> Self {
        let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
        self.u8(len).raw(&text[..usize::from(len)])
    }

    /// AMQP's long string, table and array: bytes behind their length.
    pub(super) fn long(self, bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).expect("no frame is as long");
        self.u32(len).raw(bytes)
    }
}

/// Bytes that are taken apart.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

/// A length that leads beyond the end.
#[derive(Debug)]
pub(super) struct Overrun;

impl<'a> Reader<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Overrun> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Overrun)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Overrun> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Overrun)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Overrun> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Overrun> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Overrun> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Overrun> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn short(&mut self) -> Result<&'a [u8], Overrun> {
        let len = self.u8()?;
        self.take(len.into())
    }

    pub(super) fn long(&mut self) -> Result<&'a [u8], Overrun> {
        let len = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        self.take(len)
    }
}

impl From<Overrun> for io::Error {
    fn from(_: Overrun) -> Self {
        invalid("a length leads beyond the end of its frame")
    }
}
