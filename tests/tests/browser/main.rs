//! The page of the admin server in a real browser: Debian's Chromium, which `page.py` drives by Playwright.
//!
//! `PLOOMBY_TEST_SCREENSHOTS` is a folder for pictures of the pages, to be looked at.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use anyhow::ensure;
use ploomby::admin::{Access, Role};
use ploomby::memory::MemoryBroker;
use ploomby::{App, HandlerRegistry, Message, Properties, Queue};
use ploomby_tests::{DEADLINE, eventually, seen, unique_name};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

/// How long the browser may take for all of it.
const PATIENCE: Duration = Duration::from_secs(120);

const HOSTILE: &str = "</pre><script>document.title='owned'</script>\u{1b}[31m\u{202e}";

#[derive(Deserialize)]
struct Order {
    id: u32,
    cents: u32,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_works_in_a_browser() {
    let name = unique_name("browser");
    let broker = MemoryBroker::named(&name);
    let is_mended = Arc::new(AtomicBool::new(false));
    let (seen, mut handled) = seen();
    let mended = is_mended.clone();
    let charge = move |order: Order| {
        let is_well = order.id > 100 || mended.load(SeqCst);
        async move {
            ensure!(is_well, "the bank is closed for order {}", order.id);
            ensure!(order.cents > 0, "order {} costs nothing", order.id);
            seen.note(format!("charged {}", order.id));
            Ok(())
        }
    };
    let handlers = HandlerRegistry::new().register("charge", charge);
    let running = App::new(format!("memory://{name}"))
        .named("shop", "1.4.0")
        .handlers(handlers)
        .queue(Queue::new("billing"))
        .admin("127.0.0.1:0")
        .admin_access(
            Access::token("the token of admins", Role::Admin)
                .or(Access::token("the token of readers", Role::Reader)),
        )
        .start()
        .await
        .unwrap();
    let send = |key: &str, body: Vec<u8>| {
        let properties = Properties::new().with_message_type(key).unwrap();
        let message = Message::new(body).with_properties(properties);
        broker
            .publish("billing", message.with_header("x-<i>", HOSTILE).unwrap())
            .unwrap();
    };
    for id in 1..=3 {
        send("charge", format!(r#"{{"id":{id},"cents":500}}"#).into());
    }
    send("charge", br#"{"id":101,"cents":0}"#.to_vec());
    send(HOSTILE, HOSTILE.into());
    send("large", vec![b'<'; 10 * 1024 * 1024]);
    eventually(DEADLINE, async || broker.ready_count("billing_dlq") == 6).await;
    is_mended.store(true, SeqCst);

    let python = std::env::var_os("PLOOMBY_TEST_PYTHON").expect(
        "PLOOMBY_TEST_PYTHON names a Python with playwright: run ./scripts/test, which sets it up",
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/page.py");
    let mut browser = Command::new(python)
        .arg(script)
        .arg(running.admin_address().unwrap().to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = {
        use tokio::io::{AsyncBufReadExt, BufReader};
        BufReader::new(browser.stdout.take().unwrap()).lines()
    };
    // the page of queues is open: what is handled from now on is seen live
    let line = timeout(PATIENCE, lines.next_line())
        .await
        .expect("the browser starts")
        .unwrap();
    if line.as_deref() == Some("watching") {
        for id in 201..=205 {
            send("charge", format!(r#"{{"id":{id},"cents":1}}"#).into());
        }
    }
    let ended = timeout(PATIENCE, browser.wait_with_output()).await;
    let output = ended.expect("the browser is done in time").unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line:?}\n{errors}");

    let mut charged: Vec<_> = Vec::new();
    for _ in 0..9 {
        charged.push(handled.next_note().await);
    }
    charged.sort();
    let expected = ["1", "101", "2", "201", "202", "203", "204", "205", "3"];
    assert_eq!(charged, expected.map(|id| format!("charged {id}")));
    assert_eq!(
        broker.ready_count("billing_dlq"),
        1,
        "the large one is left"
    );
    running.shut_down().await.unwrap();
}
