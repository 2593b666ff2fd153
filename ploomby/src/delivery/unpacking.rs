//! Unpacking a compressed body before its handler is called: what a small message grows to is for its sender to
//! choose, so it waits until there is memory for it, and does not hold up a thread of the runtime meanwhile.

use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::sleep,
};

use super::Delivery;
use crate::{
    codec::Compression,
    outcome::{Failure, Reason, cause},
};

/// Memory for bodies that are unpacked, counted in whole KiB. Those of queues without a limit of their own share
/// one.
#[derive(Clone)]
pub(crate) struct Memory {
    kib: Arc<Semaphore>,
    all: u32,
}

/// An unpacked body, or why there is none, and the memory that it takes.
pub(super) struct Unpacked {
    body: Result<Bytes, Failure>,
    _memory: Option<OwnedSemaphorePermit>,
}

const KIB: usize = 1024;

/// What all queues without a limit of their own may unpack at the same time. What a payload takes that is decoded
/// from it, comes to it.
const SHARED: usize = 32 * 1024 * KIB;

/// A body that is no larger is unpacked at once, as far as it becomes no larger than this.
const SMALL_PACKED: usize = 16 * KIB;
const SMALL: usize = 256 * KIB;

/// How long to wait where the machine has no memory, and up to this long.
const SHORTAGE: Duration = Duration::from_secs(1);
const LONGEST_SHORTAGE: Duration = Duration::from_secs(30);

impl Memory {
    /// So many bytes, or those that all such queues share.
    pub(crate) fn of(bytes: Option<usize>) -> Self {
        static ALL: LazyLock<Memory> = LazyLock::new(|| Memory::new(SHARED));

        bytes.map_or_else(|| ALL.clone(), Self::new)
    }

    fn new(bytes: usize) -> Self {
        let all = u32::try_from(bytes / KIB).unwrap_or(u32::MAX).max(1);
        let permits = usize::try_from(all).unwrap_or(usize::MAX);
        let permits = permits.min(Semaphore::MAX_PERMITS);
        Self {
            kib: Arc::new(Semaphore::new(permits)),
            all,
        }
    }

    /// A single larger body takes all there is.
    async fn take(&self, bytes: usize) -> OwnedSemaphorePermit {
        let count = self.count(bytes);
        let permit = self.kib.clone().acquire_many_owned(count).await;
        permit.expect("the semaphore is never closed")
    }

    fn count(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(KIB)).map_or(self.all, |kib| kib.min(self.all))
    }
}

impl Delivery {
    /// Whether the body is compressed, and not unpacked yet.
    #[inline]
    pub(crate) fn is_packed(&self) -> bool {
        match self.properties().content_encoding() {
            None => false,
            Some(encoding) => {
                let compression = Compression::of(encoding);
                self.inner.decompressed.get().is_none() && matches!(compression, Ok(Some(_)))
            }
        }
    }

    /// Unpacks the body, once there is memory for it. What comes of it, who takes the body hears.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub(crate) async fn unpack(&self, memory: &Memory) {
        let encoding = self.properties().content_encoding();
        let Some(Ok(Some(compression))) = encoding.map(Compression::of) else {
            return;
        };
        let limit = self.decoding().max_decompressed_size;
        let packed = self.message().body();
        if packed.len() <= SMALL_PACKED {
            let most = SMALL.min(limit);
            let permit = memory.take(most).await;
            let body = compression.decompress(packed, most);
            let is_larger = |failure: &Failure| failure.reason == Reason::TooLarge;
            if most == limit || !body.as_ref().is_err_and(is_larger) {
                return self.note_unpacked(body, permit, memory);
            }
        }
        let mut pause = SHORTAGE;
        loop {
            let permit = memory.take(limit).await;
            let packed = packed.clone();
            let unpacking = spawn_blocking(move || compression.decompress(&packed, limit));
            let body = unpacking
                .await
                .unwrap_or_else(|panic| Err(Failure::new(Reason::Undecodable, panic.to_string())));
            if !body.as_ref().is_err_and(is_shortage) {
                return self.note_unpacked(body, permit, memory);
            }
            drop(permit);
            tracing::error!(
                queue = self.queue(),
                "there is no memory to unpack a body of up to {limit} bytes, trying again in {pause:?}"
            );
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_SHORTAGE);
        }
    }

    /// Keeps what the body takes of the memory, and gives back the rest.
    fn note_unpacked(
        &self,
        body: Result<Bytes, Failure>,
        mut permit: OwnedSemaphorePermit,
        memory: &Memory,
    ) {
        let needed = body.as_ref().map_or(0, |body| memory.count(body.len()));
        let taken = u32::try_from(permit.num_permits()).unwrap_or(u32::MAX);
        let rest = usize::try_from(taken.saturating_sub(needed)).unwrap_or_default();
        drop(permit.split(rest));
        let _ = self.inner.decompressed.set(Unpacked {
            body,
            _memory: Some(permit),
        });
    }
}

