//! Commands that move letters. Each says what it is about to do, and asks.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write},
};

use clap::Args;
use serde_json::json;

use super::{Discard, Export, Import, ReplayOf, looking::each, progress::Progress};
use crate::{
    cli::{
        Fault, Found,
        arguments::Where,
        screen::{Screen, tell},
    },
    ops::{
        Done, Filter, Ops, OpsError, Replay, Replayed,
        faces::{clean, letters},
    },
};

/// Whether it is to be done.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Consent {
    /// Does it without asking
    #[arg(long, short)]
    yes: bool,
}

impl Consent {
    /// Says what is to be done, and asks who is there.
    pub(in crate::cli) fn asked(&self, what: &str) -> Result<(), Fault> {
        if self.yes {
            return Ok(());
        }
        // names of letters and queues are what somebody sent
        let what = clean(what);
        let (input, mut errors) = (io::stdin(), io::stderr());
        if !input.is_terminal() || !errors.is_terminal() {
            return Err(Fault::Usage(format!(
                "{what}? Nobody can answer here: say --yes"
            )));
        }
        write!(errors, "{what}? [y/N] ")?;
        errors.flush()?;
        let mut answer = String::new();
        input.lock().read_line(&mut answer)?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Fault::Failed("nothing was done".to_owned())),
        }
    }
}

/// How many letters are meant.
async fn count(ops: &Ops, place: &Where, filter: &Filter, limit: usize) -> Result<usize, Fault> {
    let mut count = 0;
    each(ops, place, filter, |_, _| {
        count += usize::from(count < limit);
        Ok(count < limit)
    })
    .await?;
    Ok(count)
}

/// Ends a command: by what was done, and by what went wrong meanwhile.
fn ended(
    (act, is_dry): (&str, bool),
    verb: &str,
    is_json: bool,
    (done, fault): (Done, Option<Fault>),
    screen: &mut Screen,
) -> Result<Found, Fault> {
    let line = format!("{} {verb}", letters(done.done));
    match (is_json, &fault) {
        // nobody reads on
        (_, Some(Fault::Closed)) => {}
        (true, _) => screen.json(&json!({
            "v": 1,
            "act": act,
            "dry_run": is_dry,
            "done": done.done,
            "total": done.total,
            "not_looked_at": done.not_looked_at,
        }))?,
        (false, _) => screen.line(&line)?,
    }
    match fault {
        None => Ok(Found::Nothing),
        Some(Fault::Failed(text)) if done.done > 0 => {
            screen.flush()?;
            Err(Fault::Partly(text))
        }
        Some(fault) => {
            screen.flush()?;
            Err(fault)
        }
    }
}

/// SIGINT, or what else ends a program by its terminal.
async fn interrupted() -> Fault {
    match tokio::signal::ctrl_c().await {
        Ok(()) => Fault::Failed("interrupted: the other letters are where they were".to_owned()),
        Err(_) => std::future::pending().await,
    }
}

impl ReplayOf {
    pub(super) async fn execute(self, ops: &Ops, screen: &mut Screen) -> Result<Found, Fault> {
        let queue = self.place.queue(ops.program())?;
        let filter = self.which.filter()?;
        let limit = self.limit.unwrap_or(usize::MAX);
        let mut progress = None;
        if !self.dry_run {
            let count = count(ops, &self.place, &filter, limit).await?;
            progress = Some(Progress::of(count));
            let to = self.to.as_deref().unwrap_or(&queue);
            let what = format!("replay {} of {queue} to {to}", letters(count));
            self.consent.asked(&what)?;
        }
        let mut replay = Replay::new(filter).limit(limit).scan(self.place.scan());
        if let Some(canaries) = self.canary {
            replay = replay.canary(canaries, self.canary_wait);
        }
        if let Some(every) = self.rate {
            replay = replay.every(every);
        }
        if let Some(to) = &self.to {
            replay = replay.to(to);
        }
        if self.dry_run {
            replay = replay.dry_run();
        }
        let mut replaying = ops.replay(&queue, replay).await?;
        let mut interrupted = std::pin::pin!(interrupted());
        let fault = loop {
            // cancel safety: a letter that is on its way is in both queues, or in one
            let next = tokio::select! {
                biased;
                fault = &mut interrupted => break Some(fault),
                next = replaying.next() => next,
            };
            match next {
                Ok(None) => break None,
                Err(error) => break Some(error.into()),
                Ok(Some(replayed)) => {
                    if let Some(progress) = &mut progress {
                        progress.step();
                    }
                    if let Err(error) = self.tell(&replayed, screen) {
                        break Some(error.into());
                    }
                }
            }
        };
        drop(progress);
        let done = replaying.end().await?;
        let verb = if self.dry_run {
            "would be replayed"
        } else {
            "replayed"
        };
        let act = ("replay", self.dry_run);
        ended(act, verb, self.json, (done, fault), screen)
    }

