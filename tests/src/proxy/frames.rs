/// A method of AMQP 0-9-1, by the numbers of its class and of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method(u16, u16);

impl Method {
    /// `basic.publish`.
    pub const PUBLISH: Self = Self(60, 40);
    /// `basic.deliver`.
    pub const DELIVER: Self = Self(60, 60);
    /// `basic.ack`: of a delivery, or a publisher confirm.
    pub const ACK: Self = Self(60, 80);
    /// `basic.nack`.
    pub const NACK: Self = Self(60, 120);
    /// `basic.qos`.
    pub const QOS: Self = Self(60, 10);
    /// `basic.consume`.
    pub const CONSUME: Self = Self(60, 20);
    /// `basic.cancel`.
    pub const CANCEL: Self = Self(60, 30);
    /// `connection.open`.
    pub const CONNECTION_OPEN: Self = Self(10, 40);
    /// `connection.close`
    pub const CONNECTION_CLOSE: Self = Self(10, 50);
    /// `channel.open`.
    pub const CHANNEL_OPEN: Self = Self(20, 10);
    /// `queue.declare`.
    pub const QUEUE_DECLARE: Self = Self(50, 10);
    /// `queue.bind`
    pub const QUEUE_BIND: Self = Self(50, 20);
    /// `exchange.declare`
    pub const EXCHANGE_DECLARE: Self = Self(40, 10);
}

/// Finds the method frames in a stream that comes in pieces.
#[derive(Debug)]
pub(super) struct Frames {
    /// The begin of the frame that is under way: type, channel, size, class and method.
    head: Vec<u8>,
    /// So many bytes of what comes next belong to a frame that is known already.
    skip: usize,
}

/// The length of a frame's type, channel and size.
const HEADER: usize = 7;

/// With the numbers of class and method behind it.
const METHOD: usize = HEADER + 4;

const METHOD_FRAME: u8 = 1;

impl Frames {
    /// `preamble` bytes come before the first frame.
    pub(super) fn new(preamble: usize) -> Self {
        Self {
            head: Vec::with_capacity(METHOD),
            skip: preamble,
        }
    }

    /// The methods whose numbers end in this piece, with the place behind the numbers and the place
    /// behind the frame. Either may be beyond the piece.
    pub(super) fn read(&mut self, piece: &[u8]) -> Vec<(Method, usize, usize)> {
        let mut methods = Vec::new();
        let mut at = 0;
        while at < piece.len() {
            let skipped = self.skip.min(piece.len() - at);
            self.skip -= skipped;
            at += skipped;
            let wanted = match self.head.first() {
                Some(&METHOD_FRAME) => METHOD,
                Some(_) => HEADER,
                None => 1,
            };
            let taken = (wanted - self.head.len()).min(piece.len() - at);
            self.head.extend_from_slice(&piece[at..at + taken]);
            at += taken;
            if taken == 0 || self.head.len() < wanted || wanted == 1 {
                continue;
            }
            let size = u32::from_be_bytes(self.head[3..HEADER].try_into().unwrap());
            // the payload and the byte that ends the frame
            self.skip = HEADER + size as usize + 1 - self.head.len();
            if let [class_high, class_low, method_high, method_low] = self.head[HEADER..] {
                let method = Method(
                    u16::from_be_bytes([class_high, class_low]),
                    u16::from_be_bytes([method_high, method_low]),
                );
                methods.push((method, at, at + self.skip));
            }
            self.head.clear();
        }
        methods
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, 1][..], &size, payload, &[0xce]].concat()
    }

    #[test]
    fn methods_are_found_wherever_the_stream_is_cut() {
        let publish = frame(METHOD_FRAME, &[0, 60, 0, 40, 1, 2, 3]);
        let header = frame(2, &[0, 60, 0, 40, 9, 9]);
        let heartbeat = frame(8, &[]);
        let ack = frame(METHOD_FRAME, &[0, 60, 0, 80]);
        let stream = [b"AMQP\0\0\x09\x01", &publish[..], &header, &heartbeat, &ack].concat();
        let ends = [8 + publish.len(), stream.len()];
        for length in 1..=stream.len() {
            let mut frames = Frames::new(8);
            let mut found = Vec::new();
            for (index, piece) in stream.chunks(length).enumerate() {
                for (method, _, end) in frames.read(piece) {
                    found.push((method, index * length + end));
                }
            }
            let expected = [(Method::PUBLISH, ends[0]), (Method::ACK, ends[1])];
            assert_eq!(found, expected, "in pieces of {length}");
        }
    }
}
