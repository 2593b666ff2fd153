//! Commands that write a message: to send it, to call a handler, or to run one here.

use std::{
    fs,
    io::{self, Read},
    time::Duration,
};

use clap::Args;
use serde_json::json;

use super::{
    Fault, Found,
    arguments::{Where, duration, header, known},
    screen::Screen,
};
use crate::{
    app::App,
    handler::did_you_mean,
    message::Message,
    ops::{Fate, Fit, HandlerInfo, Ops, Program, Rehearsed, ToHandler, Written},
    rpc::CallError,
};

/// What is sent.
#[derive(Args, Clone, Debug)]
struct Content {
    /// A header, as text
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// The message id (default: a new one)
    #[arg(long)]
    id: Option<String>,
    /// Sends it whatever the handler takes, to any queue
    #[arg(long)]
    no_check: bool,
}

/// `publish`.
#[derive(Args, Clone, Debug)]
pub struct Publish {
    /// The queue
    queue: String,
    /// The key that names the handler
    key: String,
    /// The payload in JSON, or `@file`, or `-` for the standard input
    #[arg(allow_negative_numbers = true)]
    payload: String,
    #[command(flatten)]
    content: Content,
    /// Brings it to its queue after this time, such as 10m
    #[arg(long, value_parser = duration, value_name = "TIME")]
    delay: Option<Duration>,
    /// Sends nothing, and says what would be sent
    #[arg(long)]
    dry_run: bool,
    /// A line of JSON
    #[arg(long)]
    json: bool,
}

/// `call`.
#[derive(Args, Clone, Debug)]
pub struct Call {
    /// The queue
    queue: String,
    /// The key that names the handler
    key: String,
    /// The payload in JSON, or `@file`, or `-` for the standard input
    #[arg(allow_negative_numbers = true)]
    payload: String,
    #[command(flatten)]
    content: Content,
    /// How long to wait for the reply
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "TIME")]
    timeout: Duration,
}

/// `try`.
#[derive(Args, Clone, Debug)]
pub struct Try {
    /// The key that names the handler
    #[arg(required_unless_present = "dead")]
    key: Option<String>,
    /// The payload in JSON, or `@file`, or `-` for the standard input
    #[arg(required_unless_present = "dead", allow_negative_numbers = true)]
    payload: Option<String>,
    /// The message of this letter, which stays there
    #[arg(long, value_name = "ID", conflicts_with_all = ["key", "payload", "header", "id"])]
    dead: Option<String>,
    /// A header, as text
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// The message id (default: a new one)
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    place: Where,
    /// A line of JSON
    #[arg(long)]
    json: bool,
}

impl Content {
    /// The message, once the handler takes it.
    fn written(
        &self,
        ops: &Ops,
        (queue, key, payload): (&str, &str, &str),
        delay: Option<Duration>,
    ) -> Result<Written, Fault> {
        let body = body(payload, self.no_check)?;
        let program = ops.program();
        let is_known = program.queues.iter().any(|known| known.name == queue);
        if !is_known && !self.no_check {
            let names = || program.queues.iter().map(|queue| queue.name.as_str());
            let near = did_you_mean(queue, names());
            let near = match near.is_empty() {
                true => format!(": it has {}", names().collect::<Vec<_>>().join(", ")),
                false => near,
            };
            return Err(Fault::Usage(format!(
                "the program has no queue `{queue}`{near} (--no-check sends to any queue)"
            )));
        }
        let mut to = written_to(queue, key, body, &self.header, self.id.as_deref())?;
        if let Some(delay) = delay {
            to = to.delay(delay);
        }
        let written = ops.write(&to)?;
        if !self.no_check {
            check(ops, queue, key, &written)?;
        }
        Ok(written)
    }
}

fn written_to(
    queue: &str,
    key: &str,
    body: Vec<u8>,
    headers: &[String],
    id: Option<&str>,
) -> Result<ToHandler, Fault> {
    let mut to = ToHandler::new(queue, key, body);
    for text in headers {
        let (name, value) = header(text)?;
        to = to.header(name, value);
    }
    Ok(match id {
        Some(id) => to.id(id),
        None => to,
    })
}

