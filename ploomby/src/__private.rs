//! What the code that `#[handler]` writes calls. Not part of the public interface.

use std::future::Future;
pub use std::{marker::PhantomData, result::Result};

pub use inventory;

pub use crate::{
    delivery::Delivery,
    extract::{
        Argument, Free, Requirements, Slot,
        lent::{LentArgument, LentPlace},
        place::Place,
        sort::{IsSorted, Sort},
    },
    handler::{
        BatchSizeValue, BatchWaitValue, ConcurrencyValue, Description, HandlerOptions, LayerValue,
        LinkedHandler, LinkedKey, OrderedByValue, QueueValue, RetryValue, TimeoutValue,
        returned::{Decides, Replies, Return, Returned, ReturnedError},
    },
    layer::{HandlerFuture, start},
    outcome::Failure,
    reply::Answer,
};

#[cfg(feature = "garde")]
pub use crate::extract::rules::{Check, Rules};

/// Methods with names that nothing of the user's has: which there is, a type decides.
pub mod by_type {
    #[cfg(feature = "garde")]
    pub use crate::extract::rules::{OfItemsKind as _, OfPayloadKind as _, UnruledKind as _};
    pub use crate::{
        extract::sort::{BothSort as _, OneSort as _},
        handler::returned::{DecidesKind as _, RepliesKind as _, Whole as _},
    };
}

/// The handler at work. That it can be sent to another thread is asked for here, so that the error
/// is about the handler and not about what is around it; and the compiler need not look inside
/// again.
pub fn run_on_any_thread<F>(handler: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send,
{
    handler
}