impl Unpacked {
    pub(super) fn at_once(body: Bytes) -> Self {
        Self {
            body: Ok(body),
            _memory: None,
        }
    }

    pub(super) fn body(&self) -> Result<&[u8], Failure> {
        self.body.as_deref().map_err(Clone::clone)
    }
}

/// Whether there was no memory, which is not the message's fault.
fn is_shortage(failure: &Failure) -> bool {
    let error = failure.error().and_then(cause::<std::io::Error>);
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::OutOfMemory)
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("kib", &self.all)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "gzip"))]
mod tests {
    use std::io::Write;

    use futures_util::future::poll_immediate;

    use super::*;
    use crate::message::{Message, Properties};

    fn packed(len: usize) -> Delivery {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&vec![b' '; len]).unwrap();
        let properties = Properties::new().with_content_encoding("gzip").unwrap();
        Delivery::new(Message::new(packer.finish().unwrap()).with_properties(properties))
    }

    #[tokio::test]
    async fn what_is_unpacked_is_counted_as_long_as_it_is_there() {
        const LEN: usize = 1024 * KIB;

        let memory = Memory::new(16 * 1024 * KIB);
        let all = memory.kib.available_permits();
        let delivery = packed(LEN);
        assert!(delivery.is_packed());
        delivery.unpack(&memory).await;
        assert!(!delivery.is_packed());
        assert_eq!(super::super::plain_body(&delivery).unwrap().len(), LEN);
        assert_eq!(memory.kib.available_permits(), all - LEN / KIB);
        // it may become as large as all of it: there is no room beside the other
        let second = packed(LEN);
        assert!(
            poll_immediate(std::pin::pin!(second.unpack(&memory)))
                .await
                .is_none()
        );
        drop(delivery);
        second.unpack(&memory).await;
        drop(second);
        assert_eq!(memory.kib.available_permits(), all);
    }

    #[tokio::test]
    async fn what_does_not_unpack_takes_no_memory() {
        let memory = Memory::new(16 * 1024 * KIB);
        let all = memory.kib.available_permits();
        let too_large = packed(17 * 1024 * KIB);
        too_large.unpack(&memory).await;
        let failure = super::super::plain_body(&too_large).unwrap_err();
        assert_eq!(failure.reason, Reason::TooLarge);
        let properties = Properties::new().with_content_encoding("gzip").unwrap();
        let broken = Delivery::new(Message::new("x").with_properties(properties));
        broken.unpack(&memory).await;
        let failure = super::super::plain_body(&broken).unwrap_err();
        assert_eq!(failure.reason, Reason::Undecodable);
        assert_eq!(memory.kib.available_permits(), all);
    }

    #[tokio::test]
    async fn small_bodies_are_unpacked_at_once_and_counted() {
        let memory = Memory::new(SMALL);
        let small = packed(100);
        assert!(
            poll_immediate(std::pin::pin!(small.unpack(&memory)))
                .await
                .is_some()
        );
        assert_eq!(memory.kib.available_permits(), SMALL / KIB - 1);
    }
}
