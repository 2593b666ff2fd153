use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, warn};

use super::{
    connection::Link,
    url::{Password, PasswordError, RabbitUrl},
};

/// Who logs in, and with what: the answer to [`App::credentials`](crate::App::credentials).
///
/// `Debug` does not print the password.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: String,
    valid_for: Option<Duration>,
}

impl Credentials {
    /// A user and a password, or a token in its place. RabbitMQ ignores the user of an OAuth 2 token.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
            valid_for: None,
        }
    }

    /// How long the broker takes them from now on (default: for ever). When four fifths of that time are over, new ones
    /// are asked for and sent to the broker, over the connection that is there.
    #[must_use]
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = Some(time);
        self
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("valid_for", &self.valid_for)
            .finish_non_exhaustive()
    }
}

/// Where credentials come from.
#[derive(Clone)]
pub(crate) struct Ask(Arc<dyn Fn() -> Answer + Send + Sync>);

type Answer =
    Pin<Box<dyn Future<Output = Result<Credentials, Box<dyn Error + Send + Sync>>> + Send>>;

impl Ask {
    pub(crate) fn new<Fut, E>(ask: impl Fn() -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Arc::new(move || {
            let answer = ask();
            Box::pin(async { answer.await.map_err(Into::into) })
        }))
    }

    async fn answer(
        &self,
        within: Duration,
    ) -> Result<(Credentials, Option<Lease>), PasswordError> {
        let asked = Instant::now();
        let credentials = timeout(within, (self.0)())
            .await
            .map_err(|_| PasswordError::Late(within))?
            .map_err(|error| PasswordError::NotGiven(error.to_string()))?;
        // a time that the clock cannot count to never comes
        let lease = credentials.valid_for.and_then(|time| {
            Some(Lease {
                renewal: asked.checked_add(time.mul_f64(0.8))?,
                end: asked.checked_add(time)?,
            })
        });
        Ok((credentials, lease))
    }
}

/// How long credentials are good for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    renewal: Instant,
    end: Instant,
}

/// What a connection logs in with: the URL with the user of the moment, the password, and how long they are good for.
pub(super) async fn of(
    url: &RabbitUrl,
) -> Result<(RabbitUrl, String, Option<Lease>), PasswordError> {
    let Password::Asked(ask) = &url.password else {
        return Ok((url.clone(), url.password.read()?, None));
    };
    let (credentials, lease) = ask.answer(url.connect_timeout).await?;
    let url = RabbitUrl {
        user: credentials.user,
        ..url.clone()
    };
    Ok((url, credentials.password, lease))
}

/// Sends new credentials over a connection before the old ones end, and closes it at their end if there are none: the
/// broker would refuse one thing after the other, and nobody would know why.
pub(super) async fn renew(link: Weak<Link>, url: RabbitUrl, mut lease: Lease) {
    const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
    const LONGEST_PAUSE: Duration = Duration::from_secs(30);

    let Password::Asked(ask) = &url.password else {
        return;
    };
    loop {
        sleep_until(lease.renewal).await;
        let Some(link) = link.upgrade().filter(|link| link.is_open()) else {
            return;
        };
        if Instant::now() >= lease.end {
            error!("the credentials ended, and there were no new ones: closing the connection");
            return link.give_up().await;
        }
        let renewed = async {
            let (credentials, next) = ask.answer(url.connect_timeout).await?;
            if credentials.user != url.user {
                return Err(PasswordError::NotGiven(
                    "they are of another user, who needs another connection".to_owned(),
                ));
            }
            match link.update_secret(credentials.password).await {
                Ok(()) => Ok(next),
                Err(refused) => Err(PasswordError::NotGiven(refused)),
            }
        };
        match renewed.await {
            Ok(Some(next)) => {
                debug!("the broker has new credentials");
                lease = next;
            }
            Ok(None) => return,
            Err(error) => {
                warn!(%error, "no new credentials yet, the old ones end soon");
                let left = lease.end.saturating_duration_since(Instant::now());
                let pause = (left / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
                lease.renewal = (Instant::now() + pause).min(lease.end);
            }
        }
    }
}
