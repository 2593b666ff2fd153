use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use ploomby::{CallError, KeySource, RpcClient};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually};
use tokio::process::{Child, Command};

use crate::{LONG, shared};

const CONCURRENCY: usize = 100;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Another process that answers calls. What it has not answered when it is killed goes back to the queue.
async fn answering(bed: &Bed, queue: &str) -> Child {
    let child = Command::new(env!("CARGO_BIN_EXE_worker"))
        .args([bed.url(), queue, "50"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually(DEADLINE, async || bed.consumer_count(queue).await == 1).await;
    child
}

/// SIGKILL, in the middle of calls.
async fn kill(bed: &Bed, queue: &str, mut child: Child, client: &RpcClient) {
    assert!(client.in_flight() > 0, "calls are in flight");
    child.kill().await.unwrap();
    eventually(DEADLINE, async || bed.consumer_count(queue).await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_program_that_is_killed_end_and_none_gets_the_reply_to_another() {
    const KILLS: u32 = 4;
    const CALLS: u32 = 500;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            let client = RpcClient::connect(bed.url())
                .await
                .unwrap()
                .key(KeySource::header(KEY))
                .timeout(TIMEOUT);
            let answered = AtomicU32::new(0);
            let ended = AtomicU32::new(0);
            let call = async |number: u32| {
                let start = Instant::now();
                let called = client.call::<_, u32>(&queue, "double", &number).await;
                let took = start.elapsed();
                assert!(took < TIMEOUT + Duration::from_secs(2), "{took:?}");
                match called {
                    Ok(doubled) => {
                        assert_eq!(doubled, number * 2);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(CallError::TimedOut(TIMEOUT)) => {}
                    Err(error) => panic!("{error}"),
                }
                ended.fetch_add(1, Ordering::Relaxed);
            };
            let calling = stream::iter(0..KILLS * CALLS)
                .map(call)
                .buffer_unordered(CONCURRENCY)
                .count();
            let killing = async {
                for kills in 0..KILLS {
                    let child = answering(&bed, &queue).await;
                    let before = answered.load(Ordering::Relaxed);
                    eventually(LONG, async || answered.load(Ordering::Relaxed) > before).await;
                    let half = kills * CALLS + CALLS / 2;
                    eventually(LONG, async || ended.load(Ordering::Relaxed) >= half).await;
                    kill(&bed, &queue, child, &client).await;
                }
                answering(&bed, &queue).await
            };
            let (calls, child) = tokio::join!(calling, killing);
            assert_eq!(calls, (KILLS * CALLS) as usize);
            let answered = answered.into_inner();
            eprintln!("{answered} of {calls} calls were answered");

            // nobody starts it again
            let client = client.timeout(Duration::from_secs(1));
            let calling = stream::iter(0..CONCURRENCY)
                .map(|_| client.call::<_, u32>(&queue, "slow", &7))
                .buffer_unordered(CONCURRENCY)
                .collect::<Vec<_>>();
            let killing = async {
                eventually(DEADLINE, async || client.in_flight() == CONCURRENCY).await;
                kill(&bed, &queue, child, &client).await;
            };
            let start = Instant::now();
            let (calls, ()) = tokio::join!(calling, killing);
            assert!(start.elapsed() < DEADLINE, "{:?}", start.elapsed());
            for called in calls {
                assert!(matches!(called, Err(CallError::TimedOut(_))), "{called:?}");
            }
            assert_eq!(client.in_flight(), 0);
            client.close().await;
        })
        .await;
}
