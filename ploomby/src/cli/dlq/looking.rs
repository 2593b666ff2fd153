//! Commands that look at many letters, and change nothing.

use std::time::SystemTime;

use serde_json::json;

use super::{Check, GroupsOf, List};
use crate::{
    cli::{
        Fault, Found,
        arguments::Where,
        screen::{Screen, tell},
    },
    ops::{Filter, Fit, Groups, Letter, Look, Ops, OpsError, Summary, faces},
};

/// Does something with each letter that is meant, until it says that this is enough. Says how many were not looked at.
pub(super) async fn each(
    ops: &Ops,
    place: &Where,
    filter: &Filter,
    mut with: impl FnMut(&str, &Letter) -> Result<bool, Fault>,
) -> Result<usize, Fault> {
    let mut not_looked_at = 0;
    for queue in place.queues(ops.program()) {
        let Some(look) = look(ops, &queue).await? else {
            continue;
        };
        let mut look = look.scan(place.scan());
        let looked = async {
            while let Some(letter) = look.next().await? {
                if filter.matches(&letter) && !with(&queue, &letter)? {
                    break;
                }
            }
            Ok(())
        };
        let looked: Result<(), Fault> = looked.await;
        not_looked_at += look.not_looked_at();
        look.end().await?;
        looked?;
    }
    Ok(not_looked_at)
}

/// A queue whose dead-letter queue is not there yet has no letters.
async fn look<'o>(ops: &'o Ops, queue: &str) -> Result<Option<Look<'o>>, Fault> {
    match ops.look(queue).await {
        Ok(look) => Ok(Some(look)),
        Err(OpsError::NotThere(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Says on the standard error that there may be more.
fn tell_rest(not_looked_at: usize, screen: &mut Screen) -> Result<(), Fault> {
    if not_looked_at > 0 {
        // what was found stands before it
        screen.flush()?;
        tell(&format!("{not_looked_at} letters were not looked at"))?;
    }
    Ok(())
}

impl List {
    pub(super) async fn execute(self, ops: &Ops, screen: &mut Screen) -> Result<Found, Fault> {
        let filter = self.which.filter()?;
        let mut rows = Vec::new();
        let mut listed = 0;
        let not_looked_at = each(ops, &self.place, &filter, |_, letter| {
            if listed == self.limit {
                return Ok(false);
            }
            listed += 1;
            match self.json {
                true => screen.json(&letter.summary())?,
                false => rows.push(row(letter)),
            }
            Ok(listed < self.limit)
        });
        let not_looked_at = not_looked_at.await?;
        match (self.json, rows.is_empty()) {
            (true, _) => {}
            (false, true) => screen.line("no letters")?,
            (false, false) => screen.table(&["ID", "FAILED (UTC)", "KEY", "ERROR"], &rows)?,
        }
        tell_rest(not_looked_at, screen)?;
        Ok(Found::Nothing)
    }
}

fn row(letter: &Letter) -> Vec<String> {
    let id = letter.id();
    // the end of it is by chance, and enough
    let short = id.get(id.len().saturating_sub(12)..).unwrap_or(&id);
    vec![
        short.to_owned(),
        time(&letter.summary()),
        letter.key().unwrap_or("-").to_owned(),
        letter.error().or(letter.reason()).unwrap_or("-").to_owned(),
    ]
}

/// Without the letters that stand between and behind.
fn time(summary: &Summary<'_>) -> String {
    let time = summary.failed_at.as_deref().unwrap_or("-");
    time.replace('T', " ").trim_end_matches('Z').to_owned()
}

impl GroupsOf {
    pub(super) async fn execute(self, ops: &Ops, screen: &mut Screen) -> Result<Found, Fault> {
        let filter = self.which.filter()?;
        let mut groups = Groups::new(self.by.into());
        let not_looked_at = each(ops, &self.place, &filter, |_, letter| {
            groups.add(letter);
            Ok(true)
        });
        let not_looked_at = not_looked_at.await?;
        let groups = groups.into_groups();
        if self.json {
            for group in groups {
                screen.json(&group)?;
            }
        } else if groups.is_empty() {
            screen.line("no letters")?;
        } else {
            let now = SystemTime::now();
            let rows = groups.into_iter().map(|group| {
                let ago = group.last.and_then(|last| now.duration_since(last).ok());
                vec![
                    group.count.to_string(),
                    ago.map_or_else(|| "-".to_owned(), |ago| faces::ago(ago.as_secs())),
                    group.keys.join(", "),
                    group.name.unwrap_or_else(|| "(says nothing)".to_owned()),
                ]
            });
            let title = format!("{:?}", self.by).to_uppercase();
            screen.table(
                &["COUNT", "LAST", "KEYS", &title],
                &rows.collect::<Vec<_>>(),
            )?;
        }
        tell_rest(not_looked_at, screen)?;
        Ok(Found::Nothing)
    }
}

impl Check {
    pub(super) async fn execute(self, ops: &Ops, screen: &mut Screen) -> Result<Found, Fault> {
        let filter = self.which.filter()?;
        let (mut fits, mut not_known) = (0, 0);
        let mut unfit = Vec::new();
        let not_looked_at = each(ops, &self.place, &filter, |queue, letter| {
            let fit = ops.fits(queue, letter);
            if self.json {
                screen.json(&json!({"v": 1, "id": letter.id(), "queue": queue, "fit": fit}))?;
            }
            match fit {
                Fit::Fits => fits += 1,
                Fit::NotKnown => not_known += 1,
                Fit::Unfit { reason, error } => {
                    let found = unfit.iter_mut().find(|(known, _, _)| *known == reason);
                    match found {
                        Some((_, _, count)) => *count += 1,
                        None => unfit.push((reason, error, 1)),
                    }
                }
            }
            Ok(true)
        });
        let not_looked_at = not_looked_at.await?;
        if !self.json {
            let mut rows = vec![vec![
                fits.to_string(),
                "would be taken".to_owned(),
                String::new(),
            ]];
            let of_unfit = unfit.into_iter();
            rows.extend(
                of_unfit.map(|(reason, error, count)| vec![count.to_string(), reason, error]),
            );
            if not_known > 0 {
                let words = "their handlers look at the body by themselves";
                rows.push(vec![
                    not_known.to_string(),
                    "not known".to_owned(),
                    words.to_owned(),
                ]);
            }
            screen.table(&["COUNT", "THIS BUILD", "THE FIRST OF THEM"], &rows)?;
        }
        tell_rest(not_looked_at, screen)?;
        Ok(match fits {
            0 => Found::Nothing,
            _ => Found::WhatWasLookedFor,
        })
    }
}
