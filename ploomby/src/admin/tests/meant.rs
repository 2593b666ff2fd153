//! Which letters a form means, and what is left of them.

use std::time::Duration;

use http::StatusCode;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use url::form_urlencoded::byte_serialize;

use super::bed::{Bed, count};
use crate::{App, HandlerRegistry, Queue, admin::Role};

#[tokio::test]
async fn a_number_that_is_none_does_nothing() {
    let bed = Bed::start("admin-numbers").await;
    for _ in 0..3 {
        bed.put("{}", &[("key", "charge")]);
    }
    let forms = [
        ("/discard", "limit=1e1"),
        ("/discard", "limit=1,0"),
        ("/discard", "limit=-1"),
        ("/replay", "limit=5.0"),
        ("/replay", "canary=-1"),
        ("/replay", "canary=1e1"),
        ("/replay", "rate=0"),
        ("/replay", "rate=0.5"),
        ("/discard", "group_by=errors&group=x"),
        ("/replay", "group=x"),
    ];
    for (path, form) in forms {
        let (status, page) = bed.post(path, &format!("queue=billing&{form}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {form}");
        let (field, _) = form.split_once('=').unwrap();
        let wants = page.contains("such as 500") || page.contains("`group_by`");
        assert!(
            wants && page.contains("Nothing was done"),
            "{field}: {page}"
        );
    }
    assert!(bed.admin.0.acts.all().is_empty());
    assert_eq!(bed.dead(), 3);
    let (status, _) = bed.post("/discard", "queue=billing&limit=2").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(bed.ended().await, "2 done");
    assert_eq!(bed.dead(), 1);
}

#[tokio::test]
async fn an_empty_name_never_means_all() {
    let bed = Bed::start("admin-nameless").await;
    bed.put(
        "one",
        &[("ploomby-dead-letter-id", ""), ("ploomby-key", "")],
    );
    bed.put("two", &[("ploomby-dead-letter-id", "two")]);
    bed.put("three", &[("ploomby-key", "charge")]);
    let (_, page) = bed.get("/letters?queue=billing", Role::Admin).await;
    assert!(!page.contains("&amp;id=\""), "each has a name: {page}");
    bed.post("/discard", "queue=billing&id=").await;
    assert_eq!(bed.ended().await, "0 done");
    assert_eq!(bed.dead(), 3);
    bed.post("/discard", "queue=billing&group_by=key&group=")
        .await;
    assert_eq!(bed.ended().await, "1 done");
    assert_eq!(bed.dead(), 2);
}

#[tokio::test]
async fn a_group_whose_error_has_lines_is_meant_by_its_form() {
    let bed = Bed::start("admin-lines").await;
    bed.put("one", &[("ploomby-error", "no luck\ncaused by: bad luck")]);
    bed.put("two", &[("ploomby-error", "no luck")]);
    let group: String = byte_serialize(b"no luck\ncaused by: bad luck").collect();
    let ask = format!("/discard?queue=billing&group_by=error&group={group}");
    let (_, page) = bed.get(&ask, Role::Admin).await;
    let (_, form) = page.split_once("<form action=\"discard\"").unwrap();
    // as a browser sends it
    let fields = form.split("type=\"hidden\" name=\"").skip(1).map(|field| {
        let (name, rest) = field.split_once("\" value=\"").unwrap();
        let value = rest.split('"').next().unwrap().replace("&amp;", "&");
        let value = value.replace("\r\n", "\n").replace('\n', "\r\n");
        (name, byte_serialize(value.as_bytes()).collect::<String>())
    });
    let fields = fields.filter(|(name, _)| *name != "token");
    let sent: Vec<_> = fields
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    bed.post("/discard", &sent.join("&")).await;
    assert_eq!(bed.ended().await, "1 done");
    assert_eq!(bed.dead(), 1);
}

#[tokio::test]
async fn what_is_stopped_leaves_the_others_where_they_are() {
    let bed = Bed::start("admin-stopped").await;
    for number in 0..5 {
        bed.put(&number.to_string(), &[("key", "count")]);
    }
    bed.post("/replay", "queue=billing&rate=1").await;
    let act = bed.admin.0.acts.all().remove(0);
    let first = async {
        while act.progress().done == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), first).await.unwrap();
    bed.post("/stop", &format!("n={}", act.number)).await;
    let words = bed.ended().await;
    assert!(words.starts_with("stopped after"), "{words}");
    assert_eq!(bed.dead() + act.progress().done, 5);
}

#[tokio::test]
async fn half_a_request_does_not_keep_a_program_from_its_end() {
    let running = App::new("memory://admin-half")
        .handlers(HandlerRegistry::new().register("count", count))
        .queue(Queue::new("billing"))
        .admin("0")
        .start()
        .await
        .unwrap();
    let address = running.admin_address().unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET /live HTTP/1.1\r\nho").await.unwrap();
    // another one was answered: the first has been accepted
    let mut whole = TcpStream::connect(address).await.unwrap();
    whole
        .write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    whole.readable().await.unwrap();
    let ended = timeout(Duration::from_secs(10), running.shut_down()).await;
    ended.expect("it ends").unwrap();
}
