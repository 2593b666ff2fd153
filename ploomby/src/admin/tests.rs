//! Each route of the router's own table, asked by everybody who may not.

use std::time::Duration;

use http::{Method, StatusCode};

use self::bed::{Bed, ROLES, controls, failing, letter_id, request};
use super::{
    Role,
    routes::{self, Need},
};
use crate::Message;

mod bed;
mod meant;
mod shown;

#[tokio::test]
async fn no_request_from_elsewhere_no_form_without_a_token_and_no_role_beyond_its_own_does_anything()
 {
    let bed = Bed::start("admin-routes").await;
    bed.fail(failing()).await;
    let (_, page) = bed.get("/letters?queue=billing", Role::Admin).await;
    let id = letter_id(&page);
    // what would do something, if it was let through
    let form = format!("queue=billing&id={id}&key=charge&body=%7B%22a%22%3A1%7D&n=1&token=");
    let same = ("sec-fetch-site", "same-origin");
    let routes = routes::all();
    assert!(
        routes
            .iter()
            .filter(|route| route.method == Method::POST)
            .count()
            >= 6
    );
    for route in &routes {
        let (method, path) = (&route.method, route.path);
        let nobody = bed.ask(request(method, path, &[same], &form)).await;
        let Need::Role(least) = route.need else {
            assert_eq!(
                method,
                Method::GET,
                "{path}: what nobody is asked for does nothing"
            );
            assert_ne!(nobody.status(), StatusCode::FORBIDDEN, "{path}");
            continue;
        };
        assert_eq!(
            nobody.status(),
            StatusCode::FORBIDDEN,
            "{method} {path} by nobody"
        );
        for role in ROLES.into_iter().filter(|role| *role < least) {
            let form = format!("{form}{}", bed.token(role));
            let refused = bed
                .ask(request(
                    method,
                    path,
                    &[("role", role.as_str()), same],
                    &form,
                ))
                .await;
            assert_eq!(
                refused.status(),
                StatusCode::FORBIDDEN,
                "{method} {path} by {role:?}"
            );
        }
        let role = ("role", Role::Admin.as_str());
        let token = bed.token(Role::Admin);
        let right = format!("{form}{token}");
        if method == Method::GET {
            for site in ["cross-site", "same-site"] {
                let embedded = [
                    role,
                    ("sec-fetch-site", site),
                    ("sec-fetch-mode", "no-cors"),
                ];
                let refused = bed.ask(request(method, path, &embedded, "")).await;
                assert_eq!(
                    refused.status(),
                    StatusCode::FORBIDDEN,
                    "{path} in a page of {site}"
                );
            }
            continue;
        }
        let from_elsewhere: [&[(&str, &str)]; 8] = [
            &[role],
            &[role, ("sec-fetch-site", "cross-site")],
            &[role, ("sec-fetch-site", "same-site")],
            &[role, ("sec-fetch-site", "none")],
            &[
                role,
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://admin.example"),
            ],
            &[role, ("origin", "https://evil.example")],
            &[role, ("origin", "https://admin.example.evil.example")],
            &[role, ("origin", "null")],
        ];
        for headers in from_elsewhere {
            let refused = bed.ask(request(method, path, headers, &right)).await;
            assert_eq!(
                refused.status(),
                StatusCode::FORBIDDEN,
                "{path} with {headers:?}"
            );
        }
        let of_another = format!("{form}{}", bed.token(Role::Operator));
        let no_field = form.trim_end_matches("&token=");
        for wrong in [&form, no_field, "", &of_another, &right[..right.len() - 1]] {
            let refused = bed.ask(request(method, path, &[role, same], wrong)).await;
            assert_eq!(
                refused.status(),
                StatusCode::FORBIDDEN,
                "{path} with the form {wrong}"
            );
        }
        let asked = bed
            .ask(request(
                method,
                &format!("{path}?{right}"),
                &[role, same],
                "",
            ))
            .await;
        assert_eq!(
            asked.status(),
            StatusCode::FORBIDDEN,
            "{path} with the token in the query"
        );
    }
    assert_eq!(bed.dead(), 1);
    assert!(bed.admin.0.acts.all().is_empty());
    assert_eq!(bed.running.health().queues()[0].paused_by(), None);
}

#[tokio::test]
async fn each_route_lets_those_through_who_may() {
    let bed = Bed::start("admin-allowed").await;
    bed.fail(failing()).await;
    let (_, page) = bed.get("/letters?queue=billing", Role::Admin).await;
    let id = letter_id(&page);
    for route in routes::all() {
        let Need::Role(least) = route.need else {
            continue;
        };
        for role in ROLES.into_iter().filter(|role| *role >= least) {
            // a letter of its own name, so that those before took none away
            let form = format!("queue=billing&id={id}x&n=0&token={}", bed.token(role));
            let origin = ("origin", "https://admin.example");
            let asked = request(
                &route.method,
                route.path,
                &[("role", role.as_str()), origin],
                &form,
            );
            let status = bed.ask(asked).await.status();
            let is_refused = [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED].contains(&status);
            assert!(
                !is_refused,
                "{} {} by {role:?}: {status}",
                route.method, route.path
            );
        }
    }
    bed.running.shut_down().await.unwrap();
}

