use crate::random::Random;

/// A queue, by what it is to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The one that is consumed.
    Work,
    /// Others, that hold what they are given.
    Left,
    Right,
    /// There is none.
    Nowhere,
}

/// What a handler does with a message at one of its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Succeed,
    Fail,
    FailForGood,
    Panic,
    DeadLetter,
    Discard,
    Retry,
    /// Unless it came back already.
    Requeue,
    /// Sends the message on.
    Forward(Place),
    ForwardVerbatim(Place),
    /// Sends the message to its own queue once more, after a while.
    Later,
}

/// What names the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Known,
    Unknown,
    None,
}

#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) number: u32,
    pub(crate) to: Place,
    pub(crate) key: Key,
    pub(crate) acts: Vec<Act>,
    pub(crate) decodes: bool,
    pub(crate) delay: Option<u64>,
    pub(crate) expiration: Option<u64>,
    pub(crate) cc: Vec<Place>,
    pub(crate) bcc: Vec<Place>,
    pub(crate) has_died: bool,
    pub(crate) transient: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Publishes one after the other, and waits until all are done.
    Publish(Vec<Sent>),
    /// The program stops, messages come, and it starts again.
    WhileStopped(Vec<Sent>),
    /// The connection of the program is cut while nothing is done.
    Cut,
    Delete(Place),
    Declare(Place),
    /// A message is delayed, and its queue is gone when its time comes.
    Gone(Sent),
    Take(Place),
}

/// What limits the queue `Left`. With a limit, only what is published one after the other goes there: of messages
/// that come from handlers, nobody knows which is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    None,
    Length(i32),
    Ttl(i32),
    /// Some of its messages expire.
    Expiration,
}

#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) attempts: u32,
    pub(crate) is_quorum: bool,
    pub(crate) one_at_a_time: bool,
    pub(crate) limit: Limit,
    /// Of the queue `Left`.
    pub(crate) dies_to_right: bool,
    pub(crate) dies_by_key: bool,
    pub(crate) steps: Vec<Step>,
}

impl Program {
    pub(crate) fn random(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let mut numbers = 0;
        let count = 2 + random.below(5);
        let limit = match random.below(10) {
            0 | 1 => Limit::Length(random.one_of(&[0, 1, 3])),
            2 => Limit::Ttl(150),
            3 => Limit::Expiration,
            _ => Limit::None,
        };
        let steps = (0..count).map(|_| step(random, limit, &mut numbers));
        let steps = steps.collect();
        Self {
            attempts: random.one_of(&[1, 2, 3]),
            is_quorum: random.percent(30),
            one_at_a_time: random.percent(30),
            limit,
            dies_to_right: random.percent(60),
            dies_by_key: random.percent(70),
            steps,
        }
    }

    /// Whether what is in a queue may be gone a moment later.
    pub(crate) fn expires(&self) -> bool {
        matches!(self.limit, Limit::Ttl(_) | Limit::Expiration)
    }
}

fn step(random: &mut Random, limit: Limit, numbers: &mut u32) -> Step {
    let mut burst = |random: &mut Random| {
        let count = 1 + random.below(5);
        (0..count).map(|_| sent(random, limit, numbers)).collect()
    };
    match random.below(20) {
        0 | 1 => Step::WhileStopped(burst(random)),
        2 | 3 => Step::Cut,
        4 => Step::Delete(random.one_of(&[Place::Left, Place::Right, Place::Work])),
        5 => Step::Declare(random.one_of(&[Place::Left, Place::Right])),
        6 if limit == Limit::None => {
            let mut gone = sent(random, limit, numbers);
            gone.to = Place::Left;
            gone.delay = Some(2_000);
            gone.cc.clear();
            gone.bcc.clear();
            Step::Gone(gone)
        }
        7 => Step::Take(random.one_of(&[Place::Left, Place::Right])),
        _ => Step::Publish(burst(random)),
    }
}

fn sent(random: &mut Random, limit: Limit, numbers: &mut u32) -> Sent {
    *numbers += 1;
    let to = match random.below(10) {
        0..=5 => Place::Work,
        6 | 7 => Place::Left,
        8 => Place::Right,
        _ => Place::Nowhere,
    };
    let acts: Vec<_> = (0..3).map(|_| act(random, limit)).collect();
    // a publisher looks for the queue of a delayed message when it sends the first one
    let may_wait = matches!(to, Place::Work | Place::Nowhere);
    let delay = (may_wait && random.percent(20)).then(|| random.one_of(&[60, 120]));
    let may_expire = limit == Limit::Expiration && to == Place::Left;
    let expiration = (may_expire && random.percent(50)).then_some(100);
    // RabbitMQ 3 takes `CC` off what was delayed, so that it counts no more as the message is sent on
    let sends = |act: &Act| matches!(act, Act::Forward(_) | Act::ForwardVerbatim(_) | Act::Later);
    let may_copy = expiration.is_none() && !acts.iter().any(sends);
    let copies = |random: &mut Random| match may_copy && random.percent(15) {
        true => vec![random.one_of(&[Place::Work, Place::Left, Place::Right, Place::Nowhere])],
        false => Vec::new(),
    };
    let (cc, bcc) = (copies(random), copies(random));
    Sent {
        number: *numbers,
        to,
        key: match random.below(20) {
            0 => Key::Unknown,
            1 => Key::None,
            _ => Key::Known,
        },
        acts,
        decodes: !random.percent(5),
        delay,
        expiration,
        // RabbitMQ 3 believes this of whoever says it: a copy in another queue might go in a circle
        has_died: cc.is_empty() && bcc.is_empty() && random.percent(10),
        cc,
        bcc,
        transient: random.percent(10),
    }
}

fn act(random: &mut Random, limit: Limit) -> Act {
    match random.below(24) {
        11..=13 if limit != Limit::None => Act::Fail,
        0..=3 => Act::Fail,
        4 => Act::FailForGood,
        5 => Act::Panic,
        6 => Act::DeadLetter,
        7 => Act::Discard,
        8 | 9 => Act::Retry,
        10 => Act::Requeue,
        11 | 12 => Act::Forward(random.one_of(&[Place::Left, Place::Right, Place::Nowhere])),
        13 => Act::ForwardVerbatim(random.one_of(&[Place::Left, Place::Right])),
        14 | 15 => Act::Later,
        _ => Act::Succeed,
    }
}
