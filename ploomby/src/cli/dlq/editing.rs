//! A letter that is changed before it is sent back.

use std::{
    env,
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use serde_json::json;

use super::moving::Consent;
use crate::{
    cli::{
        Fault, Found,
        arguments::{Where, header},
        message::body,
        pretty::{is_json, pretty},
        screen::{Screen, clean},
    },
    message::{Value, header_names as headers, new_id},
    ops::{Edit, Filter, Letter, Ops, OpsError, Replay, typed, untyped},
};

/// `dlq edit`.
#[derive(Args, Clone, Debug)]
pub struct EditOf {
    /// The name of the letter, or the end of it
    id: String,
    #[command(flatten)]
    pub(super) place: Where,
    /// This body (or `@file`, or `-`), without an editor
    #[arg(long, value_name = "BODY", allow_negative_numbers = true)]
    body: Option<String>,
    /// This header, as text, without an editor
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// This key, without an editor
    #[arg(long)]
    key: Option<String>,
    /// Goes on with what an editor wrote before
    #[arg(long, value_name = "FILE", conflicts_with_all = ["body", "header"])]
    file: Option<PathBuf>,
    /// Sends nothing, and says whether it would be taken
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
    /// A line of JSON
    #[arg(long)]
    json: bool,
}

/// A letter as it is written for an editor.
struct Form {
    headers: Vec<(String, Value)>,
    body: String,
    /// The body is none that people write, and stands there in base64.
    is_base64: bool,
}

impl EditOf {
    pub(super) async fn execute(self, ops: &Ops, screen: &mut Screen) -> Result<Found, Fault> {
        let (queue, letter) = self.place.letter(ops, &self.id).await?;
        let form = Form::of(ops, &queue, &letter);
        let mut written = None;
        let mut edit = if let Some(file) = &self.file {
            let text = fs::read_to_string(file);
            let text = text.map_err(|error| Fault::of_file("read", file, &error))?;
            form.edit(ops, &queue, &letter, &text)?
        } else if self.body.is_some() || self.key.is_some() || !self.header.is_empty() {
            self.edit(&form)?
        } else {
            let file = form.in_editor(&letter)?;
            let text = fs::read_to_string(&file)?;
            written = Some(file);
            form.edit(ops, &queue, &letter, &text)
                .map_err(|fault| kept(fault, written.as_deref()))?
        };
        if let Some(key) = &self.key {
            edit = edit.key(key);
        }
        if edit.is_empty() {
            written.map_or(Ok(()), fs::remove_file)?;
            return Err(Fault::Failed(
                "nothing was changed, and nothing is sent".to_owned(),
            ));
        }
        let sent = self.send(ops, (&queue, &letter), edit, screen).await;
        match sent {
            Ok(found) => {
                written.map_or(Ok(()), fs::remove_file)?;
                Ok(found)
            }
            Err(fault) => Err(kept(fault, written.as_deref())),
        }
    }

    /// What the options say.
    fn edit(&self, form: &Form) -> Result<Edit, Fault> {
        let mut edit = Edit::new();
        if let Some(text) = &self.body {
            edit = edit.body(body(text, true)?);
        }
        if !self.header.is_empty() {
            let mut headers = form.headers.clone();
            for text in &self.header {
                let (name, value) = header(text)?;
                headers.retain(|(known, _)| known != name);
                headers.push((name.to_owned(), value.into()));
            }
            edit = edit.headers(headers);
        }
        Ok(edit)
    }

    async fn send(
        &self,
        ops: &Ops,
        (queue, letter): (&str, &Letter),
        edit: Edit,
        screen: &mut Screen,
    ) -> Result<Found, Fault> {
        let id = letter.id();
        let replay = Replay::new(Filter::all().id(&id)).limit(1);
        let replay = replay.scan(self.place.scan()).edited(edit);
        // refused before anybody is asked
        let mut trying = ops.replay(queue, replay.clone().dry_run()).await?;
        let tried = trying.next().await;
        trying.end().await?;
        let would_be = tried?.ok_or_else(|| OpsError::NoLetter(id.clone()))?;
        if !self.dry_run {
            let what = format!("send letter {id}, edited, to {}", would_be.queue);
            self.consent.asked(&what)?;
            let mut replaying = ops.replay(queue, replay).await?;
            let replayed = replaying.next().await;
            replaying.end().await?;
            replayed?.ok_or_else(|| OpsError::NoLetter(id.clone()))?;
        }
        let verb = match self.dry_run {
            true => "would be taken",
            false => "sent",
        };
        match self.json {
            true => screen.json(&json!({
                "v": 1,
                "act": "edit",
                "dry_run": self.dry_run,
                "id": id,
                "queue": queue,
            }))?,
            false => screen.line(&format!("{id} {verb}, edited, to {}", would_be.queue))?,
        }
        Ok(Found::Nothing)
    }
}

/// Says where the work is.
fn kept(fault: Fault, file: Option<&Path>) -> Fault {
    let Some(file) = file else { return fault };
    let told = |text| {
        format!(
            "{text}; what you wrote is in {}: go on with --file",
            file.display()
        )
    };
    match fault {
        Fault::Usage(text) => Fault::Usage(told(text)),
        Fault::Failed(text) => Fault::Failed(told(text)),
        Fault::Partly(text) => Fault::Partly(told(text)),
        Fault::Closed => Fault::Closed,
    }
}

impl Form {
    fn of(ops: &Ops, queue: &str, letter: &Letter) -> Self {
        let all = letter.message().headers().iter();
        let own = |name: &str| {
            name.starts_with(headers::PREFIX) || headers::OF_THE_BROKER.contains(&name)
        };
        let mut headers: Vec<_> = all
            .filter(|(name, _)| !own(name))
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        headers.sort_by(|a, b| a.0.cmp(&b.0));
        let text = ops.body_as_text(queue, letter);
        let is_base64 = text.is_none();
        let body = match text {
            Some(text) if is_json(text.as_bytes()) => pretty(&text),
            Some(text) => text,
            None => STANDARD.encode(letter.message().body()),
        };
        Self {
            headers,
            body,
            is_base64,
        }
    }

    fn text(&self, letter: &Letter) -> String {
        let mut text = String::new();
        let failed = letter
            .error()
            .or(letter.reason())
            .unwrap_or("it does not say why");
        let key = letter.key().unwrap_or("no key");
        let body = match self.is_base64 {
            true => "the body in base64",
            false => "the body",
        };
        let _ = writeln!(
            text,
            "# Letter {} ({}). It failed: {}\n# Lines up here that begin with # do not count. Then come the headers, each as NAME: VALUE in\n\
             # JSON, an empty line, and {body}. It is sent once this build would take it.",
            clean(&letter.id()),
            clean(key),
            clean(failed),
        );
        for (name, value) in &self.headers {
            let value = typed(value);
            let _ = match name.contains([':', '"', '\n', '#', ' ']) {
                true => writeln!(text, "{}: {value}", json!(name)),
                false => writeln!(text, "{name}: {value}"),
            };
        }
        let _ = writeln!(text, "\n{}", self.body);
        text
    }

    /// Has the letter edited, in a file that is the user's alone.
    fn in_editor(&self, letter: &Letter) -> Result<PathBuf, Fault> {
        let chosen = ["VISUAL", "EDITOR"].into_iter().find_map(env::var_os);
        let editor = match chosen.filter(|editor| !editor.is_empty()) {
            Some(editor) => editor,
            None if io::stdin().is_terminal() => "vi".into(),
            None => {
                return Err(Fault::Usage(
                    "there is no terminal for an editor: set EDITOR, or say --body, --header or --key".to_owned(),
                ));
            }
        };
        let file = env::temp_dir().join(format!("letter-{}.txt", new_id()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
            .open(&file)?
            .write_all(self.text(letter).as_bytes())?;
        // it may have arguments of its own
        let mut command = match cfg!(unix) {
            true => {
                let mut shell = Command::new("sh");
                let mut script = editor.clone();
                script.push(" \"$1\"");
                shell.arg("-c").arg(script).arg("editor");
                shell
            }
            false => Command::new(&editor),
        };
        let ended = command.arg(&file).status();
        match ended {
            Ok(status) if status.success() => Ok(file),
            ended => {
                fs::remove_file(&file)?;
                let why = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                let editor = editor.to_string_lossy().into_owned();
                Err(Fault::Failed(format!(
                    "the editor `{editor}` failed: {why}; nothing is sent"
                )))
            }
        }
    }

    /// What differs from the letter.
    fn edit(&self, ops: &Ops, queue: &str, letter: &Letter, text: &str) -> Result<Edit, Fault> {
        let (headers, body) = read(text)?;
        let mut edit = Edit::new();
        if headers != self.headers {
            edit = edit.headers(headers);
        }
        if body.trim_end() == self.body.trim_end() {
            return Ok(edit);
        }
        let body = match self.is_base64 {
            true => STANDARD
                .decode(body.split_whitespace().collect::<String>())
                .map_err(|error| Fault::Failed(format!("the body is no base64: {error}")))?,
            false => ops.body_from_text(queue, letter, body.trim_end_matches('\n'))?,
        };
        Ok(edit.body(body))
    }
}

type Headers = Vec<(String, Value)>;

/// The headers, by name, and the body.
fn read(text: &str) -> Result<(Headers, &str), Fault> {
    let mut headers = Vec::new();
    let mut rest = text;
    for number in 1.. {
        if rest.is_empty() {
            break;
        }
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let line = line.trim_end_matches('\r');
        rest = after;
        if line.trim().is_empty() {
            break;
        }
        if line.starts_with('#') && headers.is_empty() {
            continue;
        }
        let header = header_of(line).ok_or_else(|| {
            Fault::Failed(format!(
                "line {number} is no header: write NAME: VALUE, with the value in JSON, and an empty line before the body"
            ))
        })?;
        headers.push(header);
    }
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    Ok((headers, rest))
}

fn header_of(line: &str) -> Option<(String, Value)> {
    let (name, value) = match line.starts_with('"') {
        true => {
            let mut names = serde_json::Deserializer::from_str(line).into_iter::<String>();
            let name = names.next()?.ok()?;
            let rest = &line[names.byte_offset()..];
            (name, rest.trim_start().strip_prefix(':')?)
        }
        false => {
            let (name, value) = line.split_once(':')?;
            (name.trim().to_owned(), value)
        }
    };
    let value = untyped(&serde_json::from_str(value.trim()).ok()?)?;
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    #[test]
    fn what_is_written_for_an_editor_is_read_as_it_is() {
        let headers = vec![
            ("a: \"b\"\n".to_owned(), Value::Void),
            ("shard".to_owned(), Value::I64(5)),
            ("tenant".to_owned(), Value::Text("a\nb#".into())),
        ];
        let form = Form {
            headers: headers.clone(),
            body: "# not a comment\n\n{}".to_owned(),
            is_base64: false,
        };
        let letter = Letter::of_test(Message::new(""));
        let text = form.text(&letter);
        let (read_headers, body) = read(&text).ok().unwrap();
        assert_eq!(read_headers, headers);
        assert_eq!(body, "# not a comment\n\n{}\n");
        for wrong in ["no header\n\n{}", "a: b\n", "a: 1\n", "{\n}"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("").is_ok());
    }
}
