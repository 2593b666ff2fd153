//! A program with its page, and somebody who asks it.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
};
use http::{Method, Request, Response, StatusCode};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::{
    App, HandlerRegistry, KeySource, Message, Queue, Running,
    admin::{Access, Admin, Role, Visitor},
    extract::RawBody,
    memory::MemoryBroker,
};

pub(super) const ROLES: [Role; 3] = [Role::Reader, Role::Operator, Role::Admin];

pub(super) async fn fail(RawBody(body): RawBody) -> anyhow::Result<()> {
    let body = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    anyhow::bail!("cannot take {body}")
}

pub(super) async fn count(_: u64) {}

/// A program whose only handler fails, and the page of it. A visitor names their role in a header.
pub(super) struct Bed {
    pub(super) running: Running,
    pub(super) admin: Admin,
    router: Router,
    pub(super) broker: MemoryBroker,
}

impl Bed {
    pub(super) async fn start(name: &str) -> Self {
        let running = App::new(format!("memory://{name}"))
            .handlers(
                HandlerRegistry::new()
                    .register("charge", fail)
                    .register("count", count),
            )
            .queue(Queue::new("billing").key(KeySource::header("key")))
            .start()
            .await
            .unwrap();
        let access = Access::by(|request| {
            let role = request.headers.get("role")?.to_str().ok()?;
            let role = ROLES.into_iter().find(|known| known.as_str() == role)?;
            Some(Visitor::new(format!("a {}", role.as_str()), role))
        });
        let admin = Admin::new(&running, access).unwrap();
        Self {
            router: admin.router(),
            running,
            admin,
            broker: MemoryBroker::named(name),
        }
    }

    /// Has a message fail, and waits for its letter.
    pub(super) async fn fail(&self, message: Message) {
        let dead = self.dead() + 1;
        self.broker.publish("billing", message).unwrap();
        let waiting = async {
            while self.dead() < dead {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), waiting)
            .await
            .expect("it fails");
    }

    pub(super) fn dead(&self) -> usize {
        self.broker.ready_count("billing_dlq")
    }

    pub(super) async fn ask(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(super) async fn get(&self, path: &str, role: Role) -> (StatusCode, String) {
        let request = Request::get(path).header("role", role.as_str());
        text(self.ask(request.body(Body::empty()).unwrap()).await).await
    }

    /// Sends a form of the page, and says what became of it.
    pub(super) async fn post(&self, path: &str, form: &str) -> (StatusCode, String) {
        let form = format!("{form}&token={}", self.token(Role::Admin));
        let headers = [("role", "admin"), ("sec-fetch-site", "same-origin")];
        text(
            self.ask(request(&Method::POST, path, &headers, &form))
                .await,
        )
        .await
    }

    /// Waits for the end of all that is being done with letters, and says how the last one ended.
    pub(super) async fn ended(&self) -> String {
        let acts = self.admin.0.acts.all();
        let waiting = async {
            while acts.iter().any(|act| act.progress().ended.is_none()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), waiting)
            .await
            .expect("they end");
        acts[0].progress().words()
    }

    /// Puts a letter where letters are, as if it had failed.
    pub(super) fn put(&self, body: &str, headers: &[(&str, &str)]) {
        let mut letter = Message::new(body.to_owned());
        for (name, value) in headers {
            letter = letter.with_header(name, *value).unwrap();
        }
        self.broker.publish("billing_dlq", letter).unwrap();
    }

    /// The token of a visitor of this role.
    pub(super) fn token(&self, role: Role) -> Arc<str> {
        let visitor = Visitor::new(format!("a {}", role.as_str()), role);
        self.admin.0.tokens.of(&visitor)
    }
}

/// The name of the first letter that a page lists.
pub(super) fn letter_id(page: &str) -> String {
    let (_, id) = page.split_once("&amp;id=").expect("a letter is listed");
    id.split('"').next().unwrap().to_owned()
}

/// How many characters would steer a terminal, or turn the line around.
pub(super) fn controls(text: &str) -> usize {
    text.matches(['\x1b', '\u{202e}']).count()
}

pub(super) async fn text(response: Response<Body>) -> (StatusCode, String) {
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX);
    let body = timeout(Duration::from_secs(20), body).await;
    let body = body.expect("the page has an end").unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

pub(super) fn request(
    method: &Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("host", "admin.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

pub(super) fn failing() -> Message {
    Message::new("{}").with_header("key", "charge").unwrap()
}