#[tokio::test]
async fn each_answer_tells_the_browser_to_trust_nothing_else() {
    let bed = Bed::start("admin-headers").await;
    let paths = routes::all().into_iter().map(|route| route.path);
    for path in paths.chain(["/unheard-of"]) {
        for role in ["admin", "nobody"] {
            let answer = bed
                .ask(request(&Method::GET, path, &[("role", role)], ""))
                .await;
            let header = |name: &str| answer.headers().get(name).unwrap().to_str().unwrap();
            let policy = header("content-security-policy");
            assert!(
                policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"),
                "{path}"
            );
            assert!(
                policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
                "{path}"
            );
            assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(header("referrer-policy"), "same-origin", "{path}");
            assert!(
                answer
                    .headers()
                    .get("access-control-allow-origin")
                    .is_none(),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn nothing_that_somebody_sent_is_more_than_text_on_the_page() {
    const HOSTILE: &str =
        "</textarea></pre><script>alert(1)</script><img src=x onerror=alert(2)>\"'\x1b[2J\u{202e}";

    let bed = Bed::start("admin-hostile").await;
    let hostile = Message::new(HOSTILE)
        .with_header("key", "charge")
        .and_then(|message| message.with_header("x-<b>", HOSTILE))
        .and_then(|message| message.with_header("ploomby-handler", HOSTILE))
        .unwrap();
    bed.fail(hostile).await;
    let unheard = Message::new("").with_header("key", HOSTILE).unwrap();
    bed.fail(unheard).await;
    let (_, page) = bed.get("/letters?queue=billing", Role::Admin).await;
    let id = letter_id(&page);
    let asked = "%3Cscript%3Ealert(1)%3C/script%3E%1B%5B2J%E2%80%AE";
    let pages = [
        "/letters?queue=billing".to_owned(),
        "/letters?queue=billing&by=key".to_owned(),
        format!("/letters?queue={asked}"),
        format!("/letters?queue=billing&key={asked}&error={asked}&group_by=error&group={asked}"),
        format!("/letter?queue=billing&id={id}"),
        format!("/letter?queue=billing&id={asked}"),
        format!("/edit?queue=billing&id={id}"),
        format!("/replay?queue=billing&error={asked}"),
        format!("/act?n={asked}"),
    ];
    for path in pages {
        let (status, page) = bed.get(&path, Role::Admin).await;
        assert!(
            status != StatusCode::INTERNAL_SERVER_ERROR,
            "{path}: {page}"
        );
        let page = page.replace("<script src=\"live.js\" defer></script>", "");
        for tag in ["<script", "<img src=x", "</textarea></pre>"] {
            assert!(!page.contains(tag), "{path}: {page}");
        }
        // what a field holds keeps each character, to be sent again as it is
        let fields = page.split(" value=\"").skip(1);
        let held: usize = fields
            .map(|field| controls(field.split('"').next().unwrap()))
            .sum();
        let is_editor = path.starts_with("/edit");
        assert!(is_editor || controls(&page) == held, "{path}: {page}");
    }
}

#[tokio::test]
async fn a_large_body_is_shown_by_its_beginning_and_its_size() {
    let bed = Bed::start("admin-large").await;
    let body = vec![b'<'; 10 * 1024 * 1024];
    bed.fail(Message::new(body).with_header("key", "charge").unwrap())
        .await;
    let (_, page) = bed.get("/letters?queue=billing", Role::Admin).await;
    assert!(page.contains("10.0 MiB"), "{page}");
    let id = letter_id(&page);
    let (status, page) = bed
        .get(&format!("/letter?queue=billing&id={id}"), Role::Admin)
        .await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.contains("10.0 MiB") && page.contains("This is the beginning"),
        "{}",
        page.len()
    );
    assert!(page.len() < 200_000, "{}", page.len());
    let (status, page) = bed
        .get(&format!("/edit?queue=billing&id={id}"), Role::Admin)
        .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(page.contains("dlq edit"), "{page}");
}

#[tokio::test]
async fn a_reader_sees_neither_bodies_nor_headers() {
    let bed = Bed::start("admin-reader").await;
    let secret = Message::new("").with_header("key", "unheard of").unwrap();
    let secret = secret.with_header("card", "the secret").unwrap();
    bed.fail(Message::new("the secret").with_properties(secret.properties().clone()))
        .await;
    let (_, page) = bed.get("/letters?queue=billing", Role::Reader).await;
    let path = format!("/letter?queue=billing&id={}", letter_id(&page));
    let (_, seen) = bed.get(&path, Role::Operator).await;
    assert_eq!(seen.matches("the secret").count(), 2, "{seen}");
    for path in [
        "/letters?queue=billing",
        &path,
        "/queues",
        "/handlers",
        "/acts",
        "/health",
    ] {
        let (status, page) = bed.get(path, Role::Reader).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(!page.contains("the secret"), "{path}: {page}");
        assert!(!page.contains("<form action=\"pause\""), "{path}: {page}");
    }
    #[cfg(feature = "asyncapi")]
    {
        let (status, document) = bed.get("/asyncapi.json", Role::Reader).await;
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(
            (status, &document["asyncapi"]),
            (StatusCode::OK, &"3.0.0".into())
        );
    }
}

#[tokio::test]
async fn the_page_of_many_letters_says_how_many_were_not_looked_at() {
    const LETTERS: usize = 100_000;

    let bed = Bed::start("admin-many").await;
    for number in 0..LETTERS {
        let letter = Message::new("{}").with_header("ploomby-error", format!("no luck {number}"));
        bed.broker.publish("billing_dlq", letter.unwrap()).unwrap();
    }
    let begun = std::time::Instant::now();
    let (status, page) = bed.get("/letters?queue=billing", Role::Reader).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        page.contains(
            "There are 100,000 letters. The oldest 1,000 were looked at, and 99,000 were not."
        ),
        "{page}"
    );
    assert!(page.contains("no luck #"), "they are in one group");
    assert_eq!(bed.dead(), LETTERS, "all of them are back");
}
