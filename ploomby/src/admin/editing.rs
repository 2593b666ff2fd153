//! A letter that is changed before it is sent back.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use http::StatusCode;
use maud::html;

use super::{
    Visitor,
    activity::see,
    acts::Ended,
    guard::Fields,
    letters::{short, troubled},
    page::{Page, Tab, token},
    site::Site,
    text::{Told, beginning, size},
    walk::{self, Trouble},
    which::{Which, link},
};
use crate::ops::{Edit, Letter, OpsError, Replay, faces::Form, kind_of_error};

/// A larger body is for another editor than a browser.
const MOST_BODY: usize = 256 * 1024;

/// What a visitor has written so far.
struct Draft {
    key: String,
    headers: String,
    body: String,
}

pub(super) async fn ask(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    fields: Fields,
) -> Response {
    let queue = fields.get("queue").unwrap_or_default();
    let id = fields.get("id").unwrap_or_default();
    let letter = match walk::letter(&site, queue, id).await {
        Ok(letter) => letter,
        Err(trouble) => return refused(&site, &visitor, &trouble),
    };
    match form_of(&site, queue, &letter) {
        Ok(form) => {
            let draft = Draft::of(&form, &letter);
            page(&site, &visitor, (queue, &letter), (&form, &draft), None)
        }
        Err(size) => too_large(&site, &visitor, &letter, size),
    }
}

pub(super) async fn edit(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    let which = match Which::of(&fields) {
        Ok(which) => which,
        Err(trouble) => return refused(&site, &visitor, &trouble),
    };
    let (queue, id) = which.letter();
    let letter = match walk::letter(&site, queue, id).await {
        Ok(letter) => letter,
        Err(trouble) => return refused(&site, &visitor, &trouble),
    };
    let form = match form_of(&site, queue, &letter) {
        Ok(form) => form,
        Err(size) => return too_large(&site, &visitor, &letter, size),
    };
    let written = Draft::written(&fields, &form);
    let wrong = |why: &str| {
        page(
            &site,
            &visitor,
            (queue, &letter),
            (&form, &written),
            Some(why),
        )
    };
    let edit = match written.edit(&site, queue, &letter, &form) {
        Ok(edit) if edit.is_empty() => return wrong("nothing was changed, and nothing is sent"),
        Ok(edit) => edit,
        Err(why) => return wrong(&why),
    };
    match send(&site, &visitor, queue, &letter.id(), edit).await {
        Ok(number) => see(number),
        Err(Trouble::Ops(error)) => wrong(&error.to_string()),
        Err(trouble) => refused(&site, &visitor, &trouble),
    }
}

/// The letter as a form, or the size of a body that is too large. Most of these are not even read.
fn form_of(site: &Site, queue: &str, letter: &Letter) -> Result<Form, usize> {
    let most = |size| if size > MOST_BODY { Err(size) } else { Ok(()) };
    most(letter.message().body().len())?;
    let form = Form::of(&site.ops, queue, letter);
    most(form.body.len())?;
    Ok(form)
}

/// Sends it if the program would take it.
async fn send(
    site: &Arc<Site>,
    visitor: &Visitor,
    queue: &str,
    id: &str,
    edit: Edit,
) -> Result<u64, Trouble> {
    let which = Which::one(queue, id);
    let begun = site
        .acts
        .begin("edit", queue, which.words(), visitor.who(), 1);
    let act = begun.map_err(Trouble::Busy)?;
    let replay = Replay::new(which.filter())
        .limit(1)
        .edited(edit)
        .by(visitor.who());
    let (number, id) = (act.number, id.to_owned());
    let task_site = site.clone();
    // a browser that goes away drops what waits for this, and what is held has to go back in order
    let sending = site.tasks.spawn(async move {
        let site = task_site;
        let sent = async {
            let _turn = site.turns.take(&act.queue).await?;
            let mut replaying = site.ops.replay(&act.queue, replay).await?;
            let replayed = replaying.next().await;
            replaying.end().await?;
            replayed?.ok_or(OpsError::NoLetter(id))?;
            Ok(())
        };
        let sent: Result<(), Trouble> = sent.await;
        match &sent {
            Ok(()) => {
                act.step();
                act.end(Ended::Done);
            }
            // readers see it, too, and no body: who edits has the whole on the form
            Err(trouble) => act.end(Ended::Failed(kind_of_error(&trouble.to_string()))),
        }
        sent
    });
    sending.await.unwrap_or(Err(Trouble::Panicked))?;
    Ok(number)
}

