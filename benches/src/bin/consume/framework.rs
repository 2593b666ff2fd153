//! ploomby as a program uses it.

use std::{future::pending, time::Duration};

use anyhow::{anyhow, bail};
use ploomby::{App, HandlerOptions, HandlerRegistry, KeySource, Queue, Retry};
use ploomby_benches::{
    order::{KEY, KEY_HEADER, Order},
    work,
};

use crate::Options;

/// Long enough that no message comes back while it is measured.
const PAUSE: Duration = Duration::from_secs(3600);

#[ploomby::handler("order")]
async fn order(order: Order) {
    work::do_it();
    order.process();
}

async fn waiting(order: Order) {
    work::do_it();
    work::wait().await;
    order.process();
}

async fn failing(order: Order) -> anyhow::Result<()> {
    order.process();
    Err(anyhow!("the other side is gone"))
}

async fn light(order: Order) {
    order.process();
}

pub(crate) async fn consume(options: Options) -> anyhow::Result<()> {
    let retry = match options.fails.as_deref() {
        None | Some("dead-letter") => None,
        Some("retry") => Some(Retry::fixed(2, PAUSE)),
        Some(other) => bail!("a message fails with dead-letter or retry, and not with {other}"),
    };
    let mut app = App::new(&options.url).handlers(handlers(&options));
    for name in options.names() {
        let mut queue = queue(name, &options).consumers(options.consumers);
        if let Some(retry) = &retry {
            queue = queue.retry(retry.clone());
        }
        app = app.queue(queue);
    }
    if let Some(light) = &options.light {
        app = app.queue(queue(light.clone(), &options));
    }
    let _running = app.start().await?;
    options.started();
    pending().await
}

fn handlers(options: &Options) -> HandlerRegistry {
    let handlers = if options.fails.is_some() {
        HandlerRegistry::new().register(KEY, failing)
    } else if work::waits() {
        HandlerRegistry::new().register(KEY, waiting)
    } else {
        HandlerRegistry::linked()
    };
    match &options.light {
        Some(queue) => {
            handlers.register_with(KEY, HandlerOptions::new().queue(queue.clone()), light)
        }
        None => handlers,
    }
}

fn queue(name: String, options: &Options) -> Queue {
    let queue = Queue::new(name)
        .key(KeySource::header(KEY_HEADER))
        .prefetch(options.prefetch);
    if options.is_quorum {
        queue.quorum()
    } else {
        queue
    }
}