    fn tell(&self, replayed: &Replayed, screen: &mut Screen) -> io::Result<()> {
        let Replayed { id, queue } = replayed;
        match (self.json, self.dry_run) {
            (true, is_dry) => screen.json(&json!({
                "v": 1,
                "act": "replay",
                "dry_run": is_dry,
                "id": id,
                "queue": queue,
            })),
            (false, true) => screen.line(&format!("{id} to {queue}")),
            (false, false) => Ok(()),
        }
    }
}

impl Discard {
    pub(super) async fn execute(self, ops: &Ops, screen: &mut Screen) -> Result<Found, Fault> {
        let queue = self.place.queue(ops.program())?;
        let filter = self.which.filter()?;
        let limit = self.limit.unwrap_or(usize::MAX);
        let count = count(ops, &self.place, &filter, limit).await?;
        self.consent
            .asked(&format!("discard {} of {queue} for good", letters(count)))?;
        let mut file = match &self.to {
            // what was discarded before stays
            Some(path) => Some(BufWriter::new(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)
                    .map_err(|error| Fault::of_file("write", path, &error))?,
            )),
            None => None,
        };
        let mut progress = Progress::of(count);
        let mut discarding = ops.discard(&queue, filter, limit).await?;
        let mut interrupted = std::pin::pin!(interrupted());
        let fault = loop {
            let sink = file.as_mut().map(|file| file as &mut (dyn Write + Send));
            // cancel safety: a letter is in the file before it is discarded
            let next = tokio::select! {
                biased;
                fault = &mut interrupted => break Some(fault),
                next = discarding.next(sink) => next,
            };
            if let Ok(Some(_)) = next {
                progress.step();
            }
            match next {
                Ok(None) => break None,
                Err(error) => break Some(error.into()),
                Ok(Some(letter)) if self.json => {
                    let line = json!({"v": 1, "act": "discard", "dry_run": false, "id": letter.id(), "queue": queue});
                    if let Err(error) = screen.json(&line) {
                        break Some(error.into());
                    }
                }
                Ok(Some(_)) => {}
            }
        };
        drop(progress);
        let done = discarding.end().await?;
        let act = ("discard", false);
        ended(act, "discarded", self.json, (done, fault), screen)
    }
}

impl Export {
    pub(super) async fn execute(self, ops: &Ops, screen: &mut Screen) -> Result<Found, Fault> {
        let filter = self.which.filter()?;
        let mut file = match &self.output {
            Some(path) => Some(BufWriter::new(
                File::create(path).map_err(|error| Fault::of_file("write", path, &error))?,
            )),
            None => None,
        };
        let mut exported = 0;
        for queue in self.place.queues(ops.program()) {
            let sink: &mut (dyn Write + Send) = match &mut file {
                Some(file) => file,
                None => screen.writer(),
            };
            match ops.export(&queue, &filter, self.place.scan(), sink).await {
                Ok(done) => exported += done.done,
                Err(OpsError::NotThere(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        tell(&format!("{} exported", letters(exported)))?;
        Ok(Found::Nothing)
    }
}

impl Import {
    pub(super) async fn execute(self, ops: &Ops) -> Result<Found, Fault> {
        let queue = self.place.queue(ops.program())?;
        let name = self.file.display();
        self.consent.asked(&format!(
            "put the letters of {name} into the dead-letter queue of {queue}"
        ))?;
        let imported = match self.file.as_os_str() == "-" {
            true => ops.import(&queue, &mut BufReader::new(io::stdin())).await,
            false => {
                let file = File::open(&self.file);
                let file = file.map_err(|error| Fault::of_file("read", &self.file, &error))?;
                ops.import(&queue, &mut BufReader::new(file)).await
            }
        };
        tell(&format!("{} imported", letters(imported?.done)))?;
        Ok(Found::Nothing)
    }
}