impl Draft {
    fn of(form: &Form, letter: &Letter) -> Self {
        Self {
            key: letter.key().unwrap_or_default().to_owned(),
            headers: form.headers_text(),
            body: form.body.clone(),
        }
    }

    /// What came by a form, in which each end of a line is two characters.
    fn written(fields: &Fields, form: &Form) -> Self {
        let text = |name| fields.get(name).unwrap_or_default();
        let body = match form.body.contains("\r\n") {
            true => text("body").to_owned(),
            false => text("body").replace("\r\n", "\n"),
        };
        Self {
            key: text("key").to_owned(),
            headers: text("headers").replace("\r\n", "\n"),
            body,
        }
    }

    /// What differs from the letter.
    fn edit(&self, site: &Site, queue: &str, letter: &Letter, form: &Form) -> Result<Edit, String> {
        let headers = self.headers.trim();
        let line = if headers.is_empty() { "" } else { "\n" };
        let text = format!("{headers}{line}\n{}", self.body);
        let edit = form.edit(&site.ops, queue, letter, &text);
        let mut edit = edit.map_err(|error| error.to_string())?;
        if self.key != letter.key().unwrap_or_default() {
            edit = edit.key(&self.key);
        }
        Ok(edit)
    }
}

/// The letter as a form.
fn page(
    site: &Arc<Site>,
    visitor: &Visitor,
    (queue, letter): (&str, &Letter),
    (form, draft): (&Form, &Draft),
    wrong: Option<&str>,
) -> Response {
    let id = letter.id();
    let title = format!("Edit letter {}", beginning(short(&id), 40));
    let failed = letter
        .error()
        .or(letter.reason())
        .unwrap_or("it does not say why");
    let page = Page {
        site,
        visitor,
        title: &title,
        tab: Tab::Queues,
        live: None,
    };
    let status = match wrong {
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    };
    page.with_status(status, html! {
        @if let Some(why) = wrong { p.note.wrong role="alert" { (Told(why)) } }
        p { "It failed: " (Told(beginning(failed, 2_000))) }
        form action="edit" method="post" {
            (token(site, visitor)) (Which::one(queue, &id).field())
            div.field {
                label for="key" { "Key" }
                input type="text" id="key" name="key" value=(draft.key) autocomplete="off";
            }
            div.field {
                label for="headers" { "Headers: NAME: VALUE, with the value in JSON" }
                // a line break behind the tag does not belong to the text
                textarea.mono id="headers" name="headers" rows="4" spellcheck="false" { "\n" (draft.headers) }
            }
            div.field {
                label for="body" { @if form.is_base64 { "Body, in base64" } @else { "Body" } }
                textarea.mono id="body" name="body" rows="16" spellcheck="false" { "\n" (draft.body) }
            }
            p.faint { "It is sent once this build would take it. The letter is gone then: what is sent names it." }
            p.actions {
                button.main type="submit" { "Send" }
                a.button href=(link("letter", [("queue", queue), ("id", &id)])) { "Back" }
            }
        }
    })
}

fn too_large(site: &Arc<Site>, visitor: &Visitor, letter: &Letter, bytes: usize) -> Response {
    let id = letter.id();
    let page = Page {
        site,
        visitor,
        title: &format!("Edit letter {}", beginning(short(&id), 40)),
        tab: Tab::Queues,
        live: None,
    };
    page.with_status(StatusCode::PAYLOAD_TOO_LARGE, html! {
        p.note.wrong {
            "Its body has " (size(bytes)) ": " code { "dlq edit " (Told(&id)) } " edits it outside of the browser."
        }
    })
}

fn refused(site: &Arc<Site>, visitor: &Visitor, trouble: &Trouble) -> Response {
    let page = Page {
        site,
        visitor,
        title: "Nothing was sent",
        tab: Tab::Queues,
        live: None,
    };
    page.with_status(trouble.status(), troubled(trouble))
}
