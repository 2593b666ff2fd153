//! Tests of handlers that run on RabbitMQ.

use std::{
    env,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use amqprs::{
    BasicProperties,
    channel::{
        BasicPublishArguments, Channel, ExchangeDeclareArguments, QueueDeclareArguments,
        QueueDeleteArguments,
    },
    connection::Connection,
};
use futures_util::FutureExt;
use ploomby::{
    Exchange, HandlerRegistry, Outcome, Publisher, Queue, Retry,
    extract::State,
    testing::{TestApp, simulate},
};
use ploomby_tests::{rabbit, unique_name};
use tokio::process::Command;

const HOUR: Duration = Duration::from_secs(60 * 60);

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u64>>>);

async fn fail(_: u64) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}

async fn see(number: u64, State(seen): State<Seen>) {
    seen.0.lock().unwrap().push(number);
}

/// A test of one queue with this handler.
async fn failing(queue: Queue) -> TestApp {
    let handlers = HandlerRegistry::new().register("fail", fail);
    TestApp::with(handlers)
        .queue(queue)
        .on(rabbit().await.url())
}

/// What a future panics with.
async fn panic_of<T>(failing: impl Future<Output = T>) -> String {
    let failed = AssertUnwindSafe(failing).catch_unwind().await;
    let Err(panic) = failed else {
        panic!("it does not fail");
    };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast_ref::<&str>().unwrap()).to_owned(),
    }
}

struct Raw(Connection);

impl Raw {
    async fn connect() -> Self {
        Self(rabbit().await.connect().await.unwrap())
    }

    async fn channel(&self) -> Channel {
        self.0.open_channel(None).await.unwrap()
    }

    async fn declare(&self, queue: &str) {
        let declare = QueueDeclareArguments::durable_client_named(queue);
        self.channel().await.queue_declare(declare).await.unwrap();
    }

    /// As tests do, one at a time.
    async fn takes_turn(&self) -> bool {
        let mut declare = QueueDeclareArguments::new("ploomby.testing.turn");
        declare.exclusive(true);
        self.channel().await.queue_declare(declare).await.is_ok()
    }

    async fn publish(&self, queue: &str, body: &str) {
        let to = BasicPublishArguments::new("", queue);
        let channel = self.channel().await;
        let publish = channel.basic_publish(BasicProperties::default(), body.into(), to);
        publish.await.unwrap();
        // the broker has it once it answers this
        self.has_queue(queue).await;
    }

    async fn has_queue(&self, queue: &str) -> bool {
        let mut look = QueueDeclareArguments::new(queue);
        look.passive(true);
        self.channel().await.queue_declare(look).await.is_ok()
    }

    async fn has_exchange(&self, exchange: &str) -> bool {
        let mut look = ExchangeDeclareArguments::new(exchange, "topic");
        look.passive(true);
        self.channel().await.exchange_declare(look).await.is_ok()
    }

    async fn delete(&self, queue: &str) {
        let delete = QueueDeleteArguments::new(queue);
        self.channel().await.queue_delete(delete).await.unwrap();
    }
}

#[tokio::test]
async fn a_queue_that_no_test_has_made_is_not_touched() {
    let (raw, queue) = (Raw::connect().await, unique_name("precious"));
    raw.declare(&queue).await;
    raw.publish(&queue, "precious").await;
    let said = panic_of(failing(Queue::new(&queue)).await.start()).await;
    let expected = format!(
        "the test does not start on RabbitMQ: queue `{queue}` is on the broker already, with 1 message, and no test has \
         made it. A test does not touch what is not its own: delete it if it means nothing, or give the tests a virtual \
         host of their own, as `rabbitmqctl add_vhost` makes it"
    );
    assert_eq!(said, expected);
    assert!(raw.has_queue(&queue).await);
    raw.delete(&queue).await;
}

#[tokio::test]
async fn an_exchange_that_no_test_has_made_is_not_touched() {
    let (raw, exchange) = (Raw::connect().await, unique_name("events"));
    let declare = ExchangeDeclareArguments::new(&exchange, "topic");
    raw.channel().await.exchange_declare(declare).await.unwrap();
    let queue = Queue::new(unique_name("q")).bind(&Exchange::topic(&exchange), "#");
    let said = panic_of(failing(queue).await.start()).await;
    let expected =
        format!("exchange `{exchange}` is on the broker already, and no test has made it");
    assert!(said.contains(&expected), "{said}");
    assert!(raw.has_exchange(&exchange).await);
}

