use std::{pin::Pin, sync::Arc};

use super::{Lost, events::ChannelEvents, inbox::Inbox, tags::OddTag};
use crate::{
    dispatcher::Dispatcher,
    rabbit::{acknowledger::RabbitAcknowledger, connection::Link},
};

/// The way back to the broker.
#[derive(Clone, Copy)]
pub(super) struct Wire<'a> {
    pub(super) acknowledger: &'a Arc<RabbitAcknowledger>,
    pub(super) events: &'a ChannelEvents,
    pub(super) link: &'a Link,
}

impl Wire<'_> {
    /// While a dispatch waits for a handler to finish, what is settled meanwhile is acknowledged, and what comes is
    /// looked at. Says whether it is done, rather than stopped by the beginning of the shutdown.
    pub(super) async fn is_started(
        self,
        mut dispatching: Pin<&mut impl Future<Output = ()>>,
        dispatcher: &Dispatcher,
        inbox: &mut Inbox,
    ) -> Result<bool, Lost> {
        let mut may_come = true;
        loop {
            // cancel safety: `dispatching` goes on, or was not started; the others lose nothing
            tokio::select! {
                biased;
                () = &mut dispatching => return Ok(true),
                () = self.acknowledger.settled() => self.flush().await?,
                () = self.events.ended() => return Err(self.lost()),
                () = dispatcher.stopped() => return Ok(false),
                came = inbox.receive_ahead(), if may_come => {
                    may_come = came.map_err(|odd| self.odd(&odd))?;
                    self.set_aside(inbox, dispatcher);
                }
            }
        }
    }

    pub(super) async fn flush(self) -> Result<(), Lost> {
        // cancel safety: what was not sent is held back still
        tokio::select! {
            biased;
            flushed = self.acknowledger.flush() => {
                flushed.map_err(|error| Lost(error.to_string()))
            }
            // a connection that does not write any more does not take frames for ever either
            () = self.events.ended() => Err(self.lost()),
        }
    }

    /// Moves what must not wait to where it is handled alone.
    pub(super) fn set_aside(self, inbox: &mut Inbox, dispatcher: &Dispatcher) {
        let Some(near) = inbox.near_the_limit() else {
            return;
        };
        if !self.acknowledger.may_set_aside() {
            return inbox.keep(near);
        }
        for mut message in near {
            // half a message stays with the broker until the channel ends
            if let Some((delivery, tag)) = dispatcher.recycler().wire(&mut message) {
                dispatcher.set_aside(delivery.clone(), tag, self.acknowledger.clone());
            }
        }
    }

    /// Nothing of this session reaches the broker any more.
    pub(super) fn lost(self) -> Lost {
        self.acknowledger.lose();
        Lost(match self.events.closed() {
            Some(closed) => closed.to_string(),
            None => match self.link.condition().ended() {
                Some(ended) => ended.to_string(),
                None => "the connection was lost".to_owned(),
            },
        })
    }

    pub(super) fn odd(self, odd: &OddTag) -> Lost {
        self.acknowledger.lose();
        Lost(odd.to_string())
    }
}
