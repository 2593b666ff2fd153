//! A letter that is changed before it is sent back.

use std::{
    env,
    fs::{self, OpenOptions},
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;
use serde_json::json;

use super::moving::Consent;
use crate::{
    cli::{
        Fault, Found,
        arguments::{Where, header},
        message::body,
        screen::Screen,
    },
    message::new_id,
    ops::{
        Edit, Filter, Letter, Ops, OpsError, Replay,
        faces::{Form, FormError},
    },
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
            let file = in_editor(&form, &letter)?;
            let text = fs::read_to_string(&file)?;
            written = Some(file);
            form.edit(ops, &queue, &letter, &text)
                .map_err(|error| kept(error.into(), written.as_deref()))?
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

/// Has the letter edited, in a file that is the user's alone.
fn in_editor(form: &Form, letter: &Letter) -> Result<PathBuf, Fault> {
    let chosen = ["VISUAL", "EDITOR"].into_iter().find_map(env::var_os);
    let editor = match chosen.filter(|editor| !editor.is_empty()) {
        Some(editor) => editor,
        None if io::stdin().is_terminal() => "vi".into(),
        None => {
            return Err(Fault::Usage(
                "there is no terminal for an editor: set EDITOR, or say --body, --header or --key"
                    .to_owned(),
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
        .write_all(form.text(letter).as_bytes())?;
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

impl From<FormError> for Fault {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Body(error) => error.into(),
            error => Self::Failed(error.to_string()),
        }
    }
}
