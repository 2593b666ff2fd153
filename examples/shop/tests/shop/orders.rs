//! What becomes of an order.

use std::time::Duration;

use ploomby::testing::{Run, TestRunning};
use ploomby::{Outcome, Properties, Reason};
use ploomby_shop::{Bank, Order, Reminder};

use crate::{empty, open, order, test_app, written};

/// An order as `web` tells of it.
async fn place(app: &TestRunning, order: &Order) -> Run {
    let id = format!("order-{}-placed", order.id);
    let properties = Properties::new().with_message_id(&id).expect("it is short");
    app.send_with(|publisher| {
        let event = publisher
            .through("shop", "order.placed")
            .key("order_placed");
        event.payload(order).properties(properties)
    })
    .await
}

#[tokio::test]
async fn an_order_is_charged_and_its_customer_thanked_and_reminded() {
    let ((_folder, db), bank) = (empty().await, Bank::default());
    // a batch waits for less than that, and the reminder for more
    let app = test_app(&db, &bank)
        .horizon(Duration::from_secs(1))
        .start()
        .await;
    let run = place(&app, &order(1, 450)).await;
    run.handled("order_paid").times(2).outcome(Outcome::Ack);
    run.sent_through::<Order>("shop")
        .once()
        .with(&order(1, 450));
    let mails = run.sent::<serde_json::Value>("mail").times(2);
    let reminder = Reminder {
        order: 1,
        customer: "Ada".to_owned(),
    };
    let _ = mails.with(&serde_json::to_value(&reminder).unwrap());
    run.handled("remind").never();
    app.advance(Duration::from_secs(5))
        .await
        .handled("remind")
        .once();
    assert_eq!(bank.paid(), 450);
}

#[tokio::test]
async fn a_bank_that_has_too_much_to_do_is_asked_again() {
    let ((_folder, db), bank) = (empty().await, Bank::busy(2));
    let app = open(&db, &bank).await;
    place(&app, &order(1, 450)).await;
    app.dead_letters("billing").none();
    assert_eq!(bank.paid(), 450);
}

#[tokio::test]
async fn a_bank_that_has_too_much_to_do_for_long_leaves_a_dead_letter() {
    let ((_folder, db), bank) = (empty().await, Bank::busy(5));
    // its pauses take half a minute of real time on RabbitMQ
    let app = test_app(&db, &bank).embedded().start().await;
    place(&app, &order(1, 450)).await;
    let letters = app.dead_letters("billing").once();
    letters.reason(Reason::HandlerError).error("too much to do");
}

#[tokio::test]
async fn an_outage_of_the_bank_condemns_nothing() {
    let ((_folder, db), bank) = (empty().await, Bank::away(20));
    // its pauses take half a minute of real time on RabbitMQ
    let app = test_app(&db, &bank).embedded().start().await;
    place(&app, &order(1, 450)).await;
    app.dead_letters("billing").none();
    assert_eq!(bank.paid(), 450);
}

#[tokio::test]
async fn a_card_that_does_not_pay_is_not_asked_again() {
    let ((_folder, db), bank) = (empty().await, Bank::default());
    let app = open(&db, &bank).await;
    let run = place(&app, &order(1, 240_000)).await;
    // billing tried once, and analytics counted
    run.handled("order_placed").times(2);
    app.dead_letters("billing")
        .once()
        .error("does not pay 240000 cents");
}

#[tokio::test]
async fn an_event_that_is_told_twice_is_handled_once() {
    let ((_folder, db), bank) = (empty().await, Bank::default());
    let app = open(&db, &bank).await;
    place(&app, &order(1, 450)).await;
    let again = place(&app, &order(1, 450)).await;
    again.sent_through::<Order>("shop").none();
    assert_eq!(written(&db).await, (1, 2));
}
