//! The broker of a test.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::TestApp;
use crate::{
    app::Queue,
    memory::MemoryBroker,
    publisher::BrokerUrl,
    rabbit::RabbitUrl,
    stage::{Stage, given::Given},
    testing::{
        director::{Director, OnRabbit},
        place::{Described, OnGround, Place},
    },
};

/// Names the RabbitMQ of all tests.
pub(super) const URL: &str = "PLOOMBY_TESTING_URL";

/// A broker of one test.
#[derive(Debug)]
pub(in crate::testing) struct OwnBroker(pub(in crate::testing) MemoryBroker);

/// A RabbitMQ for a test.
#[derive(Debug)]
pub(super) struct OwnRabbit {
    /// As the test gave it.
    url: RabbitUrl,
    /// The same, for what is part of the test.
    named: String,
    stage: Given,
}

/// What a test may run on.
pub(super) struct Brokers {
    pub(super) own: OwnBroker,
    pub(super) rabbit: Option<OwnRabbit>,
}

impl TestApp {
    /// Runs the test on the RabbitMQ at this URL, `amqp://…` or `amqps://…`. Without it, the environment variable
    /// `PLOOMBY_TESTING_URL` does so for all tests, and where there is none, they run on the embedded broker.
    ///
    /// What it is like there, and what is refused, stands [here](crate::testing#on-rabbitmq). What asks for
    /// [`url`](Self::url) comes after it.
    ///
    /// ```no_run
    /// # use ploomby::{HandlerRegistry, Outcome, Queue, testing::TestApp};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let handlers = HandlerRegistry::new().register("charge", async |_: u64| {});
    /// # let app = TestApp::with(handlers).queue(Queue::new("billing"));
    /// let app = app.on("amqp://localhost/tests").start().await;
    /// app.send("billing", "charge", &100).await.handled("charge").once();
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// With a URL of no RabbitMQ, and in a [simulation](crate::testing::simulate), which needs the embedded broker.
    #[track_caller]
    pub fn on(mut self, url: &str) -> Self {
        assert!(
            !self.is_simulated,
            "a simulation runs on the embedded broker, since nobody can have RabbitMQ lose a confirm when it should: \
             leave `on` out"
        );
        let parsed = match BrokerUrl::parse(url) {
            Ok(BrokerUrl::Rabbit(url)) => url,
            Ok(BrokerUrl::Memory(_)) => panic!(
                "a test has an embedded broker of its own: `on`, or `{URL}`, names a RabbitMQ by `amqp://…`"
            ),
            Err(error) => panic!("the RabbitMQ of the test: {error}"),
        };
        let stage = Given::new(Stage::set(Arc::new(self.director.clone())));
        let named = stage.named_by(url.trim());
        self.app = self.app.at(named.clone());
        self.rabbit = Some(OwnRabbit {
            url: parsed,
            named,
            stage,
        });
        self
    }

    /// Runs the test on the embedded broker, whatever the environment says: for one that RabbitMQ
    /// [cannot have](crate::testing#on-rabbitmq), such as with retries of hours.
    pub fn embedded(mut self) -> Self {
        self.rabbit = None;
        let url = self.url();
        self.app = self.app.at(url);
        self
    }

    /// The URL of the test's broker, for what connects by itself, such as an
    /// [`RpcClient`](crate::RpcClient) in the state. It means nothing once the test is over.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.rabbit {
            Some(rabbit) => rabbit.named.clone(),
            None => format!("memory://{}", self.broker.0.name()),
        }
    }
}

/// Prepares a broker for the app.
pub(super) async fn place(
    Brokers { own, rabbit }: Brokers,
    app: Described<'_>,
    director: &Director,
) -> Place {
    let Some(rabbit) = rabbit else {
        for queue in app.foreign {
            declare(&own.0, queue);
        }
        return Place::Embedded(own);
    };
    let (tell, makes) = mpsc::unbounded_channel();
    director.is_on_rabbit(OnRabbit {
        model: own.0.clone(),
        consumed: app.consumed.clone(),
        limit: app.limit,
        makes: tell,
    });
    let prepared = app.prepare(&own.0, rabbit.url, director, makes);
    match prepared.await {
        Ok(ground) => Place::Rabbit(OnGround {
            ground,
            url: rabbit.named,
            _stage: rabbit.stage,
            _model: own,
        }),
        Err(error) => panic!("the test does not start on RabbitMQ: {error}"),
    }
}

fn declare(broker: &MemoryBroker, queue: &Queue) {
    let Queue { name, options, .. } = queue;
    let declared = broker.declare_queue(name, options.arguments.iter().cloned());
    let wiring = match (declared, options.wiring()) {
        (Ok(()), Ok(wiring)) => wiring,
        (Err(error), _) => panic!("queue `{name}` of another program: {error}"),
        (_, Err(error)) => panic!("queue `{name}` of another program: {error}"),
    };
    if let Err(error) = broker.wire_queue(name, &wiring) {
        panic!("queue `{name}` of another program: {error}");
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        self.0.forget();
    }
}
