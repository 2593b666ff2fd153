use std::{future::Future, marker::PhantomData, pin::pin, sync::Arc};

use crate::{
    delivery::Delivery,
    extract::{Argument, Free, Place, Requirements, Slot, extracting::AllExtracted},
    layer::{HandlerFuture, start},
    reply::IntoOutcome,
};

/// An async function that can be registered by hand: up to eight owned arguments, at most one of
/// them a payload. It is implemented for functions; there is no need to implement it.
///
/// `M` is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler",
    note = "a handler is an async function of at most eight owned arguments: one payload that is \
            `serde::Deserialize`, and extractors",
    note = "it returns `()`, an `Outcome`, a `ploomby::Reply`, or a `Result` of one of these",
    note = "put `#[ploomby::handler]` on it to be told which argument or return value is wrong"
)]
pub trait HandlerFunction<M>: Send + Sync + 'static {
    /// Decodes the arguments and calls the function.
    #[doc(hidden)]
    fn call(self: &Arc<Self>, delivery: Delivery) -> HandlerFuture;

    /// What the arguments need from the program.
    #[doc(hidden)]
    fn require(requirements: &mut Requirements);

    /// The type of what goes back to who asked.
    #[doc(hidden)]
    fn reply_type() -> Option<&'static str>;
}

/// For each argument its type, its kind, and whether the payload was seen before and after it.
macro_rules! function {
    ($($argument:ident $kind:ident $before:ident $after:ident),*) => {
        #[allow(non_snake_case, unused_variables)]
        impl<F, Fut, $($argument, $kind, $after,)*>
            HandlerFunction<(fn($($argument,)*) -> Fut, $($kind, $after,)*)> for F
        where
            F: Fn($($argument),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output: IntoOutcome> + Send + 'static,
            $(
                $argument: for<'d> Argument<'d, $kind> + Send,
                $before: Slot<$kind, After = $after>,
            )*
        {
            fn call(self: &Arc<Self>, delivery: Delivery) -> HandlerFuture {
                let function = self.clone();
                start(delivery, move |delivery| {
                    let function = function.clone();
                    async move {
                        $(let mut $kind = Place::<$argument>::empty();)*
                        let arguments = [$($argument::extract(&delivery, &mut $kind)),*];
                        AllExtracted::or_tried(arguments, &delivery).await?;
                        $(let $argument = $kind.take();)*
                        pin!(function($($argument),*))
                            .await
                            .into_answer(&delivery)
                    }
                })
            }

            fn require(requirements: &mut Requirements) {
                $(<$argument as Argument<'_, $kind>>::require(PhantomData, PhantomData, requirements);)*
            }

            fn reply_type() -> Option<&'static str> {
                <Fut::Output as IntoOutcome>::reply_type()
            }
        }
    };
}

function!();
function!(A K Free S);
function!(A K Free S, B L S T);
function!(A K Free S, B L S T, C M T U);
function!(A K Free S, B L S T, C M T U, D N U V);
function!(A K Free S, B L S T, C M T U, D N U V, E O V W);
function!(A K Free S, B L S T, C M T U, D N U V, E O V W, G P W X);
function!(A K Free S, B L S T, C M T U, D N U V, E O V W, G P W X, H Q X Y);
function!(A K Free S, B L S T, C M T U, D N U V, E O V W, G P W X, H Q X Y, I R Y Z);
