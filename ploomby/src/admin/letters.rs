//! The dead letters of a queue: in groups, and one by one.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{Extension, extract::State, response::Response};
use maud::{Markup, html};

use super::{
    Role, Visitor,
    guard::Fields,
    page::{Page, Tab},
    site::Site,
    text::{Told, beginning, count, size},
    walk::{Far, Trouble, Went, walk},
    which::{KINDS, Which, kind_of, link, name_of},
};
use crate::ops::{Group, GroupBy, Groups, Letter, faces, kind_of_error};

/// At so many letters a page looks, if it is asked for no other number.
const SCAN: usize = 1_000;
const MOST_SCAN: usize = 20_000;

/// A page is opened after this time, however many letters there are.
const TIME: Duration = Duration::from_millis(1_500);

/// So many of each kind are shown.
const MOST_ROWS: usize = 50;

/// A text is cut here: the whole stands on the page of its letter.
const MOST_TEXT: usize = 240;

/// What is kept of letters that were looked at.
struct Seen {
    groups: Groups,
    rows: Vec<Row>,
    matching: usize,
}

/// A letter without its body.
struct Row {
    id: String,
    failed_at: Option<String>,
    key: String,
    error: String,
    attempts: Option<u32>,
    bytes: usize,
}

impl Row {
    fn of(letter: &Letter, visitor: &Visitor) -> Self {
        let summary = letter.summary();
        let error = summary.error.map(|error| error_for(visitor, error));
        let error = error.as_deref().or(summary.reason).unwrap_or("–");
        Self {
            failed_at: summary.failed_at,
            key: beginning(summary.key.unwrap_or("–"), MOST_TEXT),
            error: beginning(error, MOST_TEXT),
            attempts: summary.attempts,
            bytes: summary.bytes,
            id: summary.id,
        }
    }
}

/// How many letters are meant, of those that a page looks at.
pub(super) async fn count_of(site: &Arc<Site>, which: &Which) -> Result<(usize, Went), Trouble> {
    let far = Far {
        letters: SCAN,
        time: TIME,
    };
    let filter = which.filter();
    let counting = walk(site, &which.queue, far, 0, move |count, _, letter| {
        *count += usize::from(filter.matches(letter));
        ControlFlow::Continue(())
    });
    counting.await
}

pub(super) async fn letters(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    fields: Fields,
) -> Response {
    let which = match Which::of(&fields) {
        Ok(which) if which.error.is_some() && visitor.role < Role::Operator => {
            return refused(&site, &visitor, &Trouble::NotForReaders);
        }
        Ok(which) => which,
        Err(trouble) => return refused(&site, &visitor, &trouble),
    };
    let by = fields.get("by").and_then(kind_of).unwrap_or_default();
    let scan = fields.get("scan").and_then(|scan| scan.parse().ok());
    let far = Far {
        letters: scan.unwrap_or(SCAN).clamp(1, MOST_SCAN),
        time: TIME,
    };
    let seen = Seen {
        groups: Groups::new(by),
        rows: Vec::new(),
        matching: 0,
    };
    let (filter, who) = (which.filter(), visitor.clone());
    let looking = walk(&site, &which.queue, far, seen, move |seen, _, letter| {
        if filter.matches(letter) {
            seen.groups.add(letter);
            seen.matching += 1;
            if seen.rows.len() < MOST_ROWS {
                seen.rows.push(Row::of(letter, &who));
            }
        }
        ControlFlow::Continue(())
    });
    let title = format!("Dead letters of {}", which.queue);
    let page = Page {
        site: &site,
        visitor: &visitor,
        title: &title,
        tab: Tab::Queues,
        live: None,
    };
    match looking.await {
        Ok((seen, went)) => page.with(html! {
            (filters(&which, by, far, &visitor))
            (looked(&seen, went, &which))
            @if seen.matching > 0 { (all_of_them(&which, &visitor)) }
            (grouped(seen.groups.into_groups(), &which, by, &visitor))
            (listed(&seen.rows, seen.matching, &which))
        }),
        Err(trouble) => page.with_status(trouble.status(), troubled(&trouble)),
    }
}

/// An error as a visitor may see it: it may hold parts of the body, which readers do not see.
pub(super) fn error_for(visitor: &Visitor, error: &str) -> String {
    match visitor.role {
        Role::Reader => kind_of_error(error),
        Role::Operator | Role::Admin => error.to_owned(),
    }
}

fn refused(site: &Arc<Site>, visitor: &Visitor, trouble: &Trouble) -> Response {
    let page = Page {
        site,
        visitor,
        title: "Letters",
        tab: Tab::Queues,
        live: None,
    };
    page.with_status(trouble.status(), troubled(trouble))
}

/// What stands in place of letters that cannot be seen.
pub(super) fn troubled(trouble: &Trouble) -> Markup {
    html! {
        p.note.wrong[!trouble.status().is_success()] role="status" {
            (Told(trouble.to_string()))
            @if let Trouble::Busy(act) = trouble {
                " " a href=(link("act", [("n", act.to_string())])) { "See how far it is" }
            }
        }
    }
}

