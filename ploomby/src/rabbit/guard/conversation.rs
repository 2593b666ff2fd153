use super::{
    fault::Fault,
    methods::{
        self, BASIC, BASIC_DELIVER, BASIC_RETURN, CHANNEL_CLOSE, CHANNEL_CLOSE_OK, CHANNEL_OPEN,
        Method,
    },
};

/// What both sides have said so far, as far as it decides what may come next.
///
/// The client takes it for granted that a broker answers what was asked, once, and sends the parts of a message
/// in their order.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// By number; a client uses the lowest that are free.
    channels: Vec<Channel>,
    /// Which answers the connection as a whole waits for.
    awaited: Awaited,
}

#[derive(Clone, Debug, Default)]
struct Channel {
    is_open: bool,
    consumes: bool,
    /// The number of the last delivery.
    delivered: u64,
    awaited: Awaited,
    content: Content,
}

/// How far a message has come whose parts follow each other on a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Content {
    #[default]
    None,
    /// Its header comes next.
    Header,
    /// So many bytes of its body are to come.
    Body(u64),
}

/// What becomes of a method from the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// It came too late to mean anything to the client.
    Late,
}

/// The largest body that RabbitMQ takes, whatever its configuration says: 512 MiB.
///
/// Source: `max_message_size` in [the configuration](https://www.rabbitmq.com/docs/configure).
const BODY_MAX: u64 = 512 << 20;

impl Conversation {
    /// Notes a method that the client sends.
    pub(super) fn client_sends(&mut self, number: u16, method: Method) {
        let Some(channel) = self.channel_mut(number) else {
            self.awaited.add(answer_to(method));
            return;
        };
        match method {
            CHANNEL_OPEN => {
                *channel = Channel {
                    is_open: true,
                    ..Channel::default()
                }
            }
            CHANNEL_CLOSE_OK => *channel = Channel::default(),
            // basic.consume
            (BASIC, 20) => channel.consumes = true,
            _ => {}
        }
        channel.awaited.add(answer_to(method));
    }

    /// Judges a method that the broker sends, which is one of those that it may send.
    pub(super) fn broker_sends(&mut self, number: u16, method: Method) -> Result<Verdict, Fault> {
        let unasked = Fault::Unasked {
            method,
            channel: number,
        };
        // methods of the connection are for all channels together
        if (number == 0) != (method.0 == methods::CONNECTION) {
            return Err(unasked);
        }
        if number == 0 {
            return match methods::is_answer(method) && !self.awaited.take(method) {
                true => Err(unasked),
                false => Ok(Verdict::Pass),
            };
        }
        let channel = match self.channels.get_mut(usize::from(number)) {
            Some(channel) if channel.is_open => channel,
            // both sides may close a channel at the same time
            _ if matches!(method, CHANNEL_CLOSE | CHANNEL_CLOSE_OK) => return Ok(Verdict::Late),
            _ => return Err(Fault::Channel(number)),
        };
        if channel.content != Content::None {
            return Err(Fault::Content);
        }
        if methods::is_answer(method) && !channel.awaited.take(method) {
            return Err(unasked);
        }
        match method {
            BASIC_DELIVER if !channel.consumes => return Err(unasked),
            BASIC_DELIVER | BASIC_RETURN => channel.content = Content::Header,
            CHANNEL_CLOSE_OK => *channel = Channel::default(),
            _ => {}
        }
        Ok(Verdict::Pass)
    }

    /// Judges the number of a delivery: they count up from 1.
    pub(super) fn delivery(&mut self, number: u16, tag: u64) -> Result<(), Fault> {
        let channel = self.open(number)?;
        // what needs no acknowledgement may have the number of what came before
        if tag == 0 || tag > channel.delivered.saturating_add(1) {
            return Err(Fault::Tag(tag));
        }
        channel.delivered = channel.delivered.max(tag);
        Ok(())
    }

    /// Judges the header of a message with a body of so many bytes.
    pub(super) fn header(&mut self, number: u16, class: u16, size: u64) -> Result<(), Fault> {
        let channel = self.open(number)?;
        if channel.content != Content::Header || class != BASIC {
            return Err(Fault::Content);
        }
        if size > BODY_MAX {
            return Err(Fault::Size(size));
        }
        channel.content = match size {
            0 => Content::None,
            size => Content::Body(size),
        };
        Ok(())
    }

    /// Judges a part of a message's body.
    pub(super) fn body(&mut self, number: u16, len: usize) -> Result<(), Fault> {
        let channel = self.open(number)?;
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        channel.content = match channel.content {
            // a part without a byte says nothing, and could come for ever
            Content::Body(left) if len == left => Content::None,
            Content::Body(left) if 0 < len && len < left => Content::Body(left - len),
            _ => return Err(Fault::Content),
        };
        Ok(())
    }

    /// Whether a frame for a channel has somebody to take it.
    fn open(&mut self, number: u16) -> Result<&mut Channel, Fault> {
        match self.channels.get_mut(usize::from(number)) {
            Some(channel) if channel.is_open => Ok(channel),
            _ => Err(Fault::Channel(number)),
        }
    }

    /// A channel of the client, or nothing for the connection itself.
    fn channel_mut(&mut self, number: u16) -> Option<&mut Channel> {
        let index = usize::from(number);
        if number == 0 {
            return None;
        }
        if self.channels.len() <= index {
            self.channels.resize_with(index + 1, Channel::default);
        }
        self.channels.get_mut(index)
    }
}

/// The number of the method that answers this one, where one does.
fn answer_to((class, method): Method) -> Method {
    (class, method + 1)
}

/// Methods that the broker has to send.
#[derive(Clone, Copy, Debug, Default)]
struct Awaited(u32);

impl Awaited {
    /// All answers that there are.
    const ANSWERS: [Method; 17] = [
        methods::CONNECTION_CLOSE_OK,
        methods::CONNECTION_UPDATE_SECRET_OK,
        methods::CHANNEL_OPEN_OK,
        methods::CHANNEL_CLOSE_OK,
        (40, 11),
        (40, 21),
        (40, 31),
        (40, 51),
        (50, 11),
        (50, 21),
        (50, 31),
        (50, 41),
        (50, 51),
        (60, 11),
        (60, 21),
        (60, 31),
        (85, 11),
    ];

    fn add(&mut self, answer: Method) {
        if let Some(bit) = Self::bit(answer) {
            self.0 |= bit;
        }
    }

    fn take(&mut self, answer: Method) -> bool {
        let bit = Self::bit(answer).unwrap_or_default();
        let is_awaited = self.0 & bit != 0;
        self.0 &= !bit;
        is_awaited
    }

    fn bit(answer: Method) -> Option<u32> {
        let index = Self::ANSWERS.iter().position(|known| *known == answer)?;
        Some(1 << index)
    }
}
