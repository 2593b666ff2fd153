//! The program as a process, and the broker that it works with.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use ploomby::Publisher;
use ploomby_tests::{Bed, DEADLINE, eventually, rabbit};

pub(crate) const QUEUE: &str = "billing";
pub(crate) const DEAD: &str = "billing_dlq";

/// A bank that is `down`, or is well.
pub(crate) const DOWN: &str = "down";
pub(crate) const WELL: &str = "well";

pub(crate) fn shop(url: &str, bank: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command
        .args(arguments)
        .env("SHOP_AMQP", url)
        .env("SHOP_BANK", bank);
    command
        .env("NO_COLOR", "1")
        .env_remove("COLUMNS")
        .stdin(Stdio::null());
    command
}

pub(crate) fn run(url: &str, bank: &str, arguments: &[&str]) -> Output {
    shop(url, bank, arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What it wrote, once it ended so.
#[track_caller]
pub(crate) fn ended(code: i32, output: &Output) -> String {
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    out
}

/// The program as it handles messages, and the lines that it writes.
pub(crate) struct Shop(Child, pub(crate) mpsc::Receiver<String>);

impl Shop {
    pub(crate) fn start(url: &str, bank: &str) -> Self {
        Self::start_with(url, bank, "64")
    }

    /// With so many orders at a time.
    pub(crate) fn start_with(url: &str, bank: &str, at_once: &str) -> Self {
        let mut child = shop(url, bank, &["run"])
            .env("SHOP_AT_ONCE", at_once)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .all(|line| sender.send(line).is_ok())
        });
        Self(child, receiver)
    }

    pub(crate) fn next_line(&self) -> String {
        self.1.recv_timeout(DEADLINE).unwrap()
    }

    /// Ends it in order: what it has handled is acknowledged then.
    pub(crate) fn stop(mut self) {
        let told = Command::new("kill").arg(self.0.id().to_string()).status();
        assert!(told.unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

/// It would go on to handle what other tests send.
impl Drop for Shop {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A RabbitMQ without the queues of the shop, which are gone afterwards, too. One test at a time has them.
pub(crate) async fn with_queues<Fut: Future<Output = ()>>(
    test: impl FnOnce(std::sync::Arc<Bed>, String) -> Fut,
) {
    static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    let _one = ONE.lock().await;
    let url = rabbit().await.url().to_owned();
    let bed = Bed::rabbit().await;
    for queue in [
        QUEUE,
        DEAD,
        "billing_suspects",
        "billing_crashes",
        "billing_retry_1000ms",
        "billing_delay_100ms",
    ] {
        bed.delete(queue).await;
        bed.remove_later(queue);
    }
    bed.run(async |bed| test(bed, url).await).await;
}

/// Has so many orders fail, of three kinds.
pub(crate) async fn fail(bed: &Bed, url: &str, orders: u32) {
    // few of them in their order
    let at_once = if orders < 100 { "1" } else { "64" };
    let running = Shop::start_with(url, DOWN, at_once);
    bed.until_exists(QUEUE).await;
    bed.until_exists(DEAD).await;
    let publisher = Publisher::connect(url).await.unwrap();
    let body = |id: u32| match id % 10 {
        0 => format!(r#"{{"id":{id},"cents":"many"}}"#),
        1 => format!(r#"{{"id":{id},"cents":0}}"#),
        _ => format!(r#"{{"id":{id},"cents":100}}"#),
    };
    let messages = (0..orders).map(|id| publisher.to(QUEUE).key("charge").body(body(id)));
    publisher.send_all(messages).await.unwrap();
    publisher.close().await;
    eventually(DEADLINE * 4, async || bed.ready_count(DEAD).await == orders).await;
    running.stop();
}
