//! Exchanges and bindings on a broker that comes and goes.

use std::future::Future;
use std::pin::pin;

use futures_util::future::poll_immediate;
use ploomby::{Exchange, HandlerRegistry, KeySource, Publisher, Queue};
use ploomby_tests::{Bed, Cut, DEADLINE, Direction, Handled, Method, Seen, eventually, seen};

use crate::proxied;

fn noting(seen: &'static Seen) -> HandlerRegistry {
    HandlerRegistry::new().register_default(move |number: u32| async move {
        seen.note(number.to_string());
    })
}

/// Sends until it is wanted, and says that it came.
async fn arrives(publisher: &Publisher, events: &Exchange, handled: &mut Handled) {
    eventually(DEADLINE, async || {
        let event = publisher.through(events, "order.placed").payload(&7);
        event.send().await.is_ok()
    })
    .await;
    assert_eq!(handled.next_note().await, "7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_leads_to_a_queue_is_declared_again_after_a_lost_connection() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let events = Exchange::topic(bed.exchange_name());
            let (seen, mut handled) = seen();
            let queue = Queue::new(bed.queue_name())
                .key(KeySource::RoutingKey)
                .consumers(2)
                .bind(&events, "order.#");
            let app = Bed::start_at(&url, queue, noting(seen)).await;
            let publisher = Publisher::connect(bed.url()).await.unwrap();
            arrives(&publisher, &events, &mut handled).await;
            proxy.refuse();
            proxy.cut();
            bed.delete_exchange(events.name()).await;
            proxy.accept();
            arrives(&publisher, &events, &mut handled).await;
            app.shut_down().await.unwrap();
        })
        .await;
}

/// Cuts when the method comes by more often than that, and says whether it did.
fn more_than(
    proxy: &ploomby_tests::Proxy,
    method: Method,
    times: usize,
) -> impl Future<Output = ()> + use<> {
    proxy.cut_when(Cut::behind(Direction::ToBroker, method).nth(times + 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_that_start_together_declare_each_exchange_once() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            for (method, times) in [(Method::EXCHANGE_DECLARE, 2), (Method::QUEUE_BIND, 3)] {
                let (proxy, url) = proxied().await;
                let mut is_more = pin!(more_than(&proxy, method, times));
                let unwanted = Exchange::fanout(bed.exchange_name());
                let events = Exchange::topic(bed.exchange_name()).alternate(&unwanted);
                let (seen, mut handled) = seen();
                let queue = Queue::new(bed.queue_name())
                    .key(KeySource::RoutingKey)
                    .consumers(4)
                    .bind(&events, "order.#")
                    .bind(&events, "user.#")
                    .bind(&unwanted, "");
                let app = Bed::start_at(&url, queue, noting(seen)).await;
                let publisher = Publisher::connect(bed.url()).await.unwrap();
                arrives(&publisher, &events, &mut handled).await;
                assert!(
                    poll_immediate(is_more.as_mut()).await.is_none(),
                    "{method:?}"
                );
                app.shut_down().await.unwrap();
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_that_the_broker_does_not_know_is_a_refusal_and_no_lost_connection() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let unknown = Exchange::of_type(bed.exchange_name(), "x-nobody-has-it");
            let error = bed
                .refused(Queue::new(bed.queue_name()).bind(&unknown, "a"))
                .await;
            for part in [unknown.name(), "x-nobody-has-it"] {
                assert!(error.contains(part), "{error}");
            }
            assert!(!error.contains("was lost"), "{error}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_is_consumed_also_if_its_exchange_is_of_another_type_after_a_lost_connection() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let events = Exchange::topic(bed.exchange_name());
            let (seen, mut handled) = seen();
            let name = bed.queue_name();
            let queue = Queue::new(&name)
                .key(KeySource::RoutingKey)
                .bind(&events, "order.#");
            let app = Bed::start_at(&url, queue, noting(seen)).await;
            let publisher = Publisher::connect(bed.url()).await.unwrap();
            arrives(&publisher, &events, &mut handled).await;
            proxy.refuse();
            proxy.cut();
            bed.delete_exchange(events.name()).await;
            let theirs = Exchange::fanout(events.name());
            publisher.declare(&theirs).await.unwrap();
            proxy.accept();
            publisher
                .to(&name)
                .key("any")
                .payload(&8)
                .send()
                .await
                .unwrap();
            assert_eq!(handled.next_note().await, "8");
            let health = app.health();
            let unwired = health.queues()[0].unwired().unwrap().to_string();
            assert!(unwired.contains(events.name()), "{unwired}");
            assert!(!health.is_healthy());
            assert!(
                health
                    .to_string()
                    .contains("1 of 1 consuming; not bound for"),
                "{health}"
            );
            // it is tried again every half a minute
            bed.delete_exchange(events.name()).await;
            eventually(3 * DEADLINE, async || health.is_healthy()).await;
            arrives(&publisher, &events, &mut handled).await;
            app.shut_down().await.unwrap();
        })
        .await;
}
