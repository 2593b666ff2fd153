//! Arguments that several commands have.

use std::time::Duration;

use clap::Args;

use super::Fault;
use crate::{
    app::App,
    handler::did_you_mean,
    ops::{Filter, Letter, Ops, OpsError, Program, time_of},
};

/// Which queue's letters are meant.
#[derive(Args, Clone, Debug)]
pub(super) struct Where {
    /// This queue (default: all queues of the program)
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Looks at so many letters of each queue at most
    #[arg(long, value_name = "N")]
    scan: Option<usize>,
}

/// Which letters are meant.
#[derive(Args, Clone, Debug)]
pub(super) struct Which {
    /// The letter of this name, or whose name ends so
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Those with this key
    #[arg(long)]
    key: Option<String>,
    /// Those with this reason, such as `undecodable`
    #[arg(long)]
    reason: Option<String>,
    /// Those with this text in their error
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Those with this header
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// Those that failed since 2h, or 2026-11-29T22:43:29Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Those that failed before then, in the same forms
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Where {
    /// The queues, in the order of the program.
    pub(super) fn queues(&self, program: &Program) -> Vec<String> {
        match &self.queue {
            Some(queue) => vec![queue.clone()],
            None => {
                let queues = program.queues.iter();
                let kept = queues.filter(|queue| queue.dead_letters.is_some());
                kept.map(|queue| queue.name.clone()).collect()
            }
        }
    }

    /// The one queue.
    pub(super) fn queue(&self, program: &Program) -> Result<String, Fault> {
        one_of(
            &self.queues(program),
            "the program has no queue whose dead letters it keeps",
        )
    }

    /// The one queue, whoever keeps its dead letters.
    pub(super) fn consumed(&self, program: &Program) -> Result<String, Fault> {
        let queues = match &self.queue {
            Some(queue) => vec![queue.clone()],
            None => program
                .queues
                .iter()
                .map(|queue| queue.name.clone())
                .collect(),
        };
        one_of(&queues, "the program has no queue")
    }

    /// Whether a queue is named.
    pub(super) fn is_named(&self) -> bool {
        self.queue.is_some()
    }

    /// The letter of this name, and its queue.
    pub(super) async fn letter(&self, ops: &Ops, id: &str) -> Result<(String, Letter), Fault> {
        for queue in self.queues(ops.program()) {
            match ops.letter(&queue, id, self.scan()).await {
                Ok(letter) => return Ok((queue, letter)),
                Err(OpsError::NoLetter(_) | OpsError::NotThere(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(OpsError::NoLetter(id.to_owned()).into())
    }

    pub(super) fn scan(&self) -> usize {
        self.scan.unwrap_or(usize::MAX)
    }
}

impl Which {
    pub(super) fn filter(&self) -> Result<Filter, Fault> {
        let mut filter = Filter::all();
        for id in &self.id {
            filter = filter.id(id);
        }
        if let Some(key) = &self.key {
            filter = filter.key(key);
        }
        if let Some(reason) = &self.reason {
            filter = filter.reason(reason);
        }
        if let Some(text) = &self.error {
            filter = filter.error(text);
        }
        for header in &self.header {
            let (name, value) = self::header(header)?;
            filter = filter.header(name, value);
        }
        let time = |text: &String| {
            time_of(text).ok_or_else(|| {
                Fault::Usage(format!(
                    "`{text}` is no time: write 2h, 15m or 2026-11-29T22:43:29Z"
                ))
            })
        };
        if let Some(since) = &self.since {
            filter = filter.since(time(since)?);
        }
        if let Some(until) = &self.until {
            filter = filter.until(time(until)?);
        }
        Ok(filter)
    }
}

fn one_of(queues: &[String], none: &str) -> Result<String, Fault> {
    match queues {
        [queue] => Ok(queue.clone()),
        [] => Err(Fault::Usage(none.to_owned())),
        several => Err(Fault::Usage(format!(
            "say which queue is meant, by --queue: the program has {}",
            several.join(", ")
        ))),
    }
}

/// `NAME=VALUE`
pub(super) fn header(text: &str) -> Result<(&str, &str), Fault> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| Fault::Usage(format!("`{text}` is no header: write NAME=VALUE")))
}

/// `200/s`, `10/m`, or a number for each second, as the time between two letters.
pub(super) fn rate(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let unit = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("write 200/s, 10/m or 5/h".to_owned()),
    };
    match number.parse::<f64>() {
        Ok(number) if number > 0.0 => {
            Duration::try_from_secs_f64(unit / number).map_err(|error| error.to_string())
        }
        _ => Err("write 200/s, 10/m or 5/h".to_owned()),
    }
}

/// `500ms`, `10s`, `2m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let found = units.into_iter().find_map(|(unit, milliseconds)| {
        let number = text.strip_suffix(unit)?.parse::<u64>().ok()?;
        number.checked_mul(milliseconds).map(Duration::from_millis)
    });
    found.ok_or_else(|| "write 500ms, 10s or 2m".to_owned())
}

/// The queue that letters are looked for in is one of the program's.
pub(super) fn known(app: &App, place: &Where) -> Result<(), Fault> {
    match &place.queue {
        Some(queue) => known_queue(app, queue),
        None => Ok(()),
    }
}

/// A queue is one of the program's.
pub(super) fn known_queue(app: &App, queue: &str) -> Result<(), Fault> {
    let program = app.program();
    let names = || program.queues.iter().map(|known| known.name.as_str());
    if names().any(|known| known == queue) {
        return Ok(());
    }
    let near = did_you_mean(queue, names());
    let near = match near.is_empty() {
        true => format!(": it has {}", names().collect::<Vec<_>>().join(", ")),
        false => near,
    };
    Err(Fault::Usage(format!(
        "the program has no queue `{queue}`{near}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_times_are_read_as_people_write_them() {
        assert_eq!(rate("200/s"), Ok(Duration::from_millis(5)));
        assert_eq!(rate("4"), Ok(Duration::from_millis(250)));
        assert_eq!(rate("30/m"), Ok(Duration::from_secs(2)));
        for wrong in ["", "0/s", "-1", "many", "5/d", "NaN"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "1.5s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