/// The payload that is meant.
pub(super) fn body(payload: &str, may_be_anything: bool) -> Result<Vec<u8>, Fault> {
    let body = match payload.strip_prefix('@') {
        Some(file) => fs::read(file)
            .map_err(|error| Fault::Failed(format!("cannot read `{file}`: {error}")))?,
        None if payload == "-" => {
            let mut body = Vec::new();
            io::stdin().read_to_end(&mut body)?;
            body
        }
        None => payload.as_bytes().to_vec(),
    };
    let fault = serde_json::from_slice::<serde::de::IgnoredAny>(&body).err();
    match fault.filter(|_| !may_be_anything) {
        None => Ok(body),
        Some(error) => Err(Fault::Usage(format!(
            "the payload is no JSON: {error} (a text has quotes of its own: '\"text\"')"
        ))),
    }
}

/// Whether the program takes it.
fn check(ops: &Ops, queue: &str, key: &str, written: &Written) -> Result<(), Fault> {
    match ops.fits_message(queue, written.message()) {
        Fit::Fits | Fit::NotKnown => Ok(()),
        Fit::Unfit { reason, .. } if reason == "unknown-key" => {
            Err(Fault::Failed(no_key(ops.program(), Some(queue), key)))
        }
        Fit::Unfit { reason, error } => Err(Fault::Failed(format!(
            "the handler of `{key}` would not take it: {reason}: {error} (--no-check sends it all the same)"
        ))),
    }
}

/// There is no handler of this key: which ones there are.
pub(super) fn no_key(program: &Program, queue: Option<&str>, key: &str) -> String {
    let handlers = program.handlers.iter().filter(|handler| {
        let own = handler.queue.as_deref();
        own.is_none() || queue.is_none() || own == queue
    });
    let keys: Vec<_> = handlers
        .flat_map(|handler| handler.keys.iter().chain(&handler.patterns))
        .map(String::as_str)
        .collect();
    let near = did_you_mean(key, keys.iter().copied());
    let of_queue = queue.map_or_else(String::new, |queue| format!(" of `{queue}`"));
    let others = match (near.is_empty(), keys.len()) {
        (false, _) => near,
        (true, 0..=8) => format!(": there are {}", keys.join(", ")),
        (true, _) => ": `handlers` lists all".to_owned(),
    };
    format!("no handler{of_queue} has the key `{key}`{others}")
}

impl Publish {
    pub(super) async fn execute(self, app: App, screen: &mut Screen) -> Result<Found, Fault> {
        let ops = app.ops()?;
        let what = (&*self.queue, &*self.key, &*self.payload);
        let written = self.content.written(&ops, what, self.delay)?;
        let id = match self.dry_run {
            true => written
                .message()
                .properties()
                .message_id()
                .map(str::to_owned),
            false => {
                let sent = ops.publish(&written).await;
                ops.close().await;
                Some(sent?)
            }
        };
        let id = id.unwrap_or_default();
        let Self { queue, key, .. } = &self;
        if self.json {
            screen.json(&json!({
                "v": 1,
                "act": "publish",
                "dry_run": self.dry_run,
                "id": id,
                "queue": queue,
                "key": key,
            }))?;
            return Ok(Found::Nothing);
        }
        let verb = if self.dry_run {
            "would be sent"
        } else {
            "sent"
        };
        let delay = self.delay.map(|delay| format!(", there in {delay:?}"));
        let delay = delay.unwrap_or_default();
        screen.line(&format!("{id} {verb} to {queue}{delay}"))?;
        Ok(Found::Nothing)
    }
}

impl Call {
    pub(super) async fn execute(self, app: App, screen: &mut Screen) -> Result<Found, Fault> {
        let ops = app.ops()?;
        let what = (&*self.queue, &*self.key, &*self.payload);
        let written = self.content.written(&ops, what, None)?;
        let value = ops.call(&written, self.timeout).await;
        ops.close().await;
        screen.json(&value.map_err(not_answered)?)?;
        Ok(Found::Nothing)
    }
}

fn not_answered(error: CallError) -> Fault {
    Fault::Failed(match error {
        CallError::Remote(error) => error.to_string(),
        CallError::TimedOut(after) => format!(
            "no reply came within {after:?}: the handler may still run, or nobody consumes the queue (`queues` says how \
             many consumers it has)"
        ),
        error => error.to_string(),
    })
}

