//! What the program says of itself, and gives its handlers.

use std::any::TypeId;

use futures_util::future::BoxFuture;
use http::Extensions;

use super::{App, Error};
use crate::{layer::HandlerLayer, trace::Trace};

/// State that is made when the program starts.
pub(super) struct LazyState {
    type_id: TypeId,
    make: Box<dyn FnOnce() -> Making + Send>,
}

type Making = BoxFuture<'static, Result<Insert, Box<dyn std::error::Error + Send + Sync>>>;

/// Puts what was made beside the other state.
type Insert = Box<dyn FnOnce(&mut Extensions) + Send>;

impl LazyState {
    pub(super) fn type_id(&self) -> TypeId {
        self.type_id
    }
}

impl App {
    /// Says what program this is: `name/version` stands in the header `ploomby-app` of its dead letters, and of the
    /// messages that its handlers send, so that tools tell one build from another.
    ///
    /// ```
    /// use ploomby::App;
    ///
    /// let app = App::new("memory://named-example")
    ///     .named(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    /// ```
    pub fn named(mut self, name: &str, version: &str) -> Self {
        self.name = Some(format!("{name}/{version}").into());
        self
    }

    /// How the messages of all queues are traced that do not say so themselves: see [`Queue::trace`](crate::Queue::trace).
    pub fn trace(mut self, trace: Trace) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Gives the handlers a value that they take as [`State`](crate::extract::State): one of each
    /// type, of which each message gets a clone.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    /// The same with a value that is made when the program starts, such as a connection to a database. What only
    /// looks, such as a command about handlers or dead letters, does not make it.
    ///
    /// ```
    /// use ploomby::{App, HandlerRegistry, Queue, extract::State};
    ///
    /// #[derive(Clone)]
    /// struct Database;
    ///
    /// async fn connect() -> std::io::Result<Database> {
    ///     Ok(Database)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// let handlers = HandlerRegistry::new().register("save", async |State(_): State<Database>| {});
    /// let running = App::new("memory://state-with-example")
    ///     .state_with(connect)
    ///     .handlers(handlers)
    ///     .queue(Queue::new("orders"))
    ///     .start()
    ///     .await?;
    /// running.shut_down().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// An error keeps the program from starting: [`Error::State`].
    pub fn state_with<T, Fut, E>(mut self, make: impl FnOnce() -> Fut + Send + 'static) -> Self
    where
        T: Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.lazy_state.push(LazyState {
            type_id: TypeId::of::<T>(),
            make: Box::new(|| {
                let making = make();
                Box::pin(async {
                    let state = making.await.map_err(Into::into)?;
                    let insert: Insert = Box::new(|states| {
                        states.insert(state);
                    });
                    Ok(insert)
                })
            }),
        });
        self
    }

    /// Puts a `tower::Layer` around the handlers of each queue, and around the layers that are there
    /// already. A limit of the layer's counts for each queue; one for all together is a layer that
    /// shares it, such as `tower::limit::GlobalConcurrencyLimitLayer`.
    pub fn layer(mut self, layer: impl HandlerLayer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Makes what is to be there when handlers run.
    pub(super) async fn make_state(&mut self) -> Result<(), Error> {
        for lazy in self.lazy_state.drain(..) {
            let insert = (lazy.make)().await.map_err(Error::State)?;
            insert(&mut self.state);
        }
        Ok(())
    }
}
