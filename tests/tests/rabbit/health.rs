//! What [`Health`] says, of RabbitMQ and of a source of the test's own.

use std::time::Duration;

use ploomby::{
    App, ConsumerError, Dispatcher, HandlerRegistry, Health, KeySource, MessageConsumer,
    MessageConsumerFactory, MessageConsumerRegistry, Queue, Value,
};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, rabbit_with};
use tokio::sync::{Semaphore, mpsc};

use crate::proxied;

/// What is wrong shows within this time.
const SOON: Duration = Duration::from_secs(5);

fn nothing() -> HandlerRegistry {
    HandlerRegistry::new().register("nothing", || async {})
}

async fn becomes(health: &Health, healthy: bool, within: Duration) {
    eventually(within, async || health.is_healthy() == healthy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_shows_until_the_queue_is_consumed_again() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            let app = App::new(url)
                .handlers(nothing())
                .queue(Queue::new(&queue).consumers(2))
                .start()
                .await
                .unwrap();
            let health = app.health();
            assert!(health.is_healthy(), "{health}");
            assert_eq!(health.to_string(), format!("{queue}: 2 of 2 consuming"));
            proxy.refuse();
            proxy.cut();
            becomes(&health, false, SOON).await;
            eventually(DEADLINE, async || health.queues()[0].consuming() == 0).await;
            let now = &health.queues()[0];
            assert_eq!((now.queue(), now.consumers()), (queue.as_str(), 2));
            assert_eq!(now.not_consuming().len(), 2);
            let since = now.not_consuming()[0].since();
            // the reason is that of the last try, the time that of the first
            eventually(DEADLINE, async || {
                let now = health.queues()[0].not_consuming()[0].clone();
                now.since() == since && now.reason().contains("cannot connect")
            })
            .await;
            assert!(!health.to_string().contains("guest@"), "{health}");
            proxy.accept();
            becomes(&health, true, DEADLINE).await;
            app.shut_down().await.unwrap();
            assert!(!health.is_healthy());
            assert!(health.to_string().contains("shut down"), "{health}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_gone_shows_while_the_connection_lives() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let app = bed.start(&queue, nothing()).await;
            let health = app.health();
            // what keeps the consumer from coming back
            let dead_letters = format!("{queue}_dlq");
            bed.delete(&dead_letters).await;
            bed.declare(&dead_letters, &[("x-message-ttl", Value::I32(60_000))])
                .await;
            bed.delete(&queue).await;
            becomes(&health, false, SOON).await;
            eventually(DEADLINE, async || {
                health.to_string().contains("exists with other arguments")
            })
            .await;
            bed.delete(&dead_letters).await;
            becomes(&health, true, DEADLINE).await;
            app.shut_down().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_not_confirmed_shows_until_it_is() {
    let rabbit = rabbit_with("").await;
    let eval = async |expression: &str| {
        let mut command = rabbit.rabbitmqctl().unwrap();
        let output = command.args(["eval", expression]).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
            let handlers = HandlerRegistry::new().register("fail", move || async move {
                gate.acquire().await.unwrap().forget();
                Err::<(), _>(anyhow::anyhow!("on purpose"))
            });
            let app = bed.start(&queue, handlers).await;
            let health = app.health();
            for _ in 0..2 {
                bed.send(&queue, "fail", "").await;
            }
            // the alarm makes the broker stop reading from whoever publishes
            eval("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []}).").await;
            // the first message of a connection is still taken
            gate.add_permits(1);
            bed.dead_letter(&queue).await;
            gate.add_permits(1);
            becomes(&health, false, SOON * 2).await;
            let now = &health.queues()[0];
            assert_eq!(now.consuming(), 1, "{now}");
            let trouble = now.copies().expect("it is what is wrong");
            assert!(trouble.reason().contains("not confirmed"), "{trouble}");
            eval("rabbit_alarm:clear_alarm({resource_limit, memory, node()}).").await;
            becomes(&health, true, DEADLINE).await;
            bed.dead_letter(&queue).await;
            app.shut_down().await.unwrap();
        })
        .await;
}

/// A source that is told what to report.
struct Told(Option<mpsc::UnboundedReceiver<Report>>);

enum Report {
    Gone(&'static str),
    Back,
    Failed,
    Panicked,
}

impl MessageConsumer for Told {
    async fn connect(&mut self, _: &Dispatcher) -> Result<(), ConsumerError> {
        Ok(())
    }

    async fn consume(&mut self, dispatcher: Dispatcher) -> Result<(), ConsumerError> {
        let mut reports = self.0.take().unwrap();
        while let Some(report) = reports.recv().await {
            match report {
                Report::Gone(reason) => dispatcher.not_consuming(reason),
                Report::Back => dispatcher.consuming(),
                Report::Failed => return Err(ConsumerError::new("no more")),
                Report::Panicked => panic!("on purpose"),
            }
        }
        Ok(())
    }

    async fn disconnect(&mut self) {}
}

struct ToldFactory(std::sync::Mutex<Vec<mpsc::UnboundedReceiver<Report>>>);

impl MessageConsumerFactory for ToldFactory {
    type Consumer = Told;
    type Options = ();

    fn create(&self, _: &str, (): &()) -> Result<Told, ConsumerError> {
        Ok(Told(self.0.lock().unwrap().pop()))
    }
}

#[tokio::test]
async fn a_source_of_ones_own_reports_as_rabbitmq_does() {
    let (reports, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| mpsc::unbounded_channel()).unzip();
    let factory = ToldFactory(std::sync::Mutex::new(receivers));
    let mut consumers = MessageConsumerRegistry::new(nothing(), factory);
    let health = consumers.health();
    consumers
        .register("told", KeySource::header(KEY), 4, ())
        .await
        .unwrap();
    let consuming = async |count: usize| {
        eventually(SOON, async || health.queues()[0].consuming() == count).await;
    };
    assert_eq!(health.to_string(), "told: 4 of 4 consuming");
    reports[0].send(Report::Gone("the line is dead")).unwrap();
    consuming(3).await;
    assert_eq!(
        health.to_string(),
        "told: 3 of 4 consuming; not consuming for 0 s: the line is dead"
    );
    reports[0].send(Report::Back).unwrap();
    consuming(4).await;
    assert!(health.is_healthy());
    reports[1].send(Report::Failed).unwrap();
    consuming(3).await;
    reports[2].send(Report::Panicked).unwrap();
    consuming(2).await;
    drop(reports);
    consuming(0).await;
    let text = health.to_string();
    assert!(text.contains("no more"), "{text}");
    assert!(text.contains("a consumer panicked: on purpose"), "{text}");
    assert_eq!(text.matches("the consumer has ended").count(), 2, "{text}");
}
