//! Several hosts, of which some do not answer.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use ploomby::{App, HandlerRegistry, KeySource, Queue, Running};
use ploomby_tests::{
    Bed, Cut, DEADLINE, Direction, FakeBroker, KEY, Manner, Method, Proxy, eventually, rabbit, seen,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::proxied;

/// How long it may take to come to a good host.
const SOON: Duration = Duration::from_secs(15);

/// An address that drops packets: nobody accepts, and nobody may wait for that any more.
struct Dropping {
    address: String,
    _kept: (TcpListener, Vec<TcpStream>),
}

impl Dropping {
    async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    async fn start_at(address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let socket = socket.unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) =
            timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            waiting.push(stream);
        }
        Self {
            address: address.to_string(),
            _kept: (listener, waiting),
        }
    }
}

/// A host that lets so much through and then nothing more, ever.
async fn mute(from: Option<Method>) -> Proxy {
    let (proxy, _) = proxied().await;
    match from {
        None => proxy.swallow(),
        // nobody waits for it
        Some(method) => drop(proxy.swallow_when(Cut::behind(Direction::ToBroker, method))),
    }
    proxy
}

async fn start(url: &str, queue: &str, handlers: HandlerRegistry) -> Running {
    let app = App::new(url)
        .handlers(handlers)
        .queue(Queue::new(queue).key(KeySource::header(KEY)));
    app.start().await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_mute_at_any_step_is_passed_over_at_the_start_and_after_a_cut() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let steps = [
                None,
                Some(Method::CONNECTION_OPEN),
                Some(Method::CHANNEL_OPEN),
                Some(Method::QUEUE_DECLARE),
                Some(Method::QOS),
                Some(Method::CONSUME),
            ];
            join_all(steps.map(async |step| {
                let queue = bed.queue_name();
                let (seen, mut handled) = seen();
                let handlers = HandlerRegistry::new()
                    .register("work", move |text: String| async move { seen.note(text) });
                let (dropping, mute_first) = (Dropping::start().await, mute(step).await);
                let ((good, _), (other, _)) = (proxied().await, proxied().await);
                let mute_again = mute(step).await;
                let url = format!(
                    "amqp://guest:guest@{},{},{},{},{}",
                    dropping.address,
                    mute_first.address(),
                    good.address(),
                    mute_again.address(),
                    other.address(),
                );
                other.refuse();
                let begin = Instant::now();
                let app = start(&url, &queue, handlers).await;
                let took = begin.elapsed();
                assert!(took < SOON, "{step:?}: {took:?}");

                // the good one goes, and the next one of the list is as mute
                other.accept();
                good.refuse();
                good.cut();
                let health = app.health();
                let come = async {
                    while health.is_healthy() {
                        sleep(Duration::from_millis(1)).await;
                    }
                    while !health.is_healthy() {
                        sleep(Duration::from_millis(5)).await;
                    }
                };
                let is_soon = timeout(SOON, come).await.is_ok();
                assert!(is_soon, "{step:?}: {health}");
                // the broker may believe that the mute one consumes, and give it every other message
                for _ in 0..4 {
                    bed.send(&queue, "work", "\"again\"").await;
                }
                assert_eq!(handled.next_note().await, "again");
                eventually(DEADLINE, async || app.health().is_healthy()).await;
                app.shut_down().await.unwrap();
            }))
            .await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_queues_without_a_broker_make_one_attempt_at_a_time() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let handlers = HandlerRegistry::new().register("nothing", || async {});
            let app = (0..20).fold(App::new(&url).handlers(handlers), |app, _| {
                app.queue(Queue::new(bed.queue_name()))
            });
            let running = app.start().await.unwrap();
            let before = proxy.accepted();
            // who connects from here on waits for a greeting that does not come
            proxy.swallow();
            proxy.cut();
            let health = running.health();
            eventually(DEADLINE, async || {
                health.queues().iter().all(|queue| queue.consuming() == 0)
            })
            .await;
            sleep(Duration::from_secs(5)).await;
            let attempts = proxy.accepted() - before;
            assert!((1..=4).contains(&attempts), "{attempts}");
            proxy.cut();
            proxy.go_on();
            eventually(DEADLINE, async || health.is_healthy()).await;
            running.shut_down().await.unwrap();
        })
        .await;
}

