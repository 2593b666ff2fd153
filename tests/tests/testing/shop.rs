//! A shop: billing, mail and analytics behind a topic exchange, with retries, an order for each customer, a batch, a
//! reminder later and a call to another program. Each test runs on the embedded broker, and unchanged on RabbitMQ.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use ploomby::{
    App, Exchange, Outcome, Publisher, Queue, Reason, Reply, Retry, RpcClient,
    extract::{Batch, State},
    testing::{TestApp, TestRunning, simulate},
};
use ploomby_tests::rabbit;
use serde::{Deserialize, Serialize};

/// How long the bank may be closed: on RabbitMQ, that takes as long.
const CLOSED: Duration = Duration::from_secs(1);

/// After how long a customer is asked how it was.
const LATER: Duration = Duration::from_secs(4);

/// The same tests on both brokers.
macro_rules! on_both {
    ($($test:ident)*) => {
        mod embedded {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::On::Embedded).await;
            })*
        }

        mod on_rabbit {
            $(#[tokio::test]
            async fn $test() {
                let rabbit = super::rabbit().await;
                super::$test(super::On::Rabbit(rabbit.url())).await;
            })*
        }
    };
}

on_both! {
    an_order_is_charged_and_all_are_told
    a_bank_that_is_closed_for_a_while_is_asked_again
    a_bank_that_is_closed_for_good_leaves_a_dead_letter
    letters_to_a_customer_come_in_their_order
    analytics_count_what_is_there_in_batches
    a_reminder_comes_later_and_not_before
    a_quote_asks_another_program_for_the_stock
    a_handler_is_replaced_for_a_test_of_the_others
    what_nobody_handles_is_a_dead_letter
    an_order_that_cannot_be_read_is_a_dead_letter
    an_order_is_charged_again_after_a_crash
    many_orders_leave_nothing_behind
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: String,
    cents: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Letter {
    customer: String,
    text: String,
}

/// Fails so often, then takes money.
#[derive(Clone, Default)]
struct Bank {
    failures: Arc<AtomicU32>,
    taken: Arc<Mutex<Vec<u64>>>,
}

/// What was written down.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<Vec<String>>>);

impl Bank {
    fn failing(times: u32) -> Self {
        let bank = Self::default();
        bank.failures.store(times, Relaxed);
        bank
    }

    fn take(&self, order: &Order) -> anyhow::Result<()> {
        let fails = |left: u32| left.checked_sub(1);
        anyhow::ensure!(
            self.failures.fetch_update(Relaxed, Relaxed, fails).is_err(),
            "the bank is closed"
        );
        self.taken.lock().unwrap().push(order.id);
        Ok(())
    }
}

impl Ledger {
    fn write(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[ploomby::handler("order_placed", queue = "billing", retry = Retry::fixed(3, CLOSED))]
async fn charge(
    order: Order,
    State(bank): State<Bank>,
    publisher: Publisher,
) -> anyhow::Result<()> {
    bank.take(&order)?;
    let letter = |text: &str| Letter {
        customer: order.customer.clone(),
        text: text.to_owned(),
    };
    publisher.send("mail", "letter", &letter("paid")).await?;
    publisher
        .to("mail")
        .key("letter")
        .payload(&letter("how was it?"))
        .delay(LATER)
        .send()
        .await?;
    let event = publisher.through("shop.events", "order.eu.paid");
    event.key("order_paid").payload(&order).send().await?;
    Ok(())
}

#[ploomby::handler("letter", queue = "mail", ordered_by = ploomby::OrderBy::field("customer"))]
async fn post(letter: Letter, State(ledger): State<Ledger>) {
    // those of others may come in between
    tokio::task::yield_now().await;
    ledger.write(format!("{}: {}", letter.customer, letter.text));
}

#[ploomby::handler(
    "order_placed",
    "order_paid",
    queue = "analytics",
    batch_size = 4,
    batch_wait = "1s"
)]
async fn count(orders: Batch<Order>, State(ledger): State<Ledger>) {
    let mut ids: Vec<_> = orders.iter().map(|order| order.id).collect();
    ids.sort_unstable();
    ledger.write(format!("{ids:?}"));
}

#[ploomby::handler("quote", queue = "sales")]
async fn quote(order: Order, State(client): State<RpcClient>) -> anyhow::Result<u64> {
    let in_stock: bool = client.call("stock", "reserve", &order.id).await?;
    anyhow::ensure!(in_stock, "sold out");
    Ok(order.cents)
}

fn order(id: u64, customer: &str) -> Order {
    Order {
        id,
        customer: customer.to_owned(),
        cents: 100 * id,
    }
}

/// The program, as its `main` makes it.
fn app(url: &str) -> App {
    let events = Exchange::topic("shop.events");
    App::new(url)
        .queue(Queue::new("billing").bind(&events, "order.*.placed"))
        .queue(Queue::new("mail"))
        .queue(Queue::new("analytics").bind(&events, "order.#"))
        .queue(Queue::new("sales"))
}

/// Where a test runs.
#[derive(Clone, Copy)]
enum On {
    Embedded,
    Rabbit(&'static str),
}

async fn start(on: On, bank: &Bank, ledger: &Ledger) -> TestRunning {
    start_by(on, bank, ledger, |test| test).await
}

async fn start_by(
    on: On,
    bank: &Bank,
    ledger: &Ledger,
    more: impl FnOnce(TestApp) -> TestApp,
) -> TestRunning {
    let test = TestApp::of(app("amqp://shop.example"));
    // other tests of this program have handlers, too
    let test = test.only(["billing", "mail", "analytics", "sales"]);
    let test = match on {
        On::Embedded => test.embedded(),
        On::Rabbit(url) => test.on(url),
    };
    let client = RpcClient::connect(&test.url()).await.unwrap();
    let test = test.state(bank.clone()).state(ledger.clone()).state(client);
    more(test).start().await
}

async fn an_order_is_charged_and_all_are_told(on: On) {
    let (bank, ledger) = (Bank::default(), Ledger::default());
    let app = start(on, &bank, &ledger).await;
    let run = app
        .publish(
            "shop.events",
            "order.eu.placed",
            "order_placed",
            &order(7, "ada"),
        )
        .await;
    // in the queue of billing alone, for in that of analytics the message is the same, and counts as well
    run.handled("order_placed").times(2).outcome(Outcome::Ack);
    let paid = Letter {
        customer: "ada".to_owned(),
        text: "paid".to_owned(),
    };
    run.sent::<Letter>("mail")
        .times(2)
        .with(&paid)
        .delayed(LATER);
    run.sent_through::<Order>("shop.events")
        .once()
        .with(&order(7, "ada"));
    run.handled("letter").times(2);
    assert_eq!(*bank.taken.lock().unwrap(), [7]);
    // both events as one batch, a while after the first; the other letter later
    assert_eq!(ledger.lines(), ["ada: paid", "[7, 7]", "ada: how was it?"]);
    app.dead_letters("billing").none();
}

async fn a_bank_that_is_closed_for_a_while_is_asked_again(on: On) {
    let (bank, ledger) = (Bank::failing(1), Ledger::default());
    let app = start(on, &bank, &ledger).await;
    let run = app.send("billing", "order_placed", &order(1, "ada")).await;
    run.handled("order_placed")
        .once()
        .attempts(2)
        .error("the bank is closed")
        .outcome(Outcome::Ack);
    assert_eq!(*bank.taken.lock().unwrap(), [1]);
}

async fn a_bank_that_is_closed_for_good_leaves_a_dead_letter(on: On) {
    let (bank, ledger) = (Bank::failing(u32::MAX), Ledger::default());
    let app = start(on, &bank, &ledger).await;
    let run = app.send("billing", "order_placed", &order(1, "ada")).await;
    run.handled("order_placed")
        .attempts(3)
        .outcome(Outcome::DeadLetter);
    run.sent::<Letter>("mail").none();
    let letters = app.dead_letters("billing").once();
    let letters = letters.reason(Reason::HandlerError).error("closed");
    assert_eq!(letters.payloads::<Order>(), [order(1, "ada")]);
}

async fn letters_to_a_customer_come_in_their_order(on: On) {
    let (bank, ledger) = (Bank::default(), Ledger::default());
    let app = start(on, &bank, &ledger).await;
    for number in 0..20_u64 {
        let customer = ["ada", "grace"][usize::from(number % 3 == 0)].to_owned();
        let text = number.to_string();
        app.put("mail", "letter", &Letter { customer, text }).await;
    }
    app.run().await.handled("letter").times(20);
    for customer in ["ada", "grace"] {
        let lines = ledger.lines().into_iter();
        let texts = lines.filter_map(|line| {
            let (to, text) = line.split_once(": ")?;
            (to == customer).then(|| text.parse::<u64>().unwrap())
        });
        assert!(texts.is_sorted(), "{:?}", ledger.lines());
    }
}

async fn analytics_count_what_is_there_in_batches(on: On) {
    let (bank, ledger) = (Bank::default(), Ledger::default());
    let app = start(on, &bank, &ledger).await;
    for id in 1..=6 {
        app.put("analytics", "order_paid", &order(id, "ada")).await;
    }
    app.run().await.handled("order_paid").times(6);
    // a full one, and what is left once it has waited long enough
    assert_eq!(ledger.lines(), ["[1, 2, 3, 4]", "[5, 6]"]);
}

async fn a_reminder_comes_later_and_not_before(on: On) {
    let (bank, ledger) = (Bank::default(), Ledger::default());
    let app = start_by(on, &bank, &ledger, |test| test.horizon(Duration::ZERO)).await;
    let run = app.send("billing", "order_placed", &order(1, "ada")).await;
    run.handled("letter").once();
    assert_eq!(app.waiting("mail"), 1);
    app.advance(LATER / 4).await.handled("letter").never();
    app.advance(LATER).await.handled("letter").once();
    assert_eq!(app.waiting("mail"), 0);
    assert_eq!(ledger.lines(), ["ada: paid", "[1]", "ada: how was it?"]);
}

async fn a_quote_asks_another_program_for_the_stock(on: On) {
    let (bank, ledger) = (Bank::default(), Ledger::default());
    let app = start_by(on, &bank, &ledger, |test| {
        test.stub("stock", "reserve", async |id: u64| Reply(id != 13))
    })
    .await;
    let run = app.call("sales", "quote", &order(2, "ada")).await;
    assert_eq!(run.reply::<u64>(), 200);
    run.handled("reserve").once();
    let run = app.call("sales", "quote", &order(13, "ada")).await;
    assert!(
        run.call_error().to_string().contains("handler-error"),
        "{}",
        run.call_error()
    );
    app.dead_letters("sales").once().error("sold out");
}

async fn a_handler_is_replaced_for_a_test_of_the_others(on: On) {
    let (bank, ledger) = (Bank::default(), Ledger::default());
    let app = start_by(on, &bank, &ledger, |test| {
        test.stub("billing", "order_placed", async |_: Order| Outcome::Discard)
    })
    .await;
    let run = app.send("billing", "order_placed", &order(1, "ada")).await;
    run.handled("order_placed").once().outcome(Outcome::Discard);
    run.sent::<Letter>("mail").none();
    assert!(bank.taken.lock().unwrap().is_empty());
}

async fn what_nobody_handles_is_a_dead_letter(on: On) {
    let app = start(on, &Bank::default(), &Ledger::default()).await;
    let run = app.send("mail", "parcel", &1).await;
    run.handled("parcel")
        .once()
        .reason(Reason::UnknownKey)
        .outcome(Outcome::DeadLetter);
    app.dead_letters("mail").once().reason(Reason::UnknownKey);
}

async fn an_order_that_cannot_be_read_is_a_dead_letter(on: On) {
    let app = start(on, &Bank::default(), &Ledger::default()).await;
    let run = app.send("billing", "order_placed", &"seven").await;
    run.handled("order_placed")
        .attempts(1)
        .reason(Reason::Undecodable);
    app.dead_letters("billing")
        .once()
        .reason(Reason::Undecodable);
}

async fn an_order_is_charged_again_after_a_crash(on: On) {
    let (bank, ledger) = (Bank::failing(1), Ledger::default());
    let app = start_by(on, &bank, &ledger, |test| test.horizon(Duration::ZERO)).await;
    let run = app.send("billing", "order_placed", &order(1, "ada")).await;
    run.handled("order_placed").once().outcome(Outcome::Retry);
    // it waits in the broker, which does not crash
    app.crash().await.handled("order_placed").never();
    let run = app.advance(CLOSED).await;
    run.handled("order_placed").once().outcome(Outcome::Ack);
    assert_eq!(*bank.taken.lock().unwrap(), [1]);
}

async fn many_orders_leave_nothing_behind(on: On) {
    let (bank, ledger) = (Bank::failing(5), Ledger::default());
    let app = start(on, &bank, &ledger).await;
    for id in 1..=50 {
        app.put("billing", "order_placed", &order(id, "ada")).await;
    }
    let run = app.run().await;
    run.handled("order_placed").times(50).outcome(Outcome::Ack);
    run.handled("letter").times(100);
    for queue in ["billing", "mail", "analytics", "sales"] {
        assert_eq!(app.waiting(queue), 0, "{queue}");
        app.dead_letters(queue).none();
    }
    assert_eq!(bank.taken.lock().unwrap().len(), 50);
}

#[test]
fn no_order_and_no_letter_is_lost_whatever_goes_wrong() {
    simulate(0..30, async || {
        let (bank, ledger) = (Bank::failing(1), Ledger::default());
        let app = start(On::Embedded, &bank, &ledger).await;
        for id in 1..=3 {
            let key = "order_placed";
            let placed = order(id, "ada");
            app.publish("shop.events", "order.eu.placed", key, &placed)
                .await;
        }
        // who has paid is told, and counted, even if the program crashed in between
        for id in bank.taken.lock().unwrap().iter() {
            let is_counted =
                |line: &String| line.starts_with('[') && line.contains(&id.to_string());
            assert!(
                ledger.lines().iter().any(is_counted),
                "{id}: {:?}",
                ledger.lines()
            );
        }
    });
}
