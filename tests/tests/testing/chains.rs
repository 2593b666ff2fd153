//! A run ends when all that follows is done, and not before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use ploomby::{
    HandlerRegistry, Outcome, Publisher, Queue, Reply, Retry, extract::State, testing::TestApp,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

#[derive(Clone, Default)]
struct Done(Arc<AtomicU32>);

/// Passes a message on, after a time of the real world.
async fn pass_on(hops: u32, publisher: Publisher, State(done): State<Done>) -> anyhow::Result<()> {
    sleep(Duration::from_millis(2)).await;
    if hops > 0 {
        for _ in 0..2 {
            publisher.send("hops", "pass_on", &(hops - 1)).await?;
        }
    }
    sleep(Duration::from_millis(2)).await;
    done.0.fetch_add(1, Relaxed);
    Ok(())
}

#[tokio::test]
async fn a_run_waits_for_handlers_that_wait_for_the_real_world() {
    let done = Done::default();
    let app = TestApp::with(HandlerRegistry::new().register("pass_on", pass_on))
        .state(done.clone())
        .queue(Queue::new("hops"))
        .start()
        .await;
    let run = app.send("hops", "pass_on", &5_u32).await;
    assert_eq!(done.0.load(Relaxed), 63);
    run.handled("pass_on").times(63).outcome(Outcome::Ack);
    run.sent::<u32>("hops").times(62);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_waits_for_handlers_on_other_threads() {
    let done = Done::default();
    let app = TestApp::with(HandlerRegistry::new().register("pass_on", pass_on))
        .state(done.clone())
        .queue(Queue::new("hops").consumers(3))
        .start()
        .await;
    for _ in 0..3 {
        done.0.store(0, Relaxed);
        let run = app.send("hops", "pass_on", &5_u32).await;
        assert_eq!(done.0.load(Relaxed), 63);
        run.handled("pass_on").times(63);
    }
}

/// Answers each line after a while.
async fn server() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0];
            if stream.read_exact(&mut asked).await.is_ok() {
                sleep(Duration::from_millis(2)).await;
                let _ = stream.write_all(&asked).await;
            }
        }
    });
    Ok(address)
}

/// Asks a real server, with a timeout of its own, and fails.
async fn ask(number: u8, State(address): State<String>) -> anyhow::Result<()> {
    let asking = async {
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(&[number]).await?;
        stream.read_u8().await
    };
    let answer = tokio::time::timeout(Duration::from_secs(9), asking).await??;
    anyhow::ensure!(answer == 0, "it answered {answer}");
    Ok(())
}

#[tokio::test]
async fn sockets_and_timers_keep_real_time_beside_hours_of_retries() {
    let hourly = Retry::fixed(25, Duration::from_secs(60 * 60));
    let app = TestApp::with(HandlerRegistry::new().register("ask", ask))
        .state(server().await.unwrap())
        .queue(Queue::new("questions").retry(hourly))
        .start()
        .await;
    let begun = Instant::now();
    let run = app.send("questions", "ask", &7).await;
    run.handled("ask")
        .attempts(25)
        .error("it answered 7")
        .outcome(Outcome::DeadLetter);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        run.journal().to_string().contains("  +1d "),
        "{}",
        run.journal()
    );
    app.send("questions", "ask", &0)
        .await
        .handled("ask")
        .attempts(1);
}

#[tokio::test]
async fn a_handler_that_fails_the_reply_tells_who_asked_before_the_run_ends() {
    let handlers = HandlerRegistry::new()
        .register(
            "divide",
            async |(a, b): (u32, u32)| -> anyhow::Result<Reply<u32>> {
                tokio::task::yield_now().await;
                let divided = a.checked_div(b).map(Reply);
                divided.ok_or_else(|| anyhow::anyhow!("division by zero"))
            },
        )
        .register("ignore", async |_: u32| Outcome::Discard);
    let retry = Retry::fixed(3, Duration::from_secs(60 * 60));
    let app = TestApp::with(handlers)
        .queue(Queue::new("sums").retry(retry))
        .start()
        .await;
    assert_eq!(app.call("sums", "divide", &(6, 2)).await.reply::<u32>(), 3);
    let run = app.call("sums", "divide", &(6, 0)).await;
    run.handled("divide").attempts(3);
    assert!(
        matches!(run.call_error(), ploomby::CallError::Remote(_)),
        "{:?}",
        run.call_error()
    );
    let run = app.call("nowhere", "divide", &(6, 0)).await;
    assert!(matches!(
        run.call_error(),
        ploomby::CallError::NobodyListens(_)
    ));
}
