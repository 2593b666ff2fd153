//! Who is let through to a route, and what each response says to the browser.

use std::{convert::Infallible, str::FromStr, sync::Arc};

use axum::{
    body::{self, Body},
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderName, HeaderValue, StatusCode, Uri,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, WWW_AUTHENTICATE,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
    request::Parts,
};
use url::form_urlencoded;

use super::{Visitor, routes::Need, site::Site, text::beginning, walk::Trouble};

/// What stands before one route.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) site: Arc<Site>,
    pub(super) need: Need,
    /// Whether it does something.
    pub(super) acts: bool,
}

/// The fields of a form that was sent by the page itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

/// The name of the field with the token.
pub(super) const TOKEN: &str = "token";

/// How much a form may hold: the largest body that can be edited, as a form writes it.
pub(super) const MOST_FORM: usize = 4 * 1024 * 1024;

/// Lets a request through to its route, or says why not.
pub(super) async fn check(
    State(Guard { site, need, acts }): State<Guard>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    if !site.door.is_asked_for(&parts) {
        let text = "this port answers to 127.0.0.1 and localhost alone: another name needs an `Access` that asks who comes\n";
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    let Need::Role(least) = need else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    let Some(visitor) = site.door.visitor(&parts) else {
        return unknown(&site);
    };
    if visitor.role < least {
        let (has, least) = (visitor.role.as_str(), least.as_str());
        let text = format!(
            "{} has the role `{has}`, and this needs `{least}`\n",
            visitor.who
        );
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let body = match acts {
        false if is_part_of_another_page(&parts) => return forged(),
        false => body,
        true => match form(&site, &visitor, &parts, body).await {
            Ok(fields) => {
                parts.extensions.insert(fields);
                Body::empty()
            }
            Err(response) => return response,
        },
    };
    parts.extensions.insert(visitor);
    next.run(Request::from_parts(parts, body)).await
}

/// What each response says to the browser, whatever it holds.
pub(super) async fn with_headers(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 7] = [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // the page's own forms say where they come from
        (REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (CACHE_CONTROL, "no-store"),
    ];

    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

pub(super) async fn nothing_here() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, "there is nothing here\n")
}

/// Those of the query. Those of a form come by the guard, which reads them first.
impl<S: Sync> FromRequestParts<S> for Fields {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.query().unwrap_or_default().as_bytes()))
    }
}

impl Fields {
    pub(super) fn of(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// A field that holds something.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.said(name).filter(|value| !value.is_empty())
    }

    /// A field, though it may be empty.
    pub(super) fn said(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        let found = fields.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The number in a field that holds something.
    ///
    /// # Errors
    ///
    /// Something else than a number.
    pub(super) fn number<N: FromStr>(&self, name: &'static str) -> Result<Option<N>, Trouble> {
        let read = |text: &str| {
            let number = text.trim().parse();
            number.map_err(|_| Trouble::NoNumber(name, beginning(text, 40)))
        };
        self.get(name).map(read).transpose()
    }
}

/// The fields of a form, if it is one of the page itself.
async fn form(
    site: &Site,
    visitor: &Visitor,
    parts: &Parts,
    body: Body,
) -> Result<Fields, Response> {
    if !is_of_the_same_origin(parts) {
        return Err(forged());
    }
    let Ok(body) = body::to_bytes(body, MOST_FORM).await else {
        let text = "this is more than a form of the page holds\n";
        return Err((StatusCode::PAYLOAD_TOO_LARGE, text).into_response());
    };
    let fields = Fields::of(&body);
    match fields
        .get(TOKEN)
        .is_some_and(|token| site.tokens.is(visitor, token))
    {
        true => Ok(fields),
        false => Err(forged()),
    }
}

/// Whether a request says that it comes from a page of its own origin. Browsers say so, and no page can say it for them.
fn is_of_the_same_origin(parts: &Parts) -> bool {
    if let Some(site) = parts.headers.get(SEC_FETCH_SITE) {
        return site == "same-origin";
    }
    // a browser that is older, or asks without TLS
    let text = |name| {
        parts
            .headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let host = text(HOST).or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
    let origin = text(ORIGIN).and_then(|origin| origin.parse::<Uri>().ok());
    let from = origin.as_ref().and_then(|origin| origin.authority());
    match (from, host) {
        (Some(from), Some(host)) => from.as_str().eq_ignore_ascii_case(host),
        _ => false,
    }
}

/// Whether another page asks for this as a part of itself, and not because somebody follows a link.
fn is_part_of_another_page(parts: &Parts) -> bool {
    let is = |name, value: &str| parts.headers.get(name).is_some_and(|found| found == value);
    let is_from_elsewhere = is(SEC_FETCH_SITE, "cross-site") || is(SEC_FETCH_SITE, "same-site");
    is_from_elsewhere && !is(SEC_FETCH_MODE, "navigate")
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

fn unknown(site: &Site) -> Response {
    let text = "say who you are\n";
    if !site.door.takes_tokens() {
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let ask = [(
        WWW_AUTHENTICATE,
        "Basic realm=\"ploomby: any name, and the token as the password\"",
    )];
    (StatusCode::UNAUTHORIZED, ask, text).into_response()
}

fn forged() -> Response {
    let text = "this was not sent by a page of this program as it runs now: open the page again\n";
    (StatusCode::FORBIDDEN, text).into_response()
}
