//! Which arguments there are, for the compiler to keep them apart and to count payloads.

use std::marker::PhantomData;

/// Arguments that implement `serde::Deserialize`.
#[derive(Debug)]
pub enum Payload {}

/// Arguments by reference, whose references implement `serde::Deserialize`.
#[derive(Debug)]
pub enum Borrowed {}

/// Arguments that are parts of the delivery, and there at once.
#[derive(Debug)]
pub enum Part {}

/// Arguments that implement [`FromDelivery`](super::FromDelivery).
#[derive(Debug)]
pub enum Extractor {}

/// `Option` of a part or an extractor.
#[derive(Debug)]
pub struct Optional<Kind>(PhantomData<Kind>);

/// `Result` of a part or an extractor.
#[derive(Debug)]
pub struct Tried<Kind>(PhantomData<Kind>);

/// How an argument is made that a variable can own: all kinds but [`Borrowed`].
pub trait OwnedKind {}

impl OwnedKind for Payload {}
impl OwnedKind for Part {}
impl OwnedKind for Extractor {}
impl<Kind> OwnedKind for Optional<Kind> {}
impl<Kind> OwnedKind for Tried<Kind> {}

/// Counts payloads at compile time: what the arguments so far leave room for.
#[diagnostic::on_unimplemented(
    message = "a handler takes one payload",
    label = "the second payload of this handler",
    note = "a message has one body: take one type that holds both, or implement \
            `ploomby::extract::FromDelivery` for what comes from elsewhere"
)]
pub trait Slot<Kind> {
    /// The room that is left after an argument of this kind.
    type After;

    /// Takes the room that the argument needs.
    fn fill(self, kind: PhantomData<fn() -> Kind>) -> Self::After;
}

/// No payload so far.
#[derive(Debug)]
pub struct Free;

/// There is a payload already.
#[derive(Debug)]
pub struct Taken;

#[diagnostic::do_not_recommend]
impl Slot<Payload> for Free {
    type After = Taken;

    fn fill(self, _: PhantomData<fn() -> Payload>) -> Taken {
        Taken
    }
}

#[diagnostic::do_not_recommend]
impl Slot<Borrowed> for Free {
    type After = Taken;

    fn fill(self, _: PhantomData<fn() -> Borrowed>) -> Taken {
        Taken
    }
}

macro_rules! leave_room {
    ($(($($parameter:ident)?) $kind:ty),+) => {$(
        leave_room!(Free ($($parameter)?) $kind);
        leave_room!(Taken ($($parameter)?) $kind);
    )+};
    ($slot:ident ($($parameter:ident)?) $kind:ty) => {
        #[diagnostic::do_not_recommend]
        impl<$($parameter)?> Slot<$kind> for $slot {
            type After = $slot;

            fn fill(self, _: PhantomData<fn() -> $kind>) -> $slot {
                self
            }
        }
    };
}

leave_room!(() Part, () Extractor, (K) Optional<K>, (K) Tried<K>);
