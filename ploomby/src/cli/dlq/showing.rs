//! One letter with all that it says.

use std::io;

use super::Show;
use crate::{
    cli::{Fault, Found, screen::Screen},
    ops::{
        Letter, Ops,
        faces::{self, is_json, pretty},
    },
};

/// How much of a body is shown, in characters.
const MOST_BODY: usize = 4_000;

/// How many headers are shown.
const MOST_HEADERS: usize = 40;

impl Show {
    pub(super) async fn execute(self, ops: &Ops, screen: &mut Screen) -> Result<Found, Fault> {
        let (queue, letter) = self.place.letter(ops, &self.id).await?;
        let shown = Shown {
            ops,
            queue: &queue,
            letter: &letter,
            is_full: self.full,
        };
        shown.summary(screen)?;
        shown.headers(screen)?;
        shown.body(screen)?;
        Ok(Found::Nothing)
    }
}

/// A letter, and how much of it is shown.
struct Shown<'s> {
    ops: &'s Ops,
    queue: &'s str,
    letter: &'s Letter,
    is_full: bool,
}

impl Shown<'_> {
    fn summary(&self, screen: &mut Screen) -> io::Result<()> {
        let letter = self.letter;
        let summary = letter.summary();
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let replayed = (summary.replayed > 0).then(|| format!("{} times", summary.replayed));
        let address = letter.address();
        let address = address.map(|(exchange, key)| format!("`{key}` through `{exchange}`"));
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let fit = self.ops.fits(self.queue, letter);
        let lines = [
            ("id", Some(summary.id.clone())),
            ("queue", owned(summary.queue)),
            ("sent to", address),
            ("key", owned(summary.key)),
            ("reason", owned(summary.reason)),
            ("error", owned(summary.error)),
            ("type", owned(summary.error_type)),
            ("handler", owned(summary.handler)),
            ("place", faces::place(self.ops, letter)),
            ("build", owned(summary.app)),
            ("attempts", number(summary.attempts)),
            ("failed at", summary.failed_at.clone()),
            ("replayed", replayed),
            ("edited from", owned(letter.edited_from())),
            ("message id", owned(summary.message_id)),
            ("trace", owned(summary.trace_id)),
            ("this build", Some(faces::fit(&fit))),
        ];
        for (name, value) in lines {
            if let Some(value) = value {
                screen.wrapped(&format!("{name:<12}"), &value)?;
            }
        }
        Ok(())
    }

    fn headers(&self, screen: &mut Screen) -> io::Result<()> {
        let mut headers: Vec<_> = self.letter.message().headers().iter().collect();
        headers.retain(|(name, _)| !name.starts_with("ploomby-"));
        headers.sort_by(|a, b| a.0.cmp(b.0));
        let most = if self.is_full {
            headers.len()
        } else {
            MOST_HEADERS
        };
        for (name, value) in headers.iter().take(most) {
            screen.wrapped("header      ", &format!("{name}: {}", faces::value(value)))?;
        }
        if headers.len() > most {
            screen.line(&format!(
                "            and {} more headers, by --full",
                headers.len() - most
            ))?;
        }
        Ok(())
    }

    fn body(&self, screen: &mut Screen) -> io::Result<()> {
        let body = self.letter.message().body();
        let content_type = self.letter.message().properties().content_type();
        let kind = content_type.unwrap_or("without a content type");
        screen.line(&format!("body        {} bytes, {kind}", body.len()))?;
        let most = if self.is_full { usize::MAX } else { MOST_BODY };
        let text = match self.ops.body_as_text(self.queue, self.letter) {
            Some(json) if is_json(json.as_bytes()) => pretty(&json),
            // what is cut off need not be read
            _ => String::from_utf8_lossy(&body[..body.len().min(most.saturating_mul(4))])
                .into_owned(),
        };
        let shown: String = text.chars().take(most).collect();
        for line in shown.lines() {
            screen.line(&format!("  {line}"))?;
        }
        if shown.len() < text.len() {
            screen.line("  … the rest by --full")?;
        }
        Ok(())
    }
}
