//! The admin port: who it tells what, and how long it is there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use anyhow::ensure;
use axum::Router;
use axum::routing::get as route;
use ploomby::admin::{Access, Admin, Role};
use ploomby::{App, Error, HandlerRegistry, KeySource, Queue};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, eventually_some, http, seen};
use serde::Deserialize;
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

#[derive(Deserialize)]
struct Order {
    id: u32,
    cents: u32,
}

fn app(bed: &Bed, queue: &str, handlers: HandlerRegistry) -> App {
    App::new(bed.url())
        .named("shop", "1.4.0")
        .handlers(handlers)
        .queue(Queue::new(queue).key(KeySource::header(KEY)))
}

fn nothing() -> HandlerRegistry {
    HandlerRegistry::new().register("nothing", || async {})
}

pub(crate) async fn the_admin_port_says_how_the_program_is(bed: Arc<Bed>) {
    const TOKEN: &str = "0123456789abcdef";

    let queue = bed.queue_name();
    let running = app(&bed, &queue, nothing())
        .admin("127.0.0.1:0")
        .admin_access(Access::token(TOKEN, Role::Reader))
        .start()
        .await
        .unwrap();
    let address = running.admin_address().unwrap();
    bed.send(&queue, "nothing", "").await;
    for (path, told) in [("/live", "live\n"), ("/ready", "ready\n")] {
        let answer = http::get(address, path, &[]).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, told));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for path in ["/health", "/metrics"] {
        let answer = http::get(address, path, &[]).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(!answer.body.contains(&queue), "{}", answer.body);
    }

    let bearer = format!("Bearer {TOKEN}");
    let shown = [("authorization", bearer.as_str())];
    let health = http::get(address, "/health", &shown).await;
    let json: Json = serde_json::from_str(&health.body).unwrap();
    assert_eq!(health.status, 200);
    assert_eq!(health.header("content-type"), Some("application/json"));
    assert_eq!((&json["v"], &json["status"]), (&1.into(), &"ready".into()));
    assert_eq!(json["queues"][0]["queue"], queue);
    assert_eq!(json["queues"][0]["consuming"], 1);

    assert!(running.pause(&queue, "ada"));
    let health = http::get(address, "/health", &shown).await;
    let json: Json = serde_json::from_str(&health.body).unwrap();
    assert_eq!(json["queues"][0]["paused_by"], "ada");
    assert_eq!(health.status, 200, "what is paused is well");
    running.resume(&queue);

    eventually(DEADLINE, async || {
        let metrics = http::get(address, "/metrics", &shown).await;
        let kind = metrics.header("content-type").unwrap().to_owned();
        assert_eq!(
            (metrics.status, &kind[..25]),
            (200, "text/plain; version=0.0.4")
        );
        let counted = "messaging_client_consumed_messages_total{";
        metrics.body.contains(counted)
    })
    .await;
    assert_eq!(http::get(address, "/unheard-of", &shown).await.status, 404);
    running.shut_down().await.unwrap();
}

