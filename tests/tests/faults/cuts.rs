use std::collections::BTreeSet;
use std::time::Duration;

use ploomby::{HandlerRegistry, KeySource, Queue};
use ploomby_tests::{Bed, Cut, Direction, KEY, Method, eventually};
use tokio::time::{sleep, timeout};

use crate::ledger::{Ledger, numbers};
use crate::{LONG, before, shared};

const MESSAGES: u32 = 5_000;
const CUTS: usize = 25;

/// Every way to cut: at each step of handling, copying, confirming and acknowledging, and anywhere.
fn cut(turn: usize) -> Cut {
    use Direction::{ToBroker, ToClient};

    // steps that come at the same places in each run, and are different from cut to cut
    let some = turn * 7919 % 37 + 1;
    let cut = match turn % 10 {
        0 => Cut::within(ToBroker, Method::ACK).nth(some % 4 + 1),
        1 => Cut::behind(ToBroker, Method::ACK).nth(some % 4 + 1),
        2 => Cut::within(ToBroker, Method::PUBLISH).nth(some % 8 + 1),
        3 => Cut::behind(ToBroker, Method::PUBLISH).nth(some % 8 + 1),
        4 => Cut::within(ToClient, Method::ACK).nth(some % 4 + 1),
        5 => Cut::behind(ToClient, Method::ACK).nth(some % 4 + 1),
        6 => Cut::within(ToClient, Method::DELIVER).nth(some * 2),
        7 => Cut::behind(ToClient, Method::DELIVER).nth(some * 2),
        8 => Cut::after(ToBroker, some * 131),
        _ => Cut::after(ToClient, some * 331),
    };
    if turn.is_multiple_of(3) {
        cut.only_that_one()
    } else {
        cut
    }
}

/// Handles and dead-letters numbered messages while connections are cut at every step.
async fn lose_nothing(kind: &str, first_turn: usize) {
    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let proxy = before(shared().await).await;
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
                if number.is_multiple_of(2) {
                    sleep(Duration::from_millis(5)).await;
                }
                anyhow::ensure!(!number.is_multiple_of(10), "a bad number");
                ledger.note(number);
                Ok(())
            });
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .queue_argument("x-queue-type", kind)
                // so many cuts in so short a time would be a reason to give a message up
                .max_deliveries(None);
            let set_up = match kind {
                "quorum" => set_up.queue_argument("x-delivery-limit", 1000),
                _ => set_up,
            };
            // the app declares the queue, and finds it full
            let app = Bed::start_at(&proxy.url(), set_up.clone(), HandlerRegistry::new().register("x", async || {})).await;
            app.shut_down().await.unwrap();
            bed.send_numbers(&queue, "work", 0..MESSAGES).await;
            let app = Bed::start_at(&proxy.url(), set_up, handlers).await;
            for turn in first_turn..first_turn + CUTS {
                timeout(LONG, proxy.cut_when(cut(turn)))
                    .await
                    .unwrap_or_else(|_| panic!("nothing came by for {:?}", cut(turn)));
            }
            let handled = ledger.len();
            assert!(handled < MESSAGES as usize * 8 / 10, "the cuts came too late: {handled}");

            let bad: BTreeSet<u32> = (0..MESSAGES).step_by(10).collect();
            ledger.until(MESSAGES as usize - bad.len(), LONG).await;
            let dead_letters = format!("{queue}_dlq");
            let mut parked = Vec::new();
            eventually(LONG, async || {
                parked.extend(bed.take_all(&dead_letters).await);
                numbers(&parked).0.len() >= bad.len() && bed.ready_count(&queue).await == 0
            })
            .await;
            app.shut_down().await.unwrap();
            parked.extend(bed.take_all(&dead_letters).await);
            // given back by the shutdown: what a cut brought back is held for a while, and handled already
            let left = bed.take_all(&queue).await.len();
            let (parked, parked_twice) = numbers(&parked);
            assert_eq!(parked, bad, "the bad ones are parked, and nothing else");
            eprintln!(
                "{CUTS} cuts, {MESSAGES} messages on a {kind} queue: {} handled twice, {parked_twice} parked twice, {left} held back",
                ledger.duplicates()
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_connections_are_cut_at_every_step() {
    tokio::join!(lose_nothing("classic", 0), lose_nothing("quorum", CUTS),);
}
