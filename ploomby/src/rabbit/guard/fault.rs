use thiserror::Error;

use super::{methods::Method, wire::Overrun};

/// What a broker sends that is no AMQP, or that nobody asked for. It ends the connection.
#[derive(Debug, Error, PartialEq, Eq)]
pub(in crate::rabbit) enum Fault {
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    #[error("a frame of {len} bytes, where {most} are the most")]
    Length { len: usize, most: usize },
    #[error("a frame that does not end where its length says")]
    End,
    #[error("a length that leads beyond the end of its frame")]
    Overrun,
    #[error("a frame with more in it than belongs there")]
    Excess,
    #[error("properties that are not those of AMQP 0-9-1")]
    Properties,
    #[error("a header of the unknown type {0:#04x}")]
    Type(u8),
    #[error("the method {}.{}, which no client knows", .0.0, .0.1)]
    Method(Method),
    #[error("the method {}.{} on channel {channel}, where it is not due", .method.0, .method.1)]
    Unasked { method: Method, channel: u16 },
    #[error("something on channel {0}, which is not open")]
    Channel(u16),
    #[error("parts of a message out of their order")]
    Content,
    #[error("a delivery of the number {0}, which is not the next one")]
    Tag(u64),
    #[error("a message of {0} bytes, which is more than RabbitMQ takes")]
    Size(u64),
}

impl From<Overrun> for Fault {
    fn from(_: Overrun) -> Self {
        Self::Overrun
    }
}
