//! Handlers, a few messages for them, and the dead letter that becomes of a bad one.
//!
//! Runs on the broker inside the process, or on a RabbitMQ:
//!
//! ```sh
//! cargo run --example quickstart
//! PLOOMBY_URL=amqp://guest:guest@localhost:5672 cargo run --example quickstart
//! ```

use ploomby::{
    App, HandlerRegistry, KeySource, Message, Properties, Publisher, Queue, Reason,
    extract::RawBody,
};
use serde::Deserialize;
use tokio::sync::Notify;

#[derive(Deserialize)]
struct CreateUser {
    name: String,
}

#[ploomby::handler("create_user")]
async fn create_user(user: CreateUser) -> anyhow::Result<()> {
    println!("create_user: welcome, {}", user.name);
    Ok(())
}

/// Borrows from the message: nothing is copied.
#[derive(Deserialize)]
struct SendMail<'a> {
    to: &'a str,
    subject: &'a str,
}

#[ploomby::handler("send_mail")]
async fn send_mail(mail: SendMail<'_>) {
    println!("send_mail: {:?} to {}", mail.subject, mail.to);
}

/// The header `task_name` of each message names the handler.
fn queue() -> Queue {
    Queue::new("quickstart").key(KeySource::header("task_name"))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://quickstart".to_owned());

    let app = App::new(&url).queue(queue()).start().await?;

    publish(&url).await?;
    show_dead_letter(&url).await?;
    app.shut_down().await?;
    Ok(())
}

async fn publish(url: &str) -> anyhow::Result<()> {
    let publisher = Publisher::connect(url).await?;
    for (key, body) in [
        ("create_user", r#"{"name": "Ada"}"#),
        (
            "send_mail",
            r#"{"to": "ada@example.org", "subject": "welcome"}"#,
        ),
        ("create_user", r#"{"name": "Grace"}"#),
        // the name is not text
        ("create_user", r#"{"name": 42}"#),
    ] {
        let message = Message::new(body).with_header("task_name", key)?;
        publisher.publish("quickstart", message).await?;
    }
    publisher.close().await;
    Ok(())
}

static SHOWN: Notify = Notify::const_new();

/// A dead-letter queue is a queue: this handles what lands in it, by its reason.
async fn show_dead_letter(url: &str) -> anyhow::Result<()> {
    let show = |RawBody(body): RawBody, properties: Properties| async move {
        println!(
            "quickstart_dlq: {} because of {}: {}",
            String::from_utf8_lossy(&body),
            properties.headers().text("ploomby-reason").unwrap_or("?"),
            properties.headers().text("ploomby-error").unwrap_or("?"),
        );
        SHOWN.notify_one();
    };
    let dead_letters = App::new(url)
        .handlers(HandlerRegistry::new().register(Reason::Undecodable.as_str(), show))
        .queue(
            Queue::new("quickstart_dlq")
                .key(KeySource::header("ploomby-reason"))
                .dead_letter_queue("quickstart_not_shown"),
        )
        .start()
        .await?;
    SHOWN.notified().await;
    dead_letters.shut_down().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ploomby::{Outcome, testing::TestApp};
    use serde_json::json;

    use super::*;

    #[ploomby::test]
    async fn a_user_and_a_mail_are_handled(app: TestApp) {
        let app = app.queue(queue()).start().await;
        let run = app
            .send("quickstart", "create_user", &json!({"name": "Ada"}))
            .await;
        run.handled("create_user").once().outcome(Outcome::Ack);

        let mail = json!({"to": "ada@example.org", "subject": "welcome"});
        let run = app.send("quickstart", "send_mail", &mail).await;
        run.handled("send_mail").once().outcome(Outcome::Ack);
        app.dead_letters("quickstart").none();
    }

    #[ploomby::test]
    async fn a_user_whose_name_is_no_text_is_a_dead_letter(app: TestApp) {
        let app = app.queue(queue()).start().await;
        let run = app
            .send("quickstart", "create_user", &json!({"name": 42}))
            .await;
        run.handled("create_user").attempts(1);
        let letters = app.dead_letters("quickstart").once();
        letters.reason(Reason::Undecodable).error("name");
    }
}
