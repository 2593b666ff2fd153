//! The broker that the tests are given works through the bare client.

use std::env;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use amqprs::BasicProperties;
use amqprs::channel::{BasicGetArguments, BasicPublishArguments, QueueDeclareArguments};
use ploomby_tests::{eventually, eventually_some, rabbit, unique_name};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_message_published_to_a_queue_comes_back() {
    let connection = rabbit().await.connect().await.unwrap();
    let channel = connection.open_channel(None).await.unwrap();
    let queue = unique_name("broker");
    let declare = QueueDeclareArguments::new(&queue).exclusive(true).finish();
    channel.queue_declare(declare).await.unwrap();

    channel
        .basic_publish(
            BasicProperties::default(),
            b"hello".to_vec(),
            BasicPublishArguments::new("", &queue),
        )
        .await
        .unwrap();

    let (_, _, content) = eventually_some(DEADLINE, async || {
        let get = BasicGetArguments::new(&queue).no_ack(true).finish();
        channel.basic_get(get).await.unwrap()
    })
    .await;
    assert_eq!(content, b"hello");
    channel.close().await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn the_tests_of_a_process_share_one_broker() {
    let (one, other) = tokio::join!(rabbit(), rabbit());
    assert!(std::ptr::eq(one, other));
}

#[tokio::test]
async fn rabbitmqctl_reaches_a_broker_that_the_tests_started() {
    let Some(mut rabbitmqctl) = rabbit().await.rabbitmqctl() else {
        assert!(is_given(), "only a broker given by URL has none");
        return;
    };
    let output = rabbitmqctl.args(["list_users"]).output().await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("guest"), "{output:?}");
}

#[tokio::test]
async fn a_killed_test_process_leaves_no_broker_behind() {
    const CHILD: &str = "PLOOMBY_TEST_CHILD";

    if env::var_os(CHILD).is_some() {
        let rabbit = rabbit().await;
        println!("\nbroker {}:{}", rabbit.host(), rabbit.port());
        return std::future::pending().await;
    }
    if is_given() {
        return;
    }

    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "a_killed_test_process_leaves_no_broker_behind",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = child.id().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let line = lines.next_line().await.unwrap().expect("it gets a broker");
        if let Some(address) = line.strip_prefix("broker ") {
            break address.to_owned();
        }
    };
    TcpStream::connect(&address).await.unwrap();

    child.kill().await.unwrap();

    eventually(DEADLINE, async || {
        TcpStream::connect(&address).await.is_err()
    })
    .await;
    eventually(DEADLINE, async || !has_folder_of(pid)).await;
}

/// Whether the broker was there before the tests, so that they neither control nor end it.
fn is_given() -> bool {
    match env::var("PLOOMBY_TEST_BROKER") {
        Ok(source) => source == "url",
        Err(_) => env::var_os("PLOOMBY_TEST_AMQP_URL").is_some(),
    }
}

fn has_folder_of(pid: u32) -> bool {
    let part = format!("-{pid:x}-");
    fs::read_dir(env::temp_dir()).unwrap().any(|entry| {
        let name = entry.unwrap().file_name();
        let name = name.to_string_lossy();
        name.starts_with("ploomby-tests-") && name.contains(&part)
    })
}
