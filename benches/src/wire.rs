//! The few frames of AMQP 0-9-1 that the synthetic broker and the bare socket need.
//!
//! Source: the [specification](https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf), 2.3.5 and 4.2.

/// The type of a frame that holds a method.
pub const METHOD: u8 = 1;
/// The type of a frame that holds the header of a content.
pub const HEADER: u8 = 2;
/// The type of a frame that holds a piece of a body.
pub const BODY: u8 = 3;

/// What a client sends first.
pub const PROTOCOL: &[u8; 8] = b"AMQP\0\0\x09\x01";

/// Type, channel and size stand before what a frame holds.
pub const FRAME_HEAD: usize = 7;

const FRAME_END: u8 = 0xce;

/// One frame, in the buffer that it was read into.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Of which kind it is.
    pub kind: u8,
    /// For which channel it is.
    pub channel: u16,
    /// What it holds.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first frame in the buffer and what follows it, unless it is not there in whole.
    #[must_use]
    pub fn split(buffer: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = buffer.split_at_checked(FRAME_HEAD)?;
        let len = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let (payload, rest) = rest.split_at_checked(len)?;
        let (_end, rest) = rest.split_at_checked(1)?;
        let frame = Self {
            kind: head[0],
            channel: u16::from_be_bytes([head[1], head[2]]),
            payload,
        };
        Some((frame, rest))
    }

    /// Class and number of the method, and its arguments.
    #[must_use]
    pub fn method(&self) -> Option<((u16, u16), Reader<'a>)> {
        if self.kind != METHOD {
            return None;
        }
        let mut reader = Reader(self.payload);
        let name = (reader.short()?, reader.short()?);
        Some((name, reader))
    }
}

/// Reads the arguments of a method.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// Eight bits.
    pub fn octet(&mut self) -> Option<u8> {
        self.take().map(u8::from_be_bytes)
    }

    /// 16 bits.
    pub fn short(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    /// 32 bits.
    pub fn long(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// 64 bits.
    pub fn long_long(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    /// Up to 255 bytes.
    pub fn short_text(&mut self) -> Option<&'a str> {
        let len = usize::from(self.octet()?);
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

/// Writes frames, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// A frame with what `fill` writes.
    pub fn frame(&mut self, kind: u8, channel: u16, fill: impl FnOnce(&mut Self)) {
        self.octet(kind).short(channel);
        let at = self.0.len();
        self.long(0);
        fill(self);
        self.patch_len(at);
        self.octet(FRAME_END);
    }

    /// A frame with a method, by class and number, whose arguments `fill` writes.
    pub fn method(&mut self, channel: u16, name: (u16, u16), fill: impl FnOnce(&mut Self)) {
        self.frame(METHOD, channel, |frame| {
            frame.short(name.0).short(name.1);
            fill(frame);
        });
    }

    /// A table that `fill` writes.
    pub fn table(&mut self, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.0.len();
        self.long(0);
        fill(self);
        self.patch_len(at);
        self
    }

    fn patch_len(&mut self, at: usize) {
        let len = u32::try_from(self.0.len() - at - 4).expect("a frame is small");
        self.0[at..at + 4].copy_from_slice(&len.to_be_bytes());
    }

    /// Eight bits.
    pub fn octet(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// 16 bits.
    pub fn short(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// 32 bits.
    pub fn long(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// 64 bits.
    pub fn long_long(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Up to 255 bytes.
    ///
    /// # Panics
    ///
    /// There are more.
    pub fn short_text(&mut self, text: &str) -> &mut Self {
        let len = u8::try_from(text.len()).expect("a short text has up to 255 bytes");
        self.octet(len).bytes(text.as_bytes())
    }

    /// As many bytes as there are.
    ///
    /// # Panics
    ///
    /// There are 4 GiB.
    pub fn long_text(&mut self, text: &str) -> &mut Self {
        let len = u32::try_from(text.len()).expect("a text is small");
        self.long(len).bytes(text.as_bytes())
    }

    /// These bytes alone.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// Class and number of the methods.
pub mod method {
    /// `connection.start`
    pub const START: (u16, u16) = (10, 10);
    /// `connection.start-ok`
    pub const START_OK: (u16, u16) = (10, 11);
    /// `connection.tune`
    pub const TUNE: (u16, u16) = (10, 30);
    /// `connection.tune-ok`
    pub const TUNE_OK: (u16, u16) = (10, 31);
    /// `connection.open`
    pub const OPEN: (u16, u16) = (10, 40);
    /// `connection.open-ok`
    pub const OPEN_OK: (u16, u16) = (10, 41);
    /// `connection.close`
    pub const CLOSE: (u16, u16) = (10, 50);
    /// `connection.close-ok`
    pub const CLOSE_OK: (u16, u16) = (10, 51);
    /// `channel.open`
    pub const CHANNEL_OPEN: (u16, u16) = (20, 10);
    /// `channel.open-ok`
    pub const CHANNEL_OPEN_OK: (u16, u16) = (20, 11);
    /// `channel.close`
    pub const CHANNEL_CLOSE: (u16, u16) = (20, 40);
    /// `channel.close-ok`
    pub const CHANNEL_CLOSE_OK: (u16, u16) = (20, 41);
    /// `queue.declare`
    pub const QUEUE_DECLARE: (u16, u16) = (50, 10);
    /// `queue.declare-ok`
    pub const QUEUE_DECLARE_OK: (u16, u16) = (50, 11);
    /// `queue.bind`
    pub const QUEUE_BIND: (u16, u16) = (50, 20);
    /// `queue.bind-ok`
    pub const QUEUE_BIND_OK: (u16, u16) = (50, 21);
    /// `basic.qos`
    pub const QOS: (u16, u16) = (60, 10);
    /// `basic.qos-ok`
    pub const QOS_OK: (u16, u16) = (60, 11);
    /// `basic.consume`
    pub const CONSUME: (u16, u16) = (60, 20);
    /// `basic.consume-ok`
    pub const CONSUME_OK: (u16, u16) = (60, 21);
    /// `basic.cancel`
    pub const CANCEL: (u16, u16) = (60, 30);
    /// `basic.cancel-ok`
    pub const CANCEL_OK: (u16, u16) = (60, 31);
    /// `basic.publish`
    pub const PUBLISH: (u16, u16) = (60, 40);
    /// `basic.deliver`
    pub const DELIVER: (u16, u16) = (60, 60);
    /// `basic.ack`
    pub const ACK: (u16, u16) = (60, 80);
    /// `basic.reject`
    pub const REJECT: (u16, u16) = (60, 90);
    /// `basic.nack`
    pub const NACK: (u16, u16) = (60, 120);
    /// `confirm.select`
    pub const CONFIRM_SELECT: (u16, u16) = (85, 10);
    /// `confirm.select-ok`
    pub const CONFIRM_SELECT_OK: (u16, u16) = (85, 11);
}