fn filters(which: &Which, by: GroupBy, far: Far, visitor: &Visitor) -> Markup {
    let text = |name: &'static str, label: &str, value: &Option<String>| {
        html! { div {
            label for=(name) { (label) }
            input type="text" id=(name) name=(name) value=(value.as_deref().unwrap_or_default()) autocomplete="off";
        } }
    };
    html! {
        form.card action="letters" method="get" role="search" aria-label="Filter" {
            input type="hidden" name="queue" value=(which.queue);
            div.fields {
                (text("key", "Key", &which.key))
                (text("reason", "Reason", &which.reason))
                @if visitor.role >= Role::Operator { (text("error", "Text in the error", &which.error)) }
                div {
                    label for="by" { "Group by" }
                    select id="by" name="by" {
                        @for (kind, name) in KINDS { option value=(name) selected[kind == by] { (name) } }
                    }
                }
                div {
                    label for="scan" { "Look at" }
                    input type="number" id="scan" name="scan" min="1" max=(MOST_SCAN) value=(far.letters);
                }
                button type="submit" { "Look" }
            }
        }
    }
}

/// How many there are, and how many were not looked at.
fn looked(seen: &Seen, went: Went, which: &Which) -> Markup {
    let looked = went.total - went.not_looked_at.min(went.total);
    html! {
        p role="status" {
            @match (went.total, went.not_looked_at) {
                (0, _) => "There are no dead letters.",
                (1, _) => "There is one letter.",
                (total, 0) => { "There are " (count(total)) " letters." },
                (total, rest) => {
                    "There are " (count(total)) " letters. The oldest " (count(looked)) " were looked at, and "
                    (count(rest)) " were not."
                },
            }
            @if let Some(words) = which.words() {
                " " (count(seen.matching)) @if seen.matching == 1 { " is" } @else { " are" }
                " meant: " (Told(words)) ". " a href=(link("letters", [("queue", &which.queue)])) { "See all" }
            }
        }
    }
}

/// What can be done with all that are meant.
fn all_of_them(which: &Which, visitor: &Visitor) -> Markup {
    let words = if which.words().is_some() {
        "these"
    } else {
        "all"
    };
    html! {
        @if visitor.role >= Role::Operator {
            p.actions {
                a.button.main href=(which.link("replay")) { "Replay " (words) "…" }
                @if visitor.role >= Role::Admin {
                    a.button.harm href=(which.link("discard")) { "Discard " (words) "…" }
                }
            }
        }
    }
}

fn grouped(groups: Vec<Group>, which: &Which, by: GroupBy, visitor: &Visitor) -> Markup {
    let now = SystemTime::now();
    let more = groups.len().saturating_sub(MOST_ROWS);
    let ago = |at: Option<SystemTime>| {
        let ago = at.and_then(|at| now.duration_since(at).ok());
        ago.map_or_else(|| "–".to_owned(), |ago| faces::ago(ago.as_secs()))
    };
    html! {
        @if !groups.is_empty() {
            h2 { "By " (name_of(by)) }
            div.table { table {
                thead { tr {
                    th scope="col" { (name_of(by)) }
                    th.number scope="col" { "Letters" }
                    th scope="col" { "Last" }
                    th scope="col" { "Keys" }
                    @if visitor.role >= Role::Operator { th scope="col" { "Control" } }
                } }
                tbody {
                    @for group in groups.iter().take(MOST_ROWS) {
                        @let which = which.of_group(by, group.name.as_deref());
                        @let name = beginning(group.name.as_deref().unwrap_or("(says nothing)"), MOST_TEXT);
                        tr {
                            th scope="row" { a href=(which.link("letters")) { (Told(&name)) } }
                            td.number data-label="Letters" { (count(group.count)) }
                            td.short data-label="Last" { (ago(group.last)) }
                            td data-label="Keys" { (Told(beginning(&group.keys.join(", "), MOST_TEXT))) }
                            @if visitor.role >= Role::Operator {
                                td data-label="Control" {
                                    a.button.small href=(which.link("replay")) aria-label={ "Replay " (Told(&name)) } { "Replay…" }
                                }
                            }
                        }
                    }
                }
            } }
            @if more > 0 { p.faint { (count(more)) " more groups are smaller." } }
        }
    }
}

fn listed(rows: &[Row], matching: usize, which: &Which) -> Markup {
    html! {
        @if !rows.is_empty() {
            h2 { "Letters, the oldest first" }
            div.table { table {
                thead { tr {
                    th scope="col" { "Letter" }
                    th scope="col" { "Failed (UTC)" }
                    th scope="col" { "Key" }
                    th scope="col" { "Error" }
                    th.number scope="col" { "Attempts" }
                    th.number scope="col" { "Size" }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" {
                                a.mono.short href=(link("letter", [("queue", &which.queue), ("id", &row.id)])) { (Told(short(&row.id))) }
                            }
                            td.short data-label="Failed (UTC)" { (Told(when(row.failed_at.as_deref()))) }
                            td data-label="Key" { (Told(&row.key)) }
                            td data-label="Error" { (Told(&row.error)) }
                            td.number data-label="Attempts" { @if let Some(attempts) = row.attempts { (attempts) } @else { "–" } }
                            td.number data-label="Size" { (size(row.bytes)) }
                        }
                    }
                }
            } }
            @if matching > rows.len() {
                p.faint { (count(matching - rows.len())) " more of those that were looked at are not listed: filter, or take a group." }
            }
        }
    }
}

/// The end of a name is by chance, and enough.
pub(super) fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(12)..).unwrap_or(id)
}

fn when(time: Option<&str>) -> String {
    let time = time.unwrap_or("–");
    time.replace('T', " ").trim_end_matches('Z').to_owned()
}
