//! A handler that sends messages: it takes a `Publisher` like any other argument.
//!
//! What it sent is confirmed by the broker before its own message is acknowledged, so that a crash between
//! the two sends again and never loses.

use std::time::Duration;

use ploomby::{App, Publisher, Queue, handler};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

#[derive(Deserialize, Serialize)]
struct SignUp {
    name: String,
    mail: String,
}

#[derive(Deserialize, Serialize)]
struct Mail {
    to: String,
    text: String,
}

static SENT: Semaphore = Semaphore::const_new(0);

#[handler("sign_up", queue = "users")]
async fn sign_up(user: SignUp, publisher: Publisher) -> anyhow::Result<()> {
    println!("{} signed up", user.name);
    let welcome = Mail {
        to: user.mail.clone(),
        text: format!("Welcome, {}!", user.name),
    };
    // a queue, the key of its handler, and the payload
    publisher.send("mails", "mail", &welcome).await?;

    let reminder = Mail {
        to: user.mail,
        text: "How do you like it?".to_owned(),
    };
    // the same step by step; the delay is kept by the broker, and survives this program
    publisher
        .to("mails")
        .key("mail")
        .payload(&reminder)
        .header("campaign", "first-steps")
        .delay(Duration::from_secs(1))
        .send()
        .await?;
    Ok(())
}

#[handler("mail", queue = "mails")]
async fn mail(mail: Mail) {
    println!("to {}: {}", mail.to, mail.text);
    SENT.add_permits(1);
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url =
        std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://publish_from_handler".to_owned());
    let app = App::new(&url)
        .queue(Queue::new("users"))
        .queue(Queue::new("mails"))
        .start()
        .await?;

    let publisher = Publisher::connect(&url).await?;
    let user = SignUp {
        name: "Ada".to_owned(),
        mail: "ada@example.org".to_owned(),
    };
    publisher.send("users", "sign_up", &user).await?;
    publisher.close().await;

    SENT.acquire_many(2).await?.forget();
    app.shut_down().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ploomby::testing::TestApp;

    use super::*;

    #[ploomby::test]
    async fn a_user_is_welcome_at_once_and_reminded_later(app: TestApp) {
        let app = app.horizon(Duration::ZERO).start().await;
        let user = SignUp {
            name: "Ada".to_owned(),
            mail: "ada@example.org".to_owned(),
        };
        let run = app.send("users", "sign_up", &user).await;
        run.handled("mail").once();
        let mails = run.sent::<Mail>("mails").times(2);
        let texts: Vec<_> = mails.payloads().into_iter().map(|mail| mail.text).collect();
        assert_eq!(texts, ["Welcome, Ada!", "How do you like it?"]);

        // the test moves the clock, and waits for nothing
        app.advance(Duration::from_secs(1))
            .await
            .handled("mail")
            .once();
    }
}
