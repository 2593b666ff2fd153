use crate::{
    order::{KEY, KEY_HEADER},
    wire::{BODY, FRAME_HEAD, HEADER, Writer, method},
};

/// How much is encoded ahead: a write of this size is cheap for each of its bytes.
const ENOUGH: usize = 1 << 20;

/// Deliveries to one consumer, all the same but for their tags.
#[derive(Debug)]
pub(super) struct Deliveries {
    queue: String,
    bytes: Vec<u8>,
    /// The length of one.
    each: usize,
    /// Where in each the tag stands.
    tag: usize,
}

impl Deliveries {
    pub(super) fn new(
        channel: u16,
        consumer_tag: &str,
        queue: &str,
        body: &[u8],
        frame_max: usize,
        most: usize,
    ) -> Self {
        let mut one = Writer::default();
        one.method(channel, method::DELIVER, |deliver| {
            deliver.short_text(consumer_tag).long_long(0).octet(0);
            deliver.short_text("").short_text(queue);
        });
        one.frame(HEADER, channel, |header| {
            const CONTENT_TYPE_HEADERS_DELIVERY_MODE: u16 = 0b1011 << 12;
            header.short(method::DELIVER.0).short(0);
            header.long_long(body.len() as u64);
            header.short(CONTENT_TYPE_HEADERS_DELIVERY_MODE);
            header.short_text("application/json");
            header.table(|table| {
                table.short_text(KEY_HEADER).octet(b'S').long_text(KEY);
            });
            header.octet(2);
        });
        for piece in body.chunks(frame_max - FRAME_HEAD - 1) {
            one.frame(BODY, channel, |frame| {
                frame.bytes(piece);
            });
        }
        let Writer(one) = one;
        let count = (ENOUGH / one.len()).clamp(1, most);
        Self {
            queue: queue.to_owned(),
            each: one.len(),
            // behind class, method and the consumer tag
            tag: FRAME_HEAD + 4 + 1 + consumer_tag.len(),
            bytes: one.repeat(count),
        }
    }

    pub(super) fn queue(&self) -> &str {
        &self.queue
    }

    /// How many [`with_tags`](Self::with_tags) can give at once.
    pub(super) fn most(&self) -> usize {
        self.bytes.len() / self.each
    }

    /// So many deliveries, whose tags begin with this one.
    pub(super) fn with_tags(&mut self, first: u64, count: usize) -> &[u8] {
        let bytes = &mut self.bytes[..count * self.each];
        for (delivery, tag) in bytes.chunks_exact_mut(self.each).zip(first..) {
            delivery[self.tag..self.tag + 8].copy_from_slice(&tag.to_be_bytes());
        }
        bytes
    }
}
