use std::{fmt, sync::Arc};

use super::{Content, Delivery, DeliveryTag, Inner, Published, Source};
use crate::message::{
    Message,
    wire::{Parts, Received},
};

/// Makes the deliveries of one consumer, each in the memory of the last one if nothing holds that any
/// more: most are done when the next one comes.
///
/// A consumer gets one by [`Dispatcher::recycler`](crate::Dispatcher::recycler), and hands what it makes to
/// [`Dispatcher::dispatch_in_consume`](crate::Dispatcher::dispatch_in_consume).
#[derive(Default)]
pub struct Recycler {
    source: Option<Arc<Source>>,
    last: Option<Delivery>,
}

impl Recycler {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self {
            source: Some(source),
            last: None,
        }
    }

    /// Takes out what the client has received, if it is whole, and its tag.
    pub(crate) fn wire(&mut self, received: &mut Received) -> Option<(&Delivery, DeliveryTag)> {
        let parts = Parts::of(received)?;
        let tag = DeliveryTag::new(parts.tag);
        let delivery = match self.unused() {
            Some(Content::Wire { message, arrival }) => {
                parts.swap(message, arrival);
                self.again()
            }
            _ => {
                let (message, arrival) = parts.take()?;
                self.anew(Content::Wire { message, arrival })
            }
        };
        Some((delivery, tag))
    }

    /// The delivery of a message, from the default exchange, for the first time. What is otherwise,
    /// [`set_address`](Delivery::set_address) and [`set_redelivered`](Delivery::set_redelivered) say.
    pub fn delivery(&mut self, message: Message) -> &mut Delivery {
        match self.unused() {
            Some(Content::Plain {
                published,
                redelivered,
            }) => {
                *redelivered = false;
                match Arc::get_mut(published) {
                    Some(published) => {
                        published.message = message;
                        published.exchange.clear();
                        published.routing_key.clear();
                    }
                    None => *published = Arc::new(Published::by_default(message, "")),
                }
            }
            _ => {
                let published = Arc::new(Published::by_default(message, ""));
                self.plain(published, false);
            }
        }
        self.last.as_mut().expect("it was made just now")
    }

    pub(crate) fn plain(&mut self, published: Arc<Published>, redelivered: bool) -> &Delivery {
        let new = Content::Plain {
            published,
            redelivered,
        };
        match self.unused() {
            Some(content) => {
                *content = new;
                self.again()
            }
            None => self.anew(new),
        }
    }

    /// Lets go of the last message, if it may take long until the next one comes.
    pub fn clear(&mut self) {
        self.last = None;
    }

    /// The content of the last delivery, if nothing holds that delivery any more.
    fn unused(&mut self) -> Option<&mut Content> {
        let inner = Arc::get_mut(&mut self.last.as_mut()?.inner)?;
        #[cfg(any(feature = "gzip", feature = "zstd"))]
        inner.decompressed.take();
        Some(&mut inner.content)
    }

    fn again(&self) -> &Delivery {
        self.last.as_ref().expect("it is unused")
    }

    fn anew(&mut self, content: Content) -> &Delivery {
        let inner = Inner::new(content, self.source.clone());
        self.last.insert(Delivery::of(Arc::new(inner)))
    }
}

impl fmt::Debug for Recycler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recycler").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(body: &'static str) -> Arc<Published> {
        Arc::new(Published::by_default(Message::new(body), ""))
    }

    #[test]
    fn a_delivery_that_is_held_stays_as_it_is() {
        let mut recycler = Recycler::default();
        let held = recycler.plain(published("1"), false).clone();
        let second = recycler.plain(published("2"), true);
        assert_eq!((held.body(), second.body()), (&b"1"[..], &b"2"[..]));
        let third = recycler.plain(published("3"), false);
        assert_eq!((held.body(), third.body()), (&b"1"[..], &b"3"[..]));
        assert!(!third.came_back());
    }

    #[test]
    fn one_that_is_done_leaves_its_memory_to_the_next() {
        let mut recycler = Recycler::default();
        let first = recycler.plain(published("1"), false);
        let place = Arc::as_ptr(&first.inner);
        let second = recycler.plain(published("2"), false);
        assert_eq!(Arc::as_ptr(&second.inner), place);
        recycler.clear();
        assert!(recycler.last.is_none());
    }

    #[test]
    fn a_delivery_of_ones_own_is_as_new_in_the_memory_of_the_last() {
        let mut recycler = Recycler::default();
        let first = recycler.delivery(Message::new("1"));
        first.set_address("exchange", "key");
        first.set_redelivered();
        assert_eq!((first.exchange(), first.routing_key()), ("exchange", "key"));
        assert!(first.came_back());
        let place = Arc::as_ptr(&first.inner);
        let second = recycler.delivery(Message::new("2"));
        assert_eq!(Arc::as_ptr(&second.inner), place);
        assert_eq!((second.exchange(), second.routing_key()), ("", ""));
        assert!(!second.came_back());
        let held = second.clone();
        let third = recycler.delivery(Message::new("3"));
        assert_eq!((held.body(), third.body()), (&b"2"[..], &b"3"[..]));
    }
}
