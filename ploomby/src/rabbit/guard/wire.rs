//! Frames, and the bytes in them.
//!
//! Source: [AMQP 0-9-1](https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf), 4.2.

/// The kinds of frames.
pub(super) const METHOD: u8 = 1;
pub(super) const HEADER: u8 = 2;
pub(super) const BODY: u8 = 3;
pub(super) const HEARTBEAT: u8 = 8;

/// The last octet of each frame.
pub(super) const END: u8 = 0xCE;

/// What stands before a frame's payload: its kind, its channel and its length.
pub(super) const HEAD: usize = 7;

/// What a frame takes beside its payload.
pub(super) const OVERHEAD: usize = HEAD + 1;

/// What stands before the properties in a content header: class, weight and the body's size.
pub(super) const HEADER_PREFIX: usize = 2 + 2 + 8;

/// A heartbeat, as it is sent.
pub(super) const HEARTBEAT_FRAME: [u8; OVERHEAD] = [HEARTBEAT, 0, 0, 0, 0, 0, 0, END];

/// Bytes that are put together.
#[derive(Debug, Default)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Bytes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// One frame with a method.
    pub(super) fn method(channel: u16, (class, method): (u16, u16), arguments: &Self) -> Self {
        let payload = Self::new().u16(class).u16(method).raw(&arguments.0);
        Self::new().frame(METHOD, channel, &payload.0)
    }

    pub(super) fn frame(self, kind: u8, channel: u16, payload: &[u8]) -> Self {
        self.u8(kind).u16(channel).long(payload).u8(END)
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

    /// AMQP's short string: at most 255 bytes, cut where there are more.
    pub(super) fn short(self, text: &[u8]) -> Self {
        let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
        self.u8(len).raw(&text[..usize::from(len)])
    }

    /// AMQP's long string, table and array: bytes behind their length.
    pub(super) fn long(self, bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).expect("nothing that came in a frame is as long");
        self.u32(len).raw(bytes)
    }

    /// The same, with the bytes put together in place.
    pub(super) fn long_with<E>(
        self,
        content: impl FnOnce(Self) -> Result<Self, E>,
    ) -> Result<Self, E> {
        let start = self.0.len() + 4;
        let mut all = content(self.u32(0))?;
        let len =
            u32::try_from(all.0.len() - start).expect("nothing that came in a frame is as long");
        all.0[start - 4..start].copy_from_slice(&len.to_be_bytes());
        Ok(all)
    }
}

/// Bytes that are taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

/// A length that leads beyond the end.
#[derive(Debug, PartialEq, Eq)]
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
