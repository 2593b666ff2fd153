//! `amqps://`, with a RabbitMQ that lets only programs in that show a certificate.

mod certificates;
mod refusals;
mod terminator;

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use ploomby::rabbit::{RabbitConsumerFactory, RabbitOptions};
use ploomby::{
    App, HandlerRegistry, KeySource, Message, MessageConsumerRegistry, PublishError, Publisher,
    Queue,
};
use ploomby_tests::{Bed, DEADLINE, KEY, Rabbit, eventually, rabbit_with, seen};
use tokio::net::TcpStream;

use self::certificates::{Authority, Certificate, Certificates};

/// A RabbitMQ whose certificate is for `localhost`.
struct TlsRabbit {
    certificates: Certificates,
    authority: Authority,
    port: u16,
    plain: Rabbit,
}

impl TlsRabbit {
    async fn start() -> Self {
        Self::start_with("").await
    }

    async fn start_with(more: &str) -> Self {
        let certificates = Certificates::new();
        let authority = certificates.authority("authority");
        let Certificate { file, key } = certificates.signed(&authority, "broker", "localhost");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let configuration = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\n\
             ssl_options.cacertfile = {}\n\
             ssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\n\
             ssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = true\n\
             {more}",
            certificates.seen_by_the_broker(&authority.file),
            certificates.seen_by_the_broker(&file),
            certificates.seen_by_the_broker(&key)
        );
        let plain = rabbit_with(&configuration).await;
        // it listens there last
        eventually(DEADLINE, async || {
            TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        Self {
            plain,
            certificates,
            authority,
            port,
        }
    }

    fn client(&self) -> Certificate {
        self.certificates
            .signed(&self.authority, "client", "client.example")
    }

    fn url(&self, host: &str, authority: &Authority, client: Option<&Certificate>) -> String {
        let mut url = format!(
            "amqps://{host}:{}?cacertfile={}",
            self.port,
            path(&authority.file)
        );
        if let Some(client) = client {
            url.push_str(&format!(
                "&certfile={}&keyfile={}",
                path(&client.file),
                path(&client.key)
            ));
        }
        url
    }
}

fn path(path: &Path) -> String {
    percent_encoding::utf8_percent_encode(
        path.to_str().unwrap(),
        percent_encoding::NON_ALPHANUMERIC,
    )
    .to_string()
}

/// Whichever way a program starts at this URL, it is told this.
async fn is_refused(url: &str, why: &str) {
    let app = App::new(url).handlers(nothing()).queue(Queue::new("tls"));
    let app = app.start().await.expect_err(url).to_string();
    let publisher = Publisher::connect(url).await.expect_err(url).to_string();
    for error in [app, publisher] {
        assert!(error.contains(why), "{url}: {error}");
    }
}

fn nothing() -> HandlerRegistry {
    HandlerRegistry::new().register("nothing", || async {})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_shows_the_right_certificate_to_the_right_broker_gets_in() {
    let rabbit = TlsRabbit::start().await;
    let client = rabbit.client();
    let authority = &rabbit.authority;
    let other = rabbit.certificates.authority("other");
    let stranger = rabbit.certificates.signed(&other, "stranger", "x.example");

    // the app, the publisher and consumers by hand, all with the right certificate
    let url = rabbit.url("localhost", authority, Some(&client));
    let (seen, mut handled) = seen();
    let handlers = move || {
        HandlerRegistry::new().register("work", move |text: String| async move { seen.note(text) })
    };
    let publisher = Publisher::connect(&url).await.unwrap();
    let message = |text: &'static str| Message::new(text).with_header(KEY, "work").unwrap();
    let app = Bed::start_at(
        &url,
        Queue::new("app").key(KeySource::header(KEY)),
        handlers(),
    )
    .await;
    publisher.publish("app", message("\"app\"")).await.unwrap();
    assert_eq!(handled.next_note().await, "app");
    app.shut_down().await.unwrap();
    let factory = RabbitConsumerFactory::new(&url).unwrap();
    let mut consumers = MessageConsumerRegistry::new(handlers(), factory);
    consumers
        .register("by-hand", KeySource::header(KEY), 1, RabbitOptions::new())
        .await
        .unwrap();
    publisher
        .publish("by-hand", message("\"by hand\""))
        .await
        .unwrap();
    assert_eq!(handled.next_note().await, "by hand");
    consumers.disconnect_consumers().await.unwrap();
    publisher.close().await;

    // the name may be told apart from the address
    let by_address = rabbit.url("127.0.0.1", authority, Some(&client));
    let named = format!("{by_address}&server_name_indication=localhost&verify=verify_peer");
    Publisher::connect(&named).await.unwrap().close().await;

    for (url, why) in [
        (rabbit.url("localhost", authority, None), "`certfile`"),
        (
            rabbit.url("localhost", authority, Some(&stranger)),
            "`certfile`",
        ),
        (by_address, "`server_name_indication`"),
        (
            rabbit.url("localhost", &other, Some(&client)),
            "`cacertfile`",
        ),
        (
            format!("amqp://localhost:{}", rabbit.port),
            "not the one for amqps://",
        ),
        (
            rabbit
                .url("localhost", authority, Some(&client))
                .replace(&rabbit.port.to_string(), &rabbit.plain.port().to_string()),
            "does not speak TLS",
        ),
    ] {
        is_refused(&url, why).await;
    }

    // a certificate that is renewed while the program runs is used from the next connection on
    let url = rabbit.url("localhost", authority, Some(&stranger));
    fs::copy(&client.file, &stranger.file).unwrap();
    fs::copy(&client.key, &stranger.key).unwrap();
    Publisher::connect(&url).await.unwrap().close().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_before_anything_is_connected() {
    let certificates = Certificates::new();
    let authority = certificates.authority("authority");
    let client = certificates.signed(&authority, "client", "client.example");
    let another = certificates.signed(&authority, "another", "client.example");
    let text = certificates.write("text", "not a certificate");
    let secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END SECRET KEY-----\n";
    let broken = certificates.write("broken", secret);
    let missing = text.with_file_name("missing.pem");
    for (parameters, parts) in [
        (
            format!("cacertfile={}", path(&missing)),
            ["missing.pem", "cacertfile", "No such file"],
        ),
        (
            format!("cacertfile={}", path(&text)),
            ["text.pem", "cacertfile", "no certificate in PEM"],
        ),
        (
            format!("certfile={}&keyfile={}", path(&text), path(&client.key)),
            ["text.pem", "certfile", "no certificate in PEM"],
        ),
        (
            format!("certfile={}&keyfile={}", path(&client.file), path(&broken)),
            ["broken.pem", "keyfile", "no unencrypted private key"],
        ),
        (
            format!(
                "certfile={}&keyfile={}",
                path(&client.file),
                path(&another.key)
            ),
            ["client.pem", "another-key.pem", "belong together"],
        ),
        (
            format!("certfile={}", path(&client.file)),
            ["certfile", "keyfile", "belong together"],
        ),
        (
            "server_name_indication=a b".to_owned(),
            ["`a b`", "name", "server_name_indication"],
        ),
    ] {
        let authority = match parameters.contains("cacertfile") {
            true => String::new(),
            false => format!("cacertfile={}&", path(&authority.file)),
        };
        // a port that nothing listens at
        let url = format!("amqps://user:secret@localhost:1?{authority}{parameters}");
        let error = RabbitConsumerFactory::new(&url)
            .expect_err(&url)
            .to_string();
        for part in parts {
            assert!(error.contains(part), "{url}: {error}");
        }
        assert!(!error.contains("secret"), "{url}: {error}");
        assert!(matches!(
            App::new(&url)
                .handlers(nothing())
                .queue(Queue::new("tls"))
                .start()
                .await,
            Err(ploomby::Error::Url(_))
        ));
        assert!(matches!(
            Publisher::connect(&url).await,
            Err(PublishError::Url(_))
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_logs_in_where_the_broker_takes_it_in_the_place_of_a_password() {
    let rabbit = TlsRabbit::start_with("auth_mechanisms.1 = EXTERNAL\n").await;
    let client = rabbit.client();
    // the user's name is that in the certificate, as RabbitMQ reads it
    for command in [
        &["add_user", "CN=client", "unused"][..],
        &["set_permissions", "CN=client", ".*", ".*", ".*"],
    ] {
        let mut rabbitmqctl = rabbit.plain.rabbitmqctl().unwrap();
        let output = rabbitmqctl.args(command).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let url = rabbit.url("localhost", &rabbit.authority, Some(&client));
    is_refused(&url, "`auth_mechanism=external`").await;
    let publisher = Publisher::connect(&format!("{url}&auth_mechanism=external")).await;
    let publisher = publisher.unwrap_or_else(|error| panic!("{error}"));
    publisher.close().await;
}
