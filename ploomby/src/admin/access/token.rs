//! Tokens, and how a request shows them.

use std::{env, fs, path::PathBuf, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, header::AUTHORIZATION, request::Parts};
use subtle::ConstantTimeEq;
use thiserror::Error;
use tracing::warn;

/// What is to be known by who comes in.
#[derive(Clone)]
pub(super) enum Token {
    Given(Arc<str>),
    /// Read for each request, so that a new token counts at once.
    File(PathBuf),
    Env(String),
}

/// A token that is shorter could be guessed.
const SHORTEST: usize = 16;

impl Token {
    pub(super) fn read(&self) -> Result<Arc<str>, AccessError> {
        let fault = |fault| Err(AccessError(fault));
        let token: Arc<str> = match self {
            Self::Given(token) => token.clone(),
            Self::File(file) => match fs::read_to_string(file) {
                Ok(text) => text.trim_end().into(),
                Err(error) => return fault(Fault::File(file.clone(), error)),
            },
            Self::Env(variable) => match env::var(variable) {
                Ok(text) => text.trim_end().into(),
                Err(error) => return fault(Fault::Env(variable.clone(), error)),
            },
        };
        match token.chars().count() < SHORTEST {
            true => fault(Fault::Short),
            false => Ok(token),
        }
    }

    /// Whether it is this one, in a time that does not tell how much of it is right.
    pub(super) fn is(&self, shown: &str) -> bool {
        match self.read() {
            Ok(token) => token.as_bytes().ct_eq(shown.as_bytes()).into(),
            Err(error) => {
                warn!(%error, "nobody gets in by this token");
                false
            }
        }
    }
}

/// What a request shows of who sends it.
pub(super) struct Shown {
    pub(super) who: String,
    pub(super) token: String,
}

impl Shown {
    pub(super) fn of(request: &Parts) -> Option<Self> {
        let header: &HeaderValue = request.headers.get(AUTHORIZATION)?;
        let (scheme, value) = header.to_str().ok()?.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self {
                who: "a program".to_owned(),
                token: value.trim().to_owned(),
            });
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let pair = STANDARD.decode(value.trim()).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        let (who, token) = pair.split_once(':')?;
        let who = if who.is_empty() { "somebody" } else { who };
        Some(Self {
            who: who.to_owned(),
            token: token.to_owned(),
        })
    }
}

/// An [`Access`](super::Access) that would let nobody in as it is meant.
#[derive(Error)]
#[error(transparent)]
pub struct AccessError(pub(super) Fault);

#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("the file `{0}` has no token that can be read: {1}")]
    File(PathBuf, std::io::Error),
    #[error("the variable `{0}` has no token: {1}")]
    Env(String, env::VarError),
    #[error(
        "a token for the admin page has to have {SHORTEST} characters or more, such as those of `openssl rand -hex 16`"
    )]
    Short,
    #[error("`{0}` is no name of a header")]
    Header(String),
}

debug_is_text!(AccessError);