#[tokio::test]
async fn a_queue_beside_that_no_test_has_made_is_not_touched() {
    let (raw, queue) = (Raw::connect().await, unique_name("q"));
    let (retried, delayed) = (format!("{queue}_retry_50ms"), format!("{queue}_delay_70ms"));
    let kept = [retried.as_str(), &delayed];
    for queue in kept {
        raw.declare(queue).await;
        raw.publish(queue, "precious").await;
    }
    let expected = |queue| format!("queue `{queue}` is on the broker already, and no test has");
    let retry = Retry::fixed(2, Duration::from_millis(50));
    let said = panic_of(failing(Queue::new(&queue).retry(retry)).await.start()).await;
    assert!(said.contains(&expected(&retried)), "{said}");
    // one that is made while the test runs
    let app = failing(Queue::new(&queue)).await.start().await;
    let sent = app.send_with(|publisher| {
        let message = publisher.to(&queue).key("fail").payload(&1);
        message.delay(Duration::from_millis(70))
    });
    let said = panic_of(sent).await;
    assert!(said.contains(&expected(&delayed)), "{said}");
    drop(app);
    for queue in kept {
        assert!(raw.has_queue(queue).await, "{queue}");
        raw.delete(queue).await;
    }
    assert!(!raw.has_queue(&queue).await);
}

#[tokio::test]
async fn an_exchange_that_a_handler_makes_is_removed_unless_it_was_there() {
    let raw = Raw::connect().await;
    let (queue, made, kept) = (unique_name("q"), unique_name("made"), unique_name("kept"));
    let tell = async |name: String, publisher: Publisher| {
        publisher.declare(&Exchange::topic(name)).await?;
        anyhow::Ok(())
    };
    let declare = ExchangeDeclareArguments::new(&kept, "topic");
    raw.channel().await.exchange_declare(declare).await.unwrap();
    let app = TestApp::with(HandlerRegistry::new().register("tell", tell))
        .queue(Queue::new(&queue))
        .on(rabbit().await.url())
        .start()
        .await;
    app.send(&queue, "tell", &made).await.handled("tell").once();
    assert!(raw.has_exchange(&made).await);
    let said = panic_of(app.send(&queue, "tell", &kept)).await;
    let expected = format!("exchange `{kept}` is on the broker already, and no test has made it");
    assert!(said.starts_with(&expected), "{said}");
    drop(app);
    assert!(!raw.has_exchange(&made).await);
    assert!(raw.has_exchange(&kept).await);
}

/// The queue, its retry queue, that of a delay, its dead letters, the one of another program, and the exchange.
#[tokio::test]
async fn nothing_is_left_of_a_test_also_if_it_fails() {
    let raw = Raw::connect().await;
    let (queue, foreign, exchange) = (
        unique_name("q"),
        unique_name("foreign"),
        unique_name("events"),
    );
    let retry = Retry::fixed(2, Duration::from_millis(50));
    let events = Exchange::topic(&exchange);
    let test = failing(Queue::new(&queue).retry(retry).bind(&events, "#")).await;
    let app = test.foreign_queue(Queue::new(&foreign)).start().await;
    let run = app.send_with(|publisher| {
        let message = publisher.to(&queue).key("fail").payload(&1);
        message.delay(Duration::from_millis(70))
    });
    run.await
        .handled("fail")
        .attempts(2)
        .outcome(Outcome::DeadLetter);
    app.dead_letters(&queue).once().error("not yet");
    let made = [
        queue.clone(),
        format!("{queue}_retry_50ms"),
        format!("{queue}_delay_70ms"),
        format!("{queue}_dlq"),
        foreign.clone(),
        "ploomby.testing.made".to_owned(),
    ];
    for queue in &made {
        assert!(raw.has_queue(queue).await, "{queue}");
    }
    assert!(raw.has_exchange(&exchange).await);
    let failing_test = async {
        let app = app;
        app.dead_letters(&queue).none();
    };
    let said = panic_of(failing_test).await;
    assert!(said.contains("1 was dead-lettered, not 0"), "{said}");
    for queue in &made[..5] {
        assert!(!raw.has_queue(queue).await, "{queue}");
    }
    assert!(!raw.has_exchange(&exchange).await);
}

#[tokio::test]
async fn what_a_killed_test_has_left_is_removed_by_the_next_one() {
    let (killed, queue) = (Raw::connect().await, unique_name("left"));
    while !killed.takes_turn().await {
        tokio::task::yield_now().await;
    }
    killed.declare(&queue).await;
    killed.publish(&queue, "left").await;
    killed.declare("ploomby.testing.made").await;
    let written = format!("queue {queue}\nexchange no-such-exchange");
    killed.publish("ploomby.testing.made", &written).await;
    drop(killed);
    let app = failing(Queue::new(&queue)).await.start().await;
    app.run().await.handled("fail").never();
    drop(app);
    assert!(!Raw::connect().await.has_queue(&queue).await);
}

#[tokio::test]
async fn tests_take_turns_on_a_broker() {
    let queue = unique_name("q");
    let url = rabbit().await.url();
    let test = async |number: u64| {
        let seen = Seen::default();
        let app = TestApp::with(HandlerRegistry::new().register("see", see))
            .state(seen.clone())
            .queue(Queue::new(&queue))
            .on(url)
            .start()
            .await;
        app.send(&queue, "see", &number).await.handled("see").once();
        assert_eq!(*seen.0.lock().unwrap(), [number]);
    };
    tokio::join!(test(1), test(2), test(3));
}

