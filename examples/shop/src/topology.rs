//! The exchange and the queues.

use ploomby::{Exchange, OrderBy, Queue};

/// Whoever wants to know what happens to orders binds a queue to it.
pub(crate) fn events() -> Exchange {
    Exchange::topic("shop")
}

pub(crate) fn queues() -> [Queue; 4] {
    let events = events();
    [
        // quorum queues are replicated; the others may be lost with their node
        Queue::new("billing").quorum().bind(&events, "order.placed"),
        // what a customer gets is in order, whichever handler writes it
        Queue::new("mail")
            .quorum()
            .bind(&events, "order.paid")
            .ordered_by(OrderBy::field("customer")),
        // a batch of 100 needs as many messages at hand
        Queue::new("analytics")
            .bind(&events, "order.*")
            .prefetch(200),
        // asked by calls, which do not outlive their caller
        Queue::new("stock"),
    ]
}