#[tokio::test]
async fn whoever_answers_in_the_place_of_a_broker_is_told_as_what_it_is() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    for (answer, parts) in [
        (&b""[..], ["before the login began", "a live server"]),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ["HTTP", "5672"]),
        (b"AMQP\x00\x01\x00\x00", ["AMQP 1.0", "0-9-1"]),
        (b"\x15\x03\x03\x00\x02\x02\x28", ["speaks TLS", "amqps://"]),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut greeting = [0; 8];
                let _ = stream.read_exact(&mut greeting).await;
                let _ = stream.write_all(answer).await;
            }
        });
        let handlers = HandlerRegistry::new().register("nothing", || async {});
        let app = App::new(format!("amqp://user:secret@{address}"));
        let app = app.handlers(handlers).queue(Queue::new("q"));
        let error = app.start().await.unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("check user and password"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_fails_within_itself_at_any_step_is_passed_over() {
    // from the answer to `connection.open` to that to `basic.consume`
    let answers = 2..10;
    join_all(answers.map(async |answer| {
        let failing = FakeBroker::start(move |_| Manner::Failing { answer }).await;
        let good = FakeBroker::start(|_| Manner::Honest).await;
        let (seen, mut handled) = seen();
        let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
            seen.note(number.to_string());
        });
        let url = format!(
            "amqp://guest:guest@{},{}",
            failing.address(),
            good.address()
        );
        let begin = Instant::now();
        let set_up = Queue::new("q").key(KeySource::header("task_name"));
        let app = App::new(url).handlers(handlers).queue(set_up).start().await;
        let app = app.unwrap_or_else(|error| panic!("{answer}: {error}"));
        handled.next_note().await;
        assert!(begin.elapsed() < SOON, "{answer}: {:?}", begin.elapsed());
        eventually(DEADLINE, async || good.accepted() > 0).await;
        app.shut_down().await.unwrap();
    }))
    .await;
}

/// As RabbitMQ 4.0 does now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_deleted_without_a_word_is_missed_and_consumed_again() {
    /// One look, and some time to spare.
    const LOOK: Duration = Duration::from_secs(25);

    let broker = FakeBroker::start(|_| Manner::Forgetful).await;
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
        seen.note(number.to_string());
    });
    let url = format!("amqp://guest:guest@{}", broker.address());
    let set_up = Queue::new("q").key(KeySource::header("task_name"));
    let app = App::new(url).handlers(handlers).queue(set_up);
    let app = app.start().await.unwrap();
    let connections = broker.accepted();
    eventually(LOOK, async || !handled.is_empty()).await;
    handled.next_note().await;
    // it was the queue that was gone, and not the broker
    assert_eq!(broker.accepted(), connections);
    app.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_gets_nothing_of_what_is_ready_is_told_and_goes_to_another_host() {
    /// Two looks, and some time to spare.
    const LOOKS: Duration = Duration::from_secs(45);

    let starving = FakeBroker::start(|_| Manner::Starving).await;
    let good = FakeBroker::start(|_| Manner::Honest).await;
    let (seen, mut handled) = seen();
    let handlers = move || {
        HandlerRegistry::new().register("work", move |number: u32| async move {
            seen.note(number.to_string());
        })
    };
    let app = async |hosts: &str| {
        let url = format!("amqp://guest:guest@{hosts}");
        let set_up = Queue::new("q").key(KeySource::header("task_name"));
        let app = App::new(url).handlers(handlers()).queue(set_up);
        app.start().await.unwrap()
    };
    let alone = app(&starving.address()).await;
    let with_another = app(&format!("{},{}", starving.address(), good.address())).await;
    assert!(with_another.health().is_healthy());
    eventually(LOOKS, async || {
        let health = alone.health().to_string();
        health.contains("nothing comes, although 1 messages are ready")
    })
    .await;
    eventually(LOOKS, async || !handled.is_empty()).await;
    handled.next_note().await;
    eventually(DEADLINE, async || with_another.health().is_healthy()).await;
    // there is nowhere else to go: it subscribes anew, and is not believed
    assert!(!alone.health().is_healthy());
    alone.shut_down().await.unwrap();
    with_another.shut_down().await.unwrap();
}