#[tokio::test]
async fn time_that_would_take_too_long_is_refused() {
    let queue = unique_name("q");
    let options = Queue::new(&queue).retry(Retry::fixed(3, HOUR));
    let app = failing(options).await.start().await;
    let said = panic_of(app.send(&queue, "fail", &1)).await;
    assert!(said.starts_with("something waits for "), "{said}");
    assert!(
        said.contains("takes real time on RabbitMQ, and a run may take 10s: "),
        "{said}"
    );
    assert!(said.contains("TestApp::embedded"), "{said}");
    assert!(
        said.contains("attempt 1, testing::on_rabbit::fail: retry in 1h"),
        "{said}"
    );
    let said = panic_of(app.advance(HOUR)).await;
    assert!(
        said.starts_with("a test cannot wait for 3600s on RabbitMQ, where time is real: "),
        "{said}"
    );
}

#[tokio::test]
async fn what_is_beyond_the_horizon_is_left_where_it_waits() {
    let queue = unique_name("q");
    let options = Queue::new(&queue).retry(Retry::delays([Duration::from_millis(300), HOUR]));
    let test = failing(options).await.horizon(Duration::from_secs(5));
    let app = test.start().await;
    let run = app.send(&queue, "fail", &1).await;
    run.handled("fail").attempts(2).outcome(Outcome::Retry);
    assert_eq!(app.waiting(&queue), 1);
    app.advance(Duration::from_millis(100))
        .await
        .handled("fail")
        .never();
}

#[tokio::test]
async fn a_message_that_never_comes_fails_the_test_by_its_id() {
    let queue = unique_name("q");
    let handlers =
        HandlerRegistry::new().register("hang", async |_: u64| std::future::pending::<()>().await);
    let app = TestApp::with(handlers)
        .queue(Queue::new(&queue).handler_concurrency(1))
        .limit(Duration::from_secs(1))
        .on(rabbit().await.url())
        .start()
        .await;
    app.put(&queue, "hang", &1).await;
    app.put(&queue, "hang", &2).await;
    let said = panic_of(app.run()).await;
    assert!(
        said.starts_with("the run does not end within 1s of real time; at work: "),
        "{said}"
    );
    assert!(
        said.contains("; message ") && said.contains(&queue),
        "{said}"
    );
}

#[tokio::test]
async fn a_message_that_nobody_takes_is_no_longer_waited_for() {
    let queue = unique_name("q");
    let events = Exchange::topic(unique_name("events"));
    let name = events.name().to_owned();
    let tell = async |number: u64, State(name): State<String>, publisher: Publisher| {
        let event = publisher.through(&name, "nobody").payload(&number);
        event.send().await
    };
    let app = TestApp::with(HandlerRegistry::new().register("tell", tell))
        .state(name)
        .queue(Queue::new(&queue).bind(&events, "somebody"))
        .on(rabbit().await.url())
        .start()
        .await;
    let run = app.send(&queue, "tell", &1).await;
    run.handled("tell").once().error("no binding");
}

#[test]
#[should_panic(expected = "a simulation runs on the embedded broker")]
fn a_simulation_on_rabbitmq_is_refused() {
    simulate(0..1, async || {
        let _ = TestApp::with(HandlerRegistry::new()).on("amqp://localhost");
    });
}

#[test]
#[should_panic(expected = "names a RabbitMQ by `amqp://…`")]
fn a_test_on_an_embedded_broker_of_another_name_is_refused() {
    let _ = TestApp::with(HandlerRegistry::new()).on("memory://shop");
}

/// Runs itself once more, in a process whose environment has the variable.
#[tokio::test]
async fn the_environment_brings_all_tests_to_rabbitmq() {
    const NAME: &str = "on_rabbit::the_environment_brings_all_tests_to_rabbitmq";

    if env::var_os("PLOOMBY_TESTING_URL").is_none() {
        let again = Command::new(env::current_exe().unwrap())
            .args(["--exact", NAME])
            .env("PLOOMBY_TESTING_URL", rabbit().await.url())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&again.stdout).into_owned();
        assert!(
            again.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let (queue, seen) = (unique_name("q"), Seen::default());
    let test = || {
        TestApp::with(HandlerRegistry::new().register("see", see))
            .state(seen.clone())
            .queue(Queue::new(&queue))
    };
    assert!(test().url().starts_with("amqp://"));
    assert!(test().embedded().url().starts_with("memory://"));
    let app = test().start().await;
    app.send(&queue, "see", &7).await.handled("see").once();
    assert_eq!(*seen.0.lock().unwrap(), [7]);
    // where faults can be had
    simulate_in_a_thread();
}

fn simulate_in_a_thread() {
    let run = || {
        simulate(0..3, async || {
            let handlers = HandlerRegistry::new().register("fail", fail);
            let test = TestApp::with(handlers).queue(Queue::new("q"));
            assert!(test.url().starts_with("memory://"));
        });
    };
    std::thread::spawn(run).join().unwrap();
}
