//! What the code that `#[handler]` writes calls. Not part of the public interface.

use std::future::Future;
pub use std::marker::PhantomData;

pub use inventory;

pub use crate::{
    __ploomby_link as link,
    delivery::Delivery,
    extract::{
        Argument, Free, Requirements, Slot,
        extracting::AllExtracted,
        lent::{LentArgument, LentPlace},
        place::Place,
        sort::{IsSorted, Sort},
    },
    handler::{
        BatchSizeValue, BatchWaitValue, BrakeValue, ConcurrencyValue, Description, HandlerOptions,
        LayerValue, LinkedHandler, LinkedKey, NeedsValue, OrderedByValue, QueueValue, Rate,
        RateValue, RetryValue, TimeoutValue, UnavailableIfValue,
        returned::{Return, ReturnType, never},
    },
    layer::HandlerFuture,
    outcome::Failure,
};

#[cfg(feature = "garde")]
pub use crate::extract::rules::{Check, Rules};
#[cfg(feature = "asyncapi")]
pub use crate::extract::schemas::Schemas;
#[cfg(feature = "testing")]
pub use crate::testing::run_test;

mod link;

/// Methods with names that nothing of the user's has: which there is, a type decides.
pub mod by_type {
    #[cfg(feature = "garde")]
    pub use crate::extract::rules::{OfItemsKind as _, OfPayloadKind as _, UnruledKind as _};
    #[cfg(feature = "asyncapi")]
    pub use crate::{
        extract::schemas::{DescribedSchema as _, UndescribedSchema as _},
        handler::returned::reply_schema::{
            NoSchema as _, RepliesSchema as _, TriesSchema as _, TriesTwiceSchema as _,
        },
    };
    pub use crate::{
        extract::sort::{AnyKind as _, BothSort as _, OneSort as _},
        handler::returned::{
            DecidesKind as _, HidesKind as _, RepliesKind as _, TriesKind as _, TriesTwiceKind as _,
        },
    };
}

/// Ends what is to see whether a message fits its handler.
///
/// # Errors
///
/// For such a message.
#[inline]
pub fn end_trial(delivery: &Delivery) -> Result<(), Failure> {
    delivery.end_trial()
}

/// The handler at work. That it can be sent to another thread is asked for here, so that the error
/// is about the handler and not about what is around it; and the compiler need not look inside
/// again.
///
/// Without optimization each move of a future is a copy on the stack: there it is moved once, to the heap.
pub fn run_on_any_thread<F>(handler: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send,
{
    #[cfg(debug_assertions)]
    let handler = Box::pin(handler);
    handler
}
