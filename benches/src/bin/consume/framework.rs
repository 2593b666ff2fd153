//! ploomby as a program uses it.

use std::future::pending;

use ploomby::{App, KeySource, Queue};
use ploomby_benches::order::{KEY_HEADER, Order};

use crate::{Options, work::work};

#[ploomby::handler("order")]
async fn order(order: Order) {
    work();
    order.process();
}

pub(crate) async fn consume(options: Options) -> anyhow::Result<()> {
    let mut app = App::new(options.url);
    for number in 0..options.queues {
        let name = match number {
            0 => options.queue.clone(),
            _ => format!("{}{number}", options.queue),
        };
        let queue = Queue::new(name)
            .key(KeySource::header(KEY_HEADER))
            .prefetch(options.prefetch)
            .consumers(options.consumers);
        app = app.queue(queue);
    }
    let _running = app.start().await?;
    pending().await
}
