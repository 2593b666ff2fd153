/// A way to consume.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    /// As its program knows it.
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) program: Program,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Consume,
    Produce,
    Peers,
}

pub(crate) const SOCKET: &str = "socket";
pub(crate) const EACH: &str = "amqprs-each";
pub(crate) const HELD: &str = "amqprs-held";
pub(crate) const PLOOMBY: &str = "ploomby";
pub(crate) const AMQPRS_SPAWNED: &str = "amqprs-spawned";
pub(crate) const LAPIN_SPAWNED: &str = "lapin-spawned";
pub(crate) const LAPIN_EACH: &str = "lapin-each";
pub(crate) const LAPIN_PRODUCE: &str = "lapin-produce";

/// Those that are measured more often, to be compared.
pub(crate) const CLOSE: [&str; 3] = [PLOOMBY, HELD, EACH];

/// With a task for each message, as where handlers wait.
pub(crate) const SPAWNED: [Manner; 3] = [
    consume(PLOOMBY, "ploomby"),
    consume(AMQPRS_SPAWNED, "amqprs, a task a message"),
    peer(LAPIN_SPAWNED, "lapin 4, a task a message"),
];

/// With an ack for each message, as where handlers compute.
pub(crate) const INLINE: [Manner; 3] = [
    consume(PLOOMBY, "ploomby"),
    consume(EACH, "amqprs, one ack a message"),
    peer(LAPIN_EACH, "lapin 4, one awaited ack a message"),
];

/// Many queues.
pub(crate) const QUEUES: [Manner; 3] = [
    consume(PLOOMBY, "ploomby"),
    consume("amqprs-queues", "amqprs, by hand"),
    peer("lapin-queues", "lapin 4, by hand"),
];

/// Those that publish.
pub(crate) const PRODUCERS: [Manner; 3] = [
    produce(PLOOMBY, "ploomby"),
    produce("amqprs", "amqprs, confirms counted"),
    peer(LAPIN_PRODUCE, "lapin 4, confirms awaited"),
];

pub(crate) const MANNERS: [Manner; 9] = [
    consume(SOCKET, "a bare socket that splits frames (the limit)"),
    consume(PLOOMBY, "ploomby"),
    consume(HELD, "amqprs, acks held until half the window or 1 ms"),
    consume("amqprs-at-hand", "amqprs, one ack for all at hand"),
    consume(EACH, "amqprs, one ack a message"),
    peer("lapin-at-hand", "lapin 4, one ack for all at hand"),
    peer(LAPIN_EACH, "lapin 4, one awaited ack a message"),
    peer("rust-rabbit", "rust-rabbit 1.2, on lapin 3"),
    peer("ruststream", "RustStream 0.7, on lapin 4"),
];

const fn consume(id: &'static str, name: &'static str) -> Manner {
    Manner {
        id,
        name,
        program: Program::Consume,
    }
}

const fn produce(id: &'static str, name: &'static str) -> Manner {
    Manner {
        id,
        name,
        program: Program::Produce,
    }
}

const fn peer(id: &'static str, name: &'static str) -> Manner {
    Manner {
        id,
        name,
        program: Program::Peers,
    }
}

pub(crate) fn find(id: &str) -> &'static Manner {
    let manner = MANNERS.iter().find(|manner| manner.id == id);
    manner.expect("the name of a manner is one of the constants")
}
