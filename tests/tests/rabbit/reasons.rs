//! Why a broker ends a connection, or lets none in: in its own words, in log, health and error.

use std::process::Stdio;
use std::time::{Duration, Instant};

use ploomby::rabbit::Reconnect;
use ploomby::{App, DeadLetters, HandlerRegistry, KeySource, Publisher, Queue, Retry};
use ploomby_tests::{
    Bed, Cut, DEADLINE, Direction, KEY, Logged, Method, Proxy, eventually, rabbit, rabbit_with,
    seen,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{sleep, timeout};
use tracing::Level;

use crate::rights::user;

fn nothing() -> HandlerRegistry {
    HandlerRegistry::new().register("nothing", || async {})
}

// on one thread, of which the log is kept
#[tokio::test]
async fn the_reason_for_a_closed_connection_is_in_log_health_and_error() {
    const REASON: &str = "maintenance at noon";

    let (log, _kept) = Logged::down_to(Level::TRACE);
    let rabbit = rabbit_with("").await;
    let proxy = Proxy::before((rabbit.host().to_owned(), rabbit.port())).await;
    // so that there is one connection, and its reason
    let set_up = || Queue::new("q").dead_letters(DeadLetters::by_broker());
    let app = App::new(proxy.url()).handlers(nothing());
    let running = app.queue(set_up()).start().await.unwrap();
    let at_once = App::new(rabbit.url()).handlers(nothing());
    let at_once = at_once.reconnect(Reconnect::never()).queue(set_up());
    let mut at_once = at_once.start().await.unwrap();
    let health = running.health();
    // so that what follows on the end does not take the place of the reason at once
    let mute = proxy.swallow_when(Cut::behind(Direction::ToClient, Method::CONNECTION_CLOSE));
    let mut close = rabbit.rabbitmqctl().unwrap();
    let close = close.args(["close_all_connections", REASON]).output();
    let watch = eventually(DEADLINE, async || health.to_string().contains(REASON));
    let ((), output) = tokio::join!(watch, close);
    assert!(output.unwrap().status.success());
    drop(mute);

    let error = at_once.wait().await.unwrap_err().to_string();
    assert!(error.contains(REASON), "{error}");
    proxy.go_on();
    eventually(DEADLINE, async || health.is_healthy()).await;
    running.shut_down().await.unwrap();
    let log = log.text();
    let told = log.lines().filter(|line| line.contains(REASON));
    let told: Vec<_> = told
        .filter(|line| line.contains(&proxy.address()))
        .collect();
    assert_eq!(told.len(), 1, "{told:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_channels_ends_a_start_with_that_reason() {
    let rabbit = rabbit_with("").await;
    let mut limit = rabbit.rabbitmqctl().unwrap();
    let limits = ["set_user_limits", "guest", r#"{"max-channels": 2}"#];
    let output = limit.args(limits).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let app = (0..5).fold(App::new(rabbit.url()).handlers(nothing()), |app, number| {
        app.queue(Queue::new(format!("q{number}")))
    });
    let begin = Instant::now();
    let error = app.start().await.unwrap_err().to_string();
    for part in ["no more channels", "raise the user's limit", "NOT_ALLOWED"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(begin.elapsed() < Duration::from_secs(15));
}

// on one thread, of which the log is kept
#[tokio::test]
async fn a_missing_right_to_keep_what_fails_is_told_at_the_start() {
    let (log, _kept) = Logged::down_to(Level::TRACE);
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            bed.declare(&format!("{queue}_dlq"), &[]).await;
            let url = user([".*", "", ".*"]).await;
            let app = Bed::start_at(&url, Queue::new(&queue), nothing()).await;
            eventually(DEADLINE, async || {
                let log = log.text();
                let parts = ["may not publish to queues", "ACCESS_REFUSED", "`write`"];
                parts.iter().all(|part| log.contains(part))
            })
            .await;
            assert_eq!(bed.consumer_count(&queue).await, 1);
            app.shut_down().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_a_long_name_is_consumed_or_the_name_is_what_is_wrong() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            for kind in ["classic", "quorum"] {
                let mut consumed = 0;
                for len in [200, 215, 220, 226, 231, 236, 241, 246, 251, 252, 255] {
                    let mut queue = bed.queue_name();
                    queue.push_str(&"x".repeat(len - queue.len()));
                    let set_up = Queue::new(&queue)
                        .queue_argument("x-queue-type", kind)
                        .retry(Retry::exponential(5));
                    let app = App::new(bed.url()).handlers(nothing()).queue(set_up);
                    bed.remove_later(&queue);
                    match app.start().await {
                        Ok(app) => {
                            consumed += 1;
                            app.shut_down().await.unwrap();
                        }
                        Err(error) => {
                            let error = error.to_string();
                            assert!(error.contains("1 to 255 bytes"), "{len}: {error}");
                        }
                    }
                }
                assert!(consumed >= 4, "{kind}: {consumed}");
            }
        })
        .await;
}

// on one thread, of which the log is kept
#[tokio::test]
async fn a_name_that_leaves_no_room_for_suspects_is_told_and_its_messages_are_handled() {
    let (log, _kept) = Logged::begin();
    Bed::rabbit()
        .await
        .run(async |bed| {
            let dead_letters = bed.queue_name();
            for (len, is_told) in [(246, false), (247, true), (255, true)] {
                let mut queue = bed.queue_name();
                queue.push_str(&"x".repeat(len - queue.len()));
                bed.remove_later(&queue);
                let (seen, mut handled) = seen();
                let handlers = HandlerRegistry::new()
                    .register("work", move |text: String| async move { seen.note(text) });
                let set_up = Queue::new(&queue)
                    .key(KeySource::header(KEY))
                    .dead_letter_queue(&dead_letters);
                let app = Bed::start_at(bed.url(), set_up, handlers).await;
                bed.send(&queue, "work", "\"1\"").await;
                assert_eq!(handled.next_note().await, "1");
                app.shut_down().await.unwrap();
                let told = log.lines_with(&queue).into_iter();
                let told = told.filter(|line| line.contains("no room for `_suspects`"));
                assert_eq!(told.count() > 0, is_told, "{len}");
            }
        })
        .await;
}

// on one thread, of which the log is kept
#[tokio::test]
async fn no_line_of_the_log_and_no_error_shows_a_password() {
    const PASSWORD: &str = "correct-horse";

    let (log, _kept) = Logged::down_to(Level::TRACE);
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let url = bed.url().parse::<url::Url>().unwrap();
        let (host, port) = (url.host_str().unwrap(), url.port().unwrap());
        let (proxy, _) = crate::proxied().await;
        let mut errors = Vec::new();
        for (user, place) in [
            ("nobody", format!("{host}:{port}")),
            ("guest", format!("{host}:{port}/no-such-vhost")),
            ("guest", "127.0.0.1:1".to_owned()),
            ("guest", "gone.invalid".to_owned()),
            ("guest", format!("{host}:{port}?heartbeat=x")),
            ("guest", proxy.address()),
        ] {
            let url = format!("amqp://{user}:{PASSWORD}@{place}");
            let app = App::new(&url).handlers(nothing());
            let app = app.queue(Queue::new(bed.queue_name())).start().await;
            errors.push(app.unwrap_err());
            let publisher = Publisher::connect(&url).await;
            errors.push(publisher.unwrap_err().into());
        }
        for error in &errors {
            let told = format!("{error} {error:?} {error:#?}");
            assert!(!told.contains(PASSWORD), "{told}");
        }
        // one that gets in, and loses its connection
        let set_up = Queue::new(bed.queue_name());
        let app = Bed::start_at(&proxy.url(), set_up, nothing()).await;
        proxy.cut();
        sleep(Duration::from_millis(500)).await;
        eventually(DEADLINE, async || app.health().is_healthy()).await;
        app.shut_down().await.unwrap();
    })
    .await;
    let log = log.text();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
    // nor that of the one who got in, as it is on the wire
    assert!(!log.contains("guest:guest"), "{log}");
}