pub(crate) async fn the_admin_port_is_there_until_the_program_has_ended(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let work = move || async move {
        seen.note("begun");
        gate.acquire().await.unwrap().forget();
    };
    let handlers = HandlerRegistry::new().register("work", work);
    let running = app(&bed, &queue, handlers)
        .admin("0")
        .start()
        .await
        .unwrap();
    let address = running.admin_address().unwrap();
    bed.send(&queue, "work", "").await;
    assert_eq!(handled.next_note().await, "begun");

    let ending = tokio::spawn(running.shut_down());
    eventually(DEADLINE, async || {
        let ready = http::get(address, "/ready", &[]).await;
        (ready.status, ready.body.as_str()) == (503, "draining\n")
    })
    .await;
    assert_eq!(http::get(address, "/live", &[]).await.status, 200);
    let health = http::get(address, "/health", &[]).await;
    assert_eq!(health.status, 503);
    assert!(
        health.body.contains(r#""status":"draining""#),
        "{}",
        health.body
    );
    gate.add_permits(1);
    ending.await.unwrap().unwrap();
    assert!(
        http::try_request(address, "GET", "/live", &[], "")
            .await
            .is_err()
    );
}

pub(crate) async fn a_program_nests_the_page_in_a_router_of_its_own(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let running = app(&bed, &queue, nothing()).start().await.unwrap();
    assert_eq!(running.admin_address(), None);
    let error = Admin::new(&running, Access::token("short", Role::Reader)).unwrap_err();
    assert!(error.to_string().contains("16 characters"), "{error}");

    let admin = Admin::new(&running, Access::anybody(Role::Reader)).unwrap();
    let router = Router::new()
        .route("/", route(|| async { "a shop" }))
        .nest("/of/ploomby", admin.router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async { axum::serve(listener, service).await });
    assert_eq!(http::get(address, "/", &[]).await.body, "a shop");
    let health = http::get(address, "/of/ploomby/health", &[]).await;
    assert!(health.body.contains(&queue), "{}", health.body);
    // relative, as all links are: a proxy may give it another path
    let front = http::get(address, "/of/ploomby", &[]).await;
    assert_eq!(
        (front.status, front.header("location")),
        (303, Some("ploomby/queues"))
    );
    assert_eq!(
        http::get(address, "/of/ploomby/queues", &[]).await.status,
        200
    );
    running.shut_down().await.unwrap();
    let ready = http::get(address, "/of/ploomby/ready", &[]).await;
    assert_eq!((ready.status, ready.body.as_str()), (503, "ended\n"));
    serving.abort();
}

pub(crate) async fn nothing_begins_without_its_admin_port(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let started = app(&bed, &queue, nothing())
        .admin("0.0.0.0:0")
        .start()
        .await;
    let Err(Error::Admin(error)) = started else {
        panic!("it started")
    };
    assert!(error.to_string().contains("App::admin_access"), "{error}");

    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let started = app(&bed, &queue, nothing())
        .admin(address.to_string())
        .start();
    let started = tokio::time::timeout(Duration::from_secs(10), started).await;
    assert!(matches!(started, Ok(Err(Error::Admin(_)))));
    let ops = app(&bed, &queue, nothing()).ops().unwrap();
    let depths = ops.depths().await.unwrap();
    assert_eq!(depths[0].ready, None, "nothing was declared before");
    ops.close().await;
}

/// A form of the page, sent as a browser does.
async fn send(address: SocketAddr, page: &str, fields: &str) -> http::Answer {
    let shown = http::get(address, page, &[]).await;
    assert_eq!(shown.status, 200, "{page}: {}", shown.body);
    let (_, token) = shown
        .body
        .split_once("name=\"token\" value=\"")
        .expect(page);
    let token = token.split('"').next().unwrap();
    let (path, query) = page.split_once('?').unwrap_or((page, ""));
    let origin = format!("http://{address}");
    let headers = [("origin", origin.as_str())];
    let body = format!("token={token}&{query}&{fields}");
    http::try_request(address, "POST", path, &headers, &body)
        .await
        .unwrap()
}

/// Waits for the end of what a form has begun, and says how it ended.
async fn ended(address: SocketAddr, begun: http::Answer) -> String {
    assert_eq!(begun.status, 303, "{}", begun.body);
    let path = format!("/{}", begun.header("location").unwrap());
    eventually_some(DEADLINE, async || {
        let page = http::get(address, &path, &[]).await.body;
        let (_, progress) = page.split_once("id=\"progress\"").unwrap();
        let words = progress.split(['>', '<']).nth(1).unwrap().to_owned();
        (!words.contains("so far")).then_some(words)
    })
    .await
}

pub(crate) async fn letters_are_replayed_edited_and_discarded_by_the_page(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let dead = format!("{queue}_dlq");
    let (seen, mut handled) = seen();
    let is_mended = Arc::new(AtomicBool::new(false));
    let mended = is_mended.clone();
    let charge = move |order: Order| {
        let is_mended = mended.load(SeqCst);
        async move {
            ensure!(
                is_mended && order.cents > 0,
                "order {} costs nothing",
                order.id
            );
            seen.note(format!("charged {}", order.id));
            Ok(())
        }
    };
    let handlers = HandlerRegistry::new().register("charge", charge);
    let running = app(&bed, &queue, handlers)
        .admin("0")
        .start()
        .await
        .unwrap();
    let address = running.admin_address().unwrap();
    for (id, cents) in [(1, 5), (2, 0), (3, 7)] {
        let order = format!(r#"{{"id":{id},"cents":{cents}}}"#);
        bed.send(&queue, "charge", order).await;
    }
    bed.send(&queue, "unheard", "of").await;
    eventually(DEADLINE, async || bed.ready_count(&dead).await == 4).await;

    // a canary that comes back ends it
    let canary = send(
        address,
        &format!("/replay?queue={queue}&key=charge"),
        "canary=1",
    )
    .await;
    let words = ended(address, canary).await;
    assert!(
        words.starts_with("1 done, then it failed: a letter that was replayed to try it"),
        "{words}"
    );
    eventually(DEADLINE, async || bed.ready_count(&dead).await == 4).await;

    is_mended.store(true, SeqCst);
    let replay = send(address, &format!("/replay?queue={queue}&key=charge"), "").await;
    assert_eq!(ended(address, replay).await, "3 done");
    let mut charged = [handled.next_note().await, handled.next_note().await];
    charged.sort();
    assert_eq!(charged, ["charged 1", "charged 3"]);
    eventually(DEADLINE, async || bed.ready_count(&dead).await == 2).await;

    let list = http::get(address, &format!("/letters?queue={queue}&key=charge"), &[])
        .await
        .body;
    let (_, id) = list.split_once("&amp;id=").unwrap();
    let edit = format!("/edit?queue={queue}&id={}", id.split('"').next().unwrap());
    let header = format!("headers={KEY}%3A+%22charge%22%0D%0A");
    let body = "body=%7B%22id%22%3A2%7D";
    let refused = send(address, &edit, &format!("key=charge&{header}&{body}")).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.body.contains("missing field `cents`"),
        "{}",
        refused.body
    );
    assert!(
        refused.body.contains("{&quot;id&quot;:2}"),
        "what was written stays"
    );
    assert_eq!(bed.ready_count(&dead).await, 2);
    let body = "body=%7B%22id%22%3A2%2C%0D%0A%22cents%22%3A9%7D";
    let sent = send(address, &edit, &format!("key=charge&{header}&{body}")).await;
    assert_eq!(ended(address, sent).await, "1 done");
    assert_eq!(handled.next_note().await, "charged 2");

    let discard = send(address, &format!("/discard?queue={queue}"), "").await;
    assert_eq!(ended(address, discard).await, "1 done");
    eventually(DEADLINE, async || bed.is_empty(&dead).await).await;
    let acts = http::get(address, "/acts", &[]).await.body;
    for what in ["replay", "edit", "discard"] {
        assert!(acts.contains(&format!("{what} {queue}")), "{acts}");
    }

    let paused = send(address, "/queues", &format!("queue={queue}")).await;
    assert_eq!(paused.status, 405, "the page of queues takes no form");
    running.shut_down().await.unwrap();
    assert!(handled.is_empty());
}

pub(crate) async fn a_queue_is_paused_and_resumed_by_the_page(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let running = app(&bed, &queue, nothing())
        .admin("0")
        .start()
        .await
        .unwrap();
    let address = running.admin_address().unwrap();
    let page = http::get(address, "/queues", &[]).await.body;
    let (_, token) = page.split_once("name=\"token\" value=\"").unwrap();
    let form = format!("token={}&queue={queue}", token.split('"').next().unwrap());
    let same = [("sec-fetch-site", "same-origin")];
    for (path, by) in [("/pause", Some("loopback")), ("/resume", None)] {
        let done = http::try_request(address, "POST", path, &same, &form)
            .await
            .unwrap();
        assert_eq!(
            (done.status, done.header("location")),
            (303, Some("queues"))
        );
        assert_eq!(running.health().queues()[0].paused_by(), by);
    }
    let unknown = form.replace(&queue, "another");
    let done = http::try_request(address, "POST", "/pause", &same, &unknown)
        .await
        .unwrap();
    assert_eq!(done.status, 409);
    running.shut_down().await.unwrap();
}