/// A program whose machine knows names and name servers as the test says.
struct Elsewhere {
    folder: std::path::PathBuf,
    child: tokio::process::Child,
}

impl Elsewhere {
    /// Starts a worker with these lines in `/etc/hosts` and `/etc/resolv.conf`, in a namespace of its own.
    fn start(hosts: &str, resolver: &str, url: &str, queue: &str) -> Self {
        let folder = std::env::temp_dir().join(ploomby_tests::unique_name("names"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("hosts"), hosts).unwrap();
        std::fs::write(folder.join("resolv.conf"), resolver).unwrap();
        let script = r#"
            mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@"
        "#;
        let child = tokio::process::Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-c", script])
            .arg(&folder)
            .arg(env!("CARGO_BIN_EXE_worker"))
            .args([url, queue, "1"])
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    fn signal(&self) {
        let pid = self.child.id().unwrap().to_string();
        let killed = std::process::Command::new("kill").arg(pid).status();
        assert!(killed.unwrap().success());
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_address_of_a_name_is_tried_while_the_first_one_drops_what_it_gets() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            for address in ["127.0.0.2:0", "[::1]:0"] {
                if TcpListener::bind(address).await.is_err() {
                    // a machine without IPv6
                    continue;
                }
                let dropping = Dropping::start_at(address).await;
                let dropping: SocketAddr = dropping.address.parse().unwrap();
                let port = dropping.port();
                let broker = (rabbit().await.host().to_owned(), rabbit().await.port());
                let good = format!("127.0.0.1:{port}").parse().unwrap();
                let _good = Proxy::at(good, broker).await;
                let bad = dropping.ip();
                let hosts = format!("127.0.0.1 localhost\n{bad} broker\n127.0.0.1 broker\n");
                let url = format!("amqp://guest:guest@broker:{port}");
                let mut worker = Elsewhere::start(&hosts, "", &url, &queue);
                let begin = Instant::now();
                eventually(SOON, async || bed.consumer_count(&queue).await == 1).await;
                assert!(begin.elapsed() < SOON);
                worker.signal();
                assert!(worker.child.wait().await.unwrap().success());
                eventually(DEADLINE, async || bed.consumer_count(&queue).await == 0).await;
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_server_that_says_nothing_holds_up_no_end() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            // nobody reads what comes there
            let mute = std::net::UdpSocket::bind("127.0.0.53:53");
            if let Err(error) = &mute {
                assert_ne!(
                    error.kind(),
                    std::io::ErrorKind::AddrNotAvailable,
                    "{error}"
                );
            }
            let (proxy, _) = proxied().await;
            let url = format!("amqp://guest:guest@{},gone.example", proxy.address());
            let resolver = "nameserver 127.0.0.53\n";
            let mut worker = Elsewhere::start("127.0.0.1 localhost\n", resolver, &url, &queue);
            eventually(SOON, async || bed.consumer_count(&queue).await == 1).await;
            proxy.refuse();
            proxy.cut();
            eventually(DEADLINE, async || bed.consumer_count(&queue).await == 0).await;
            // by then it has asked for the name
            sleep(Duration::from_secs(1)).await;
            let begin = Instant::now();
            worker.signal();
            worker.child.wait().await.unwrap();
            let took = begin.elapsed();
            // a name server has five seconds for an answer, twice
            assert!(took < Duration::from_secs(4), "{took:?}");
        })
        .await;
}