/// What is logged on another thread, such as that of the connections, is not in the log of a test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_of_any_thread_shows_a_password() {
    const PASSWORD: &str = "correct-horse";

    Bed::rabbit()
        .await
        .run(async |bed| {
            let url = user([".*", ".*", ".*"]).await;
            let url = url.replace(":secret@", &format!(":{PASSWORD}@"));
            let url = url.parse::<url::Url>().unwrap();
            let set = ["change_password", url.username(), PASSWORD];
            let mut command = rabbit().await.rabbitmqctl().unwrap();
            assert!(command.args(set).status().await.unwrap().success());
            let (proxy, _) = crate::proxied().await;
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            let start = |place: &str| {
                let mut worker = tokio::process::Command::new(env!("CARGO_BIN_EXE_worker"));
                let url = format!("amqp://{}:{PASSWORD}@{place}", url.username());
                worker
                    .args([&url, &queue, "1"])
                    .env("PLOOMBY_WORKER_TRACE", "1")
                    .kill_on_drop(true)
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            };
            let mut logs = Vec::new();
            let (host, port) = (url.host_str().unwrap(), url.port().unwrap());
            for place in [
                format!("{host}:{port}/no-such-vhost"),
                "127.0.0.1:1".to_owned(),
                format!("{host}:{port}?heartbeat=x"),
            ] {
                let output = start(&place).wait_with_output().await.unwrap();
                assert!(!output.status.success(), "{place}");
                logs.push(output);
            }
            // one that gets in, and loses its connection
            let mut worker = start(&proxy.address());
            let mut said = BufReader::new(worker.stdout.take().unwrap()).lines();
            for number in 0..2 {
                bed.send(&queue, "quick", number.to_string()).await;
                let done = format!("done {number} ");
                let is_done =
                    async { while !said.next_line().await.unwrap().unwrap().starts_with(&done) {} };
                timeout(DEADLINE, is_done).await.unwrap();
                proxy.cut();
            }
            let pid = worker.id().unwrap().to_string();
            let mut kill = tokio::process::Command::new("kill");
            assert!(kill.arg(pid).status().await.unwrap().success());
            logs.push(worker.wait_with_output().await.unwrap());
            let logs: Vec<String> = logs
                .into_iter()
                .map(|output| String::from_utf8_lossy(&output.stderr).into_owned())
                .collect();
            assert!(logs.iter().any(|log| log.contains("lost the broker")));
            for log in logs {
                assert!(!log.contains(PASSWORD), "{log}");
            }
        })
        .await;
}
