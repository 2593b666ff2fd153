//! What the program handles, and how much waits for it.

use std::{io, time::Duration};

use clap::Args;
use tokio::time::sleep;

use super::{
    Fault, Found,
    arguments::{duration, known_queue},
    message::no_key,
    screen::Screen,
};
use crate::{
    app::App,
    ops::{
        HandlerInfo, Ops, QueueDepths,
        faces::{keys, payload, reply},
    },
};

/// `run`.
#[derive(Args, Clone, Debug, Default)]
pub struct Run {
    /// Consumes only this queue; may be given several times
    #[arg(long, value_name = "QUEUE")]
    queue: Vec<String>,
    /// A page, probes and metrics, such as at 127.0.0.1:9090
    #[cfg(feature = "admin")]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
}

/// `handlers`.
#[derive(Args, Clone, Debug)]
pub struct Handlers {
    /// The one with this key or pattern, or those whose pattern the key fits
    key: Option<String>,
    /// A line of JSON each
    #[arg(long)]
    json: bool,
}

/// `queues`.
#[derive(Args, Clone, Debug)]
pub struct Queues {
    /// Looks again and again, so often (default: every 2s)
    #[arg(long, value_parser = duration, value_name = "TIME", num_args = 0..=1, default_missing_value = "2s")]
    watch: Option<Duration>,
    /// A line of JSON each
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(super) async fn execute(self, app: App) -> Result<Found, Fault> {
        let app = match self.queue.is_empty() {
            true => app,
            false => {
                for queue in &self.queue {
                    known_queue(&app, queue)?;
                }
                app.only(self.queue)
            }
        };
        #[cfg(feature = "admin")]
        let app = match self.admin {
            Some(address) => app.admin(address),
            None => app,
        };
        app.run().await?;
        Ok(Found::Nothing)
    }
}

impl Handlers {
    pub(super) fn execute(self, app: &App, screen: &mut Screen) -> Result<Found, Fault> {
        handlers(app, self.key.as_deref(), self.json, screen)
    }
}

impl Queues {
    pub(super) async fn execute(self, app: App, screen: &mut Screen) -> Result<Found, Fault> {
        let ops = app.ops()?;
        let ended = self.look(&ops, screen).await;
        ops.close().await;
        ended
    }

    async fn look(&self, ops: &Ops, screen: &mut Screen) -> Result<Found, Fault> {
        loop {
            let depths = ops.depths().await?;
            if self.watch.is_some() && !self.json {
                screen.begin_anew()?;
            }
            queues(depths, self.json, screen)?;
            let Some(every) = self.watch else {
                return Ok(Found::Nothing);
            };
            screen.flush()?;
            sleep(every).await;
        }
    }
}

fn handlers(
    app: &App,
    key: Option<&str>,
    is_json: bool,
    screen: &mut Screen,
) -> Result<Found, Fault> {
    let program = app.program();
    let is_meant = |handler: &&HandlerInfo| {
        key.is_none_or(|key| {
            handler.takes(key) || handler.patterns.iter().any(|known| known == key)
        })
    };
    let handlers: Vec<_> = program.handlers.iter().filter(is_meant).collect();
    if let (true, Some(key)) = (handlers.is_empty(), key) {
        return Err(Fault::Failed(no_key(&program, None, key)));
    }
    if is_json {
        for handler in handlers {
            screen.json(handler)?;
        }
        return Ok(Found::Nothing);
    }
    if let (Some(_), [handler]) = (key, &handlers[..]) {
        return one(handler, screen);
    }
    let rows = handlers.iter().map(|handler| {
        vec![
            keys(handler),
            handler.queue.clone().unwrap_or_else(|| "all".to_owned()),
            payload(handler),
            reply(handler),
            format!("{} {}:{}", handler.function, handler.file, handler.line),
        ]
    });
    screen.table(
        &["KEY", "QUEUE", "PAYLOAD", "REPLY", "HANDLER"],
        &rows.collect::<Vec<_>>(),
    )?;
    Ok(Found::Nothing)
}

fn one(handler: &HandlerInfo, screen: &mut Screen) -> Result<Found, Fault> {
    let of_queue = || "as its queue says".to_owned();
    let lines = [
        ("key", keys(handler)),
        (
            "queue",
            handler.queue.clone().unwrap_or_else(|| "all".to_owned()),
        ),
        ("payload", payload(handler)),
        ("reply", reply(handler)),
        (
            "attempts",
            handler
                .attempts
                .map_or_else(of_queue, |attempts| attempts.to_string()),
        ),
        (
            "timeout",
            handler.timeout_ms.map_or_else(of_queue, |time| {
                format!(
                    "{:?}",
                    Duration::from_millis(u64::try_from(time).unwrap_or(u64::MAX))
                )
            }),
        ),
        (
            "concurrency",
            handler
                .concurrency
                .map_or_else(of_queue, |most| most.to_string()),
        ),
        ("rate", handler.rate.clone().unwrap_or_else(of_queue)),
        ("function", handler.function.clone()),
        ("place", format!("{}:{}", handler.file, handler.line)),
    ];
    for (name, value) in lines {
        screen.wrapped(&format!("{name:<12}"), &value)?;
    }
    let docs = handler.doc.iter().flat_map(|doc| doc.lines());
    for (number, line) in docs.enumerate() {
        let name = if number == 0 { "doc" } else { "" };
        screen.wrapped(&format!("{name:<12}"), line)?;
    }
    Ok(Found::Nothing)
}

fn queues(depths: Vec<QueueDepths>, is_json: bool, screen: &mut Screen) -> io::Result<()> {
    if is_json {
        for depths in depths {
            screen.json(&depths)?;
        }
        return Ok(());
    }
    let rows = depths.into_iter().map(|depths| {
        let waiting: usize = depths.waiting.iter().map(|waiting| waiting.messages).sum();
        vec![
            depths.queue,
            depths
                .ready
                .map_or_else(|| "not there".to_owned(), |ready| ready.to_string()),
            depths.consumers.to_string(),
            waiting.to_string(),
            depths.dead.to_string(),
            depths
                .dead_letters
                .unwrap_or_else(|| "the broker's".to_owned()),
        ]
    });
    let titles = [
        "QUEUE",
        "READY",
        "CONSUMERS",
        "WAITING",
        "DEAD",
        "DEAD-LETTER QUEUE",
    ];
    screen.table(&titles, &rows.collect::<Vec<_>>())
}
