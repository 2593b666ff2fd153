use std::{any::type_name, ops::Deref};

use thiserror::Error;

use super::{Requirements, part::DeliveryPart};
use crate::delivery::Delivery;

/// What the program gave by [`App::state`](crate::App::state): a pool of connections, a client, its
/// settings.
///
/// Each message gets a clone, so that what is not cheap to clone belongs into an `Arc`. Several
/// types can be given, one value of each. A handler that takes a type which was not given keeps the
/// program from starting, with an error that names the handler and where it stands.
///
/// ```standalone_crate
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
/// use ploomby::{App, Queue, extract::State};
///
/// #[derive(Clone, Default)]
/// struct Visits(Arc<AtomicU64>);
///
/// #[ploomby::handler("visit")]
/// async fn visit(State(visits): State<Visits>) {
///     visits.0.fetch_add(1, Ordering::Relaxed);
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// let running = App::new("memory://state-example")
///     .state(Visits::default())
///     .queue(Queue::new("visits"))
///     .start()
///     .await?;
/// running.shut_down().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State<T>(pub T);

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T> DeliveryPart<'d> for State<T>
where
    T: Clone + Send + Sync + 'static,
{
    type Rejection = MissingState;

    const IS_OF_MESSAGE: bool = false;

    fn part(delivery: &'d Delivery) -> Result<Self, MissingState> {
        match delivery.state() {
            Some(state) => Ok(Self(T::clone(state))),
            None => Err(MissingState::of::<T>()),
        }
    }

    fn require(requirements: &mut Requirements) {
        requirements.state::<T>();
    }
}

/// The program gave no state of this type.
#[derive(Debug, Error)]
#[error(
    "there is no state of type `{0}`: give it by `App::state`, or by `MessageConsumerRegistry::state`"
)]
pub struct MissingState(&'static str);

impl MissingState {
    pub(crate) fn of<T>() -> Self {
        Self(type_name::<T>())
    }
}
