use std::{
    collections::{BTreeMap, HashSet},
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{Counts, Pace, channel::Channel, deliveries::Deliveries};
use crate::wire::{Frame, PROTOCOL, Reader, Writer, method};

/// What RabbitMQ proposes.
const FRAME_MAX: u32 = 131_072;
const CHANNEL_MAX: u16 = 2047;
const HEARTBEAT: u16 = 60;

const BUFFER: usize = 1 << 18;

/// What a queue says of itself, which is never true for long.
const MESSAGES: u32 = 1_000_000;

const NOT_FOUND: u16 = 404;

/// One connection.
pub(super) struct Session {
    stream: TcpStream,
    body: Arc<[u8]>,
    counts: Arc<Counts>,
    channels: BTreeMap<u16, Channel>,
    /// The queues that were declared over this connection.
    queues: HashSet<String>,
    frame_max: usize,
    pace: Pace,
    /// When the next message of a pace is due.
    next: Instant,
    /// Answers that were not written yet.
    answers: Writer,
    is_closing: bool,
}

impl Session {
    pub(super) fn new(stream: TcpStream, body: Arc<[u8]>, counts: Arc<Counts>, pace: Pace) -> Self {
        Self {
            stream,
            body,
            counts,
            channels: BTreeMap::new(),
            queues: HashSet::new(),
            frame_max: FRAME_MAX as usize,
            pace,
            next: Instant::now(),
            answers: Writer::default(),
            is_closing: false,
        }
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        let mut protocol = [0; PROTOCOL.len()];
        self.stream.read_exact(&mut protocol)?;
        if &protocol != PROTOCOL {
            return Err(ErrorKind::InvalidData.into());
        }
        self.start();
        self.write_answers()?;
        match &self.pace {
            Pace::Flood => {}
            // it has a core to itself and must not sleep: waking up would be measured, too
            Pace::Every(_) => self.stream.set_nonblocking(true)?,
            // it has no core to itself, and is timed from when it has written
            Pace::Beside { every, .. } => self.stream.set_read_timeout(Some(*every / 4))?,
        }
        let mut buffer = vec![0; BUFFER];
        let mut len = 0;
        while !self.is_closing {
            match self.stream.read(&mut buffer[len..]) {
                Ok(0) => return Ok(()),
                Ok(read) => len += read,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
            let mut rest = &buffer[..len];
            while let Some((frame, after)) = Frame::split(rest) {
                self.take(frame)?;
                rest = after;
            }
            let left = rest.len();
            buffer.copy_within(len - left..len, 0);
            len = left;
            self.write_answers()?;
            self.deliver()?;
        }
        Ok(())
    }

    fn deliver(&mut self) -> io::Result<()> {
        match self.pace.clone() {
            Pace::Flood => self.flood(|_| true),
            Pace::Every(interval) => self.deliver_one_if_due(interval, |_| true),
            Pace::Beside { light, every } => {
                self.flood(|queue| queue != light)?;
                self.deliver_one_if_due(every, |queue| queue == light)
            }
        }
    }

    fn flood(&mut self, is_for: impl Fn(&str) -> bool) -> io::Result<()> {
        for channel in self.channels.values_mut().filter(|c| c.consumes(&is_for)) {
            let mut room = channel.room();
            while room > 0 {
                let most = channel.deliveries.as_ref().map_or(0, Deliveries::most);
                let count = room.min(most);
                let first = channel.deliver(count, None);
                let Some(deliveries) = &mut channel.deliveries else {
                    break;
                };
                self.stream.write_all(deliveries.with_tags(first, count))?;
                room -= count;
            }
        }
        Ok(())
    }

    fn deliver_one_if_due(
        &mut self,
        interval: Duration,
        is_for: impl Fn(&str) -> bool,
    ) -> io::Result<()> {
        let now = Instant::now();
        if now < self.next {
            return Ok(());
        }
        self.next = (self.next + interval).max(now);
        let channels = self.channels.values_mut();
        for channel in channels.filter(|c| c.room() > 0 && c.consumes(&is_for)) {
            let first = channel.deliver(1, Some(now));
            if let Some(deliveries) = &mut channel.deliveries {
                // nonblocking, and so small that the socket takes it
                self.stream.write_all(deliveries.with_tags(first, 1))?;
            }
        }
        Ok(())
    }

    fn write_answers(&mut self) -> io::Result<()> {
        if !self.answers.0.is_empty() {
            self.stream.write_all(&self.answers.0)?;
            self.answers.0.clear();
        }
        Ok(())
    }

    fn start(&mut self) {
        self.answers.method(0, method::START, |start| {
            start.octet(0).octet(9);
            start.table(|properties| {
                properties.short_text("product").octet(b'S');
                properties.long_text("a synthetic broker");
                properties.short_text("capabilities").octet(b'F');
                properties.table(|capabilities| {
                    for name in ["basic.nack", "consumer_cancel_notify", "publisher_confirms"] {
                        capabilities.short_text(name).octet(b't').octet(1);
                    }
                });
            });
            start.long_text("PLAIN AMQPLAIN").long_text("en_US");
        });
    }

    fn take(&mut self, frame: Frame<'_>) -> io::Result<()> {
        // else it is a heartbeat, or the content of a message that is published
        if let Some((name, arguments)) = frame.method() {
            let known = self.answer(frame.channel, name, arguments);
            known.ok_or_else(|| {
                io::Error::new(ErrorKind::InvalidData, format!("no answer to {name:?}"))
            })?;
        }
        Ok(())
    }

    fn answer(&mut self, number: u16, name: (u16, u16), mut arguments: Reader<'_>) -> Option<()> {
        let Self {
            answers,
            channels,
            queues,
            ..
        } = self;
        let mut ok = |name| answers.method(number, name, |_| {});
        match name {
            method::ACK => {
                let (tag, is_multiple) = (arguments.long_long()?, arguments.octet()? & 1 != 0);
                self.ack(number, tag, is_multiple);
            }
            method::NACK | method::REJECT => {
                let tag = arguments.long_long()?;
                let channel = channels.get_mut(&number)?;
                channel.settle(tag, false, |_| {});
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
            }
            method::START_OK => answers.method(0, method::TUNE, |tune| {
                tune.short(CHANNEL_MAX).long(FRAME_MAX).short(HEARTBEAT);
            }),
            method::TUNE_OK => {
                let _channel_max = arguments.short()?;
                self.frame_max = match arguments.long()? {
                    0 => FRAME_MAX as usize,
                    agreed => agreed.min(FRAME_MAX) as usize,
                };
            }
            method::OPEN => answers.method(0, method::OPEN_OK, |open| {
                open.short_text("");
            }),
            method::CLOSE => {
                ok(method::CLOSE_OK);
                self.is_closing = true;
            }
            method::CHANNEL_OPEN => {
                channels.insert(number, Channel::default());
                answers.method(number, method::CHANNEL_OPEN_OK, |open| {
                    open.long_text("");
                });
            }
            method::CHANNEL_CLOSE => {
                channels.remove(&number);
                ok(method::CHANNEL_CLOSE_OK);
            }
            method::QUEUE_DECLARE => {
                let (_reserved, queue) = (arguments.short()?, arguments.short_text()?);
                let is_passive = arguments.octet()? & 1 != 0;
                if is_passive && !queues.contains(queue) {
                    // else who looks for a queue beside its own would find an endless one, and consume it
                    answers.method(number, method::CHANNEL_CLOSE, |close| {
                        let (class, method) = name;
                        close.short(NOT_FOUND).short_text("NOT_FOUND");
                        close.short(class).short(method);
                    });
                    return Some(());
                }
                queues.insert(queue.to_owned());
                answers.method(number, method::QUEUE_DECLARE_OK, |declared| {
                    declared.short_text(queue).long(MESSAGES).long(0);
                });
            }
            method::QUEUE_BIND => ok(method::QUEUE_BIND_OK),
            method::QOS => {
                let (_size, prefetch) = (arguments.long()?, arguments.short()?);
                channels.get_mut(&number)?.prefetch = prefetch;
                ok(method::QOS_OK);
            }
            method::CONSUME => {
                let (_reserved, queue) = (arguments.short()?, arguments.short_text()?);
                self.consume(number, queue, arguments.short_text()?)?;
            }
            method::CANCEL => {
                channels.get_mut(&number)?.deliveries = None;
                let tag = arguments.short_text()?;
                answers.method(number, method::CANCEL_OK, |cancelled| {
                    cancelled.short_text(tag);
                });
            }
            method::CONFIRM_SELECT => ok(method::CONFIRM_SELECT_OK),
            // it goes nowhere, as does the one by which a consumer asks whether it may publish
            method::PUBLISH => {
                let channel = channels.get_mut(&number)?;
                channel.published += 1;
                let tag = channel.published;
                answers.method(number, method::ACK, |ack| {
                    ack.long_long(tag).octet(0);
                });
            }
            method::CHANNEL_CLOSE_OK => {
                channels.remove(&number);
            }
            method::CLOSE_OK => {}
            _ => return None,
        }
        Some(())
    }

    fn ack(&mut self, number: u16, tag: u64, is_multiple: bool) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        let counts = &self.counts;
        let mut acked = 0;
        channel.settle(tag, is_multiple, |at| {
            acked += 1;
            if let Some(at) = at {
                counts.latency(at.elapsed());
            }
        });
        counts.acked.fetch_add(acked, Ordering::Relaxed);
        counts.ack_frames.fetch_add(1, Ordering::Relaxed);
    }

    fn consume(&mut self, number: u16, queue: &str, consumer_tag: &str) -> Option<()> {
        let chosen = format!("consumer-{number}");
        let consumer_tag = match consumer_tag {
            "" => &chosen,
            given => given,
        };
        let channel = self.channels.get_mut(&number)?;
        channel.deliveries = Some(Deliveries::new(
            number,
            consumer_tag,
            queue,
            &self.body,
            self.frame_max,
            channel.window(),
        ));
        self.answers
            .method(number, method::CONSUME_OK, |consuming| {
                consuming.short_text(consumer_tag);
            });
        Some(())
    }
}
