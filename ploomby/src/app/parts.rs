//! What an app is made of, for whoever looks at it without running it.

use std::sync::Arc;

use super::{App, Error, Queue};
use crate::{
    brake::Checks,
    consumer::{RegisterError, check_dispatcher},
    dispatcher::Dispatcher,
    handler::HandlerRegistry,
    publisher::{BrokerUrl, BrokerUrlError, Publisher, Recorder},
    settle::ConsumerError,
};

impl App {
    /// The queues that it consumes.
    pub(crate) fn consumed(&self) -> Vec<Queue> {
        let is_consumed = |queue: &&Queue| {
            let only = self.only.as_ref();
            only.is_none_or(|only| only.contains(&queue.name))
        };
        let mut queues: Vec<_> = self.queues.iter().filter(is_consumed).cloned().collect();
        for queue in &mut queues {
            queue.options.declare.get_or_insert(self.declare);
        }
        queues
    }

    /// The handlers of those queues.
    pub(crate) fn registry(&self) -> HandlerRegistry {
        let handlers = self.handlers.clone();
        let handlers = handlers.unwrap_or_else(HandlerRegistry::linked);
        match &self.only {
            Some(only) => handlers.only(only),
            None => handlers,
        }
    }

    /// What it is, without what it does.
    #[cfg(feature = "admin")]
    pub(crate) fn described(&self) -> Result<super::Described, Error> {
        Ok(super::Described {
            name: self.name().map(str::to_owned),
            queues: self.consumed(),
            handlers: self.registry(),
            url: self.broker()?,
        })
    }

    /// Name and version.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The broker, as far as the URL names it.
    pub(crate) fn url(&self) -> Result<BrokerUrl, BrokerUrlError> {
        BrokerUrl::parse(&self.url)
    }

    /// What keeps it from starting, as far as that is known without a broker and without state.
    pub(crate) fn faults(&self) -> Vec<Error> {
        let (queues, handlers) = (self.consumed(), self.registry());
        let mut faults = Vec::new();
        for name in self.only.iter().flatten() {
            if !self.queues.iter().any(|queue| queue.name == *name) {
                faults.push(Error::UnknownQueue(name.clone()));
            }
        }
        if queues.is_empty() {
            faults.push(Error::NoQueue);
        }
        let names: Vec<_> = queues.iter().map(|queue| queue.name.as_str()).collect();
        faults.extend(self.check_handlers_of(&names, &handlers).err());
        for queue in &queues {
            faults.extend(self.check_queue(queue, &handlers).err().map(Error::from));
        }
        faults
    }

    fn check_queue(&self, queue: &Queue, handlers: &HandlerRegistry) -> Result<(), RegisterError> {
        let described = queue.options.companions(&queue.name);
        described
            .and_then(|_| queue.options.wiring())
            .map_err(|error| RegisterError::Connect {
                queue: queue.name.clone(),
                error: ConsumerError::new(error),
            })?;
        let mut policy = queue.options.policy(queue.consumers);
        policy.braking.checks = Checks::named(self.checks.iter());
        let key = queue.key.reader()?;
        let dispatcher = Dispatcher::new(&queue.name, key, handlers, policy, Arc::default());
        check_dispatcher(&dispatcher, queue.consumers)
    }

    /// Makes its state, and what runs the handlers of each queue. Nothing is consumed, and what the handlers send by the
    /// publisher that they take goes to `recorder`.
    pub(crate) async fn dispatchers(
        mut self,
        recorder: &Recorder,
    ) -> Result<Vec<Dispatcher>, Error> {
        let (queues, handlers) = (self.consumed(), self.registry());
        self.check_handlers(&handlers)?;
        self.make_state().await?;
        let publisher = match self.state.get::<Publisher>() {
            Some(own) => own.clone().recorded(recorder),
            None => Publisher::to_recorder(recorder).of_app(self.name.clone()),
        };
        self.state.insert(publisher);
        let state = Arc::new(self.state);
        let dispatchers = queues.into_iter().map(|queue| {
            let mut policy = queue.options.policy(queue.consumers);
            policy.app.clone_from(&self.name);
            policy.layers.extend(&self.layers);
            let key = queue.key.reader().map_err(RegisterError::from)?;
            Ok(Dispatcher::new(
                &queue.name,
                key,
                &handlers,
                policy,
                state.clone(),
            ))
        });
        dispatchers.collect()
    }

    /// The broker, for a program that starts: how long it is waited for.
    pub(super) fn broker_of_start(&self) -> Result<BrokerUrl, Error> {
        let limit = self.wait_for_broker;
        Ok(match (self.broker()?, limit) {
            (BrokerUrl::Rabbit(url), Some(limit)) => BrokerUrl::Rabbit(url.waiting(limit)),
            (url, _) => url,
        })
    }

    /// The broker, with who asks for the password.
    pub(crate) fn broker(&self) -> Result<BrokerUrl, Error> {
        Ok(
            match (BrokerUrl::parse(&self.url)?, self.credentials.clone()) {
                (BrokerUrl::Rabbit(url), Some(ask)) => BrokerUrl::Rabbit(url.asking(ask)),
                (url, _) => url,
            },
        )
    }
}
