use super::{
    fault::Fault,
    wire::{BODY, END, HEAD, HEADER, HEARTBEAT, METHOD, OVERHEAD},
};

/// A frame in a stream of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) channel: u16,
    /// Of the payload.
    pub(super) len: usize,
    /// Empty for a part of a body, which nobody looks into.
    pub(super) payload: &'a [u8],
}

/// What becomes of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on as it is.
    Pass,
    /// It goes no further.
    Drop,
    /// This goes on in its place.
    Instead(Vec<u8>),
}

/// Decides what becomes of each frame of one direction.
pub(super) trait Judge {
    fn judge(&mut self, frame: Frame<'_>) -> Result<Fate, Fault>;
}

/// Cuts the bytes of one direction into frames, as they come. A part of a body goes on before all of it is
/// there; everything else is judged when it is whole.
#[derive(Debug)]
pub(super) struct Scanner<J> {
    judge: J,
    /// The longest frame that may come.
    most: usize,
    /// What is still to come of a part of a body, with the end of its frame.
    body_left: usize,
}

/// What becomes of the bytes at the front.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// So many go on as they are.
    pub(super) pass: usize,
    /// So many behind them do not.
    pub(super) skip: usize,
    /// This goes on in the place of those.
    pub(super) instead: Vec<u8>,
}

impl<J: Judge> Scanner<J> {
    pub(super) fn new(judge: J, most: usize) -> Self {
        Self {
            judge,
            most,
            body_left: 0,
        }
    }

    /// Whether the frame has passed whose beginning has.
    pub(super) fn is_between_frames(&self) -> bool {
        self.body_left == 0
    }

    /// Looks at the bytes that have come, up to the first that do not go on as they are, or to a frame that is
    /// not whole.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Scanned, Fault> {
        let mut pass = 0;
        while let rest @ [_, ..] = &bytes[pass..] {
            if self.body_left > 0 {
                let len = self.body_left.min(rest.len());
                self.body_left -= len;
                if self.is_between_frames() && rest[len - 1] != END {
                    return Err(Fault::End);
                }
                pass += len;
                continue;
            }
            let Some(frame) = front(rest, self.most)? else {
                break;
            };
            let len = frame.len + OVERHEAD;
            match self.judge.judge(frame)? {
                Fate::Pass if frame.kind == BODY => self.body_left = len,
                Fate::Pass => pass += len,
                Fate::Drop => {
                    return Ok(Scanned {
                        pass,
                        skip: len,
                        instead: Vec::new(),
                    });
                }
                Fate::Instead(instead) => {
                    return Ok(Scanned {
                        pass,
                        skip: len,
                        instead,
                    });
                }
            }
        }
        Ok(Scanned {
            pass,
            ..Scanned::default()
        })
    }
}

/// The frame at the front, where enough of it is there.
fn front(bytes: &[u8], most: usize) -> Result<Option<Frame<'_>>, Fault> {
    // whoever sends something else than AMQP may send no more than a few bytes
    match bytes.first() {
        None | Some(&(METHOD | HEADER | BODY | HEARTBEAT)) => {}
        Some(kind) => return Err(Fault::Kind(*kind)),
    }
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let [kind, c1, c0, l3, l2, l1, l0] = *head;
    let len = usize::try_from(u32::from_be_bytes([l3, l2, l1, l0])).unwrap_or(usize::MAX);
    if len > most {
        return Err(Fault::Length { len, most });
    }
    let frame = |payload| Frame {
        kind,
        channel: u16::from_be_bytes([c1, c0]),
        len,
        payload,
    };
    match rest.split_at_checked(len) {
        _ if kind == BODY => Ok(Some(frame(&[]))),
        Some((payload, [END, ..])) => Ok(Some(frame(payload))),
        Some((_, [_, ..])) => Err(Fault::End),
        _ => Ok(None),
    }
}
