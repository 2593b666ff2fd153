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
    Peers,
}

pub(crate) const SOCKET: &str = "socket";
pub(crate) const EACH: &str = "amqprs-each";
pub(crate) const HELD: &str = "amqprs-held";
pub(crate) const PLOOMBY: &str = "ploomby";

/// Those that are measured more often, to be compared.
pub(crate) const CLOSE: [&str; 3] = [PLOOMBY, HELD, EACH];

pub(crate) const MANNERS: [Manner; 9] = [
    consume(SOCKET, "a bare socket that splits frames (the limit)"),
    consume(PLOOMBY, "ploomby"),
    consume(HELD, "amqprs, acks held until half the window or 1 ms"),
    consume("amqprs-at-hand", "amqprs, one ack for all at hand"),
    consume(EACH, "amqprs, one ack a message"),
    peer("lapin-at-hand", "lapin 4, one ack for all at hand"),
    peer("lapin-each", "lapin 4, one awaited ack a message"),
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