impl Try {
    pub(super) async fn execute(self, app: App, screen: &mut Screen) -> Result<Found, Fault> {
        known(&app, &self.place)?;
        let ops = app.ops_beside()?;
        let rehearsed = match (&self.dead, &self.key, &self.payload) {
            (Some(id), _, _) => {
                let found = self.place.letter(&ops, id).await;
                let (queue, letter) = found?;
                let rehearsal = app.rehearsal().await?;
                rehearsal.run_letter(&queue, &letter).await?
            }
            (None, Some(key), Some(payload)) => {
                let queue = self.queue_for(ops.program(), key)?;
                let to = written_to(
                    &queue,
                    key,
                    body(payload, true)?,
                    &self.header,
                    self.id.as_deref(),
                )?;
                let written = ops.write(&to)?;
                let rehearsal = app.rehearsal().await?;
                rehearsal.run(&queue, written.message()).await?
            }
            _ => {
                return Err(Fault::Usage(
                    "say a key and a payload, or --dead ID".to_owned(),
                ));
            }
        };
        ops.close().await;
        match self.json {
            true => screen.json(&rehearsed)?,
            false => show(&rehearsed, screen)?,
        }
        match rehearsed.fate {
            Fate::Ack | Fate::Discard => Ok(Found::Nothing),
            _ => Ok(Found::Failure),
        }
    }

    /// The queue whose rules hold for the message.
    fn queue_for(&self, program: &Program, key: &str) -> Result<String, Fault> {
        let is_meant = |handler: &&HandlerInfo| handler.takes(key);
        let meant: Vec<_> = program.handlers.iter().filter(is_meant).collect();
        let has_default = program.handlers.iter().any(|handler| handler.is_default);
        if meant.is_empty() && !has_default {
            return Err(Fault::Failed(no_key(program, None, key)));
        }
        match &meant[..] {
            [handler] if !self.place.is_named() => match &handler.queue {
                Some(queue) => Ok(queue.clone()),
                None => self.place.consumed(program),
            },
            _ => self.place.consumed(program),
        }
    }
}

fn show(rehearsed: &Rehearsed, screen: &mut Screen) -> io::Result<()> {
    let error = rehearsed
        .error
        .as_ref()
        .map(|error| match &rehearsed.reason {
            Some(reason) => format!("{reason}: {error}"),
            None => error.clone(),
        });
    let lines = [
        (
            "handler",
            Some(rehearsed.handler.unwrap_or("none").to_owned()),
        ),
        ("outcome", Some(outcome(rehearsed.fate))),
        ("error", error),
        ("reply", rehearsed.reply.as_ref().map(body_text)),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            screen.wrapped(&format!("{name:<12}"), &value)?;
        }
    }
    for send in &rehearsed.sends {
        let to = match &*send.exchange {
            "" => send.routing_key.clone(),
            exchange => format!("`{}` through {exchange}", send.routing_key),
        };
        let delay = send.delay.map(|delay| format!(", there in {delay:?}"));
        let body = body_text(&send.message);
        let key = send.message.properties().message_type();
        let key = key.map(|key| format!(" {key}")).unwrap_or_default();
        let delay = delay.unwrap_or_default();
        screen.wrapped("would send  ", &format!("to {to}{delay}:{key} {body}"))?;
    }
    screen.line(&format!("{:<12}{:.1?}", "took", rehearsed.took))
}

fn outcome(fate: Fate) -> String {
    let text = match fate {
        Fate::Ack => "acknowledged",
        Fate::Discard => "discarded",
        Fate::Requeue => "would go back to its queue at once",
        Fate::DeadLetter => "would go to the dead-letter queue",
        Fate::Reject => "would be rejected: to where the queue's own dead-letter exchange leads",
        Fate::Wait => "would wait in its queue: what the handler needs is away",
        Fate::Retry { after } => return format!("would be tried again in {after:?}"),
    };
    text.to_owned()
}

/// On one line, and not all of what is long.
fn body_text(message: &Message) -> String {
    const MOST: usize = 400;

    let body = message.body();
    match std::str::from_utf8(body) {
        Ok(text) if text.chars().count() <= MOST => text.to_owned(),
        Ok(text) => text.chars().take(MOST).chain(['…']).collect(),
        Err(_) => format!("{} bytes", body.len()),
    }
}
