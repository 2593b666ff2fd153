use std::sync::Arc;

use ploomby::extract::{Attempt, Key, RawBody, Redelivered};
use ploomby::{
    CallError, ErrorReply, HandlerRegistry, KeySource, PublishError, Publisher, Queue, RpcClient,
    handler,
};
use ploomby_tests::{Bed, KEY};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct User {
    name: String,
}

#[derive(Deserialize, Serialize)]
struct Short<'m> {
    name: &'m str,
}

#[handler("typed_owned")]
async fn owned(user: User) -> String {
    user.name
}

#[handler("typed_lent", "typed_other")]
async fn lent(Attempt(_): Attempt, user: &User) -> anyhow::Result<usize> {
    anyhow::ensure!(!user.name.is_empty(), "no name");
    Ok(user.name.len())
}

#[handler("typed_short")]
async fn short(_: Key, user: Short<'_>, _: Option<Redelivered>) -> bool {
    user.name.is_empty()
}

#[handler("typed_text")]
async fn text(text: &str) -> usize {
    text.len()
}

#[handler("typed_answered")]
async fn answered(number: u8) -> Result<u8, ErrorReply> {
    let half = number.is_multiple_of(2).then_some(number / 2);
    half.ok_or_else(|| ErrorReply::new("odd", "it has no half"))
}

#[handler("typed_none")]
async fn none(RawBody(body): RawBody) -> usize {
    body.len()
}

mod elsewhere {
    #[ploomby::handler]
    pub(super) async fn typed_list(list: Vec<u8>) -> u8 {
        list.into_iter().sum()
    }
}

async fn no_handler(_: u8) {}

pub(crate) async fn a_handler_is_sent_to_and_called_by_its_function(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let set_up = Queue::new(&queue)
        .key(KeySource::header(KEY))
        .expose_errors();
    let app = bed.start_queue(set_up, HandlerRegistry::linked()).await;
    let client = RpcClient::connect(bed.url()).await.unwrap();
    let client = client.key(KeySource::header(KEY));
    let name = "Ada";
    let user = User { name: name.into() };
    let called = client.call_handler(&queue, owned, &user).await;
    assert_eq!(called.unwrap(), "Ada");
    assert_eq!(client.call_handler(&queue, lent, &user).await.unwrap(), 3);
    let called = client.call_handler(&queue, short, &Short { name }).await;
    assert!(!called.unwrap());
    assert_eq!(client.call_handler(&queue, text, name).await.unwrap(), 3);
    // `null`
    assert_eq!(client.call_handler(&queue, answered, &8).await.unwrap(), 4);
    match client.call_handler(&queue, answered, &7).await {
        Err(CallError::Remote(error)) => assert_eq!(error.code(), "odd"),
        other => panic!("{other:?}"),
    }
    assert_eq!(client.call_handler(&queue, none, &()).await.unwrap(), 4);
    let list = vec![3, 4];
    let called = client.call_handler(&queue, elsewhere::typed_list, &list);
    assert_eq!(called.await.unwrap(), 7);
    let nobody = User {
        name: String::new(),
    };
    let error = client.call_handler(&queue, lent, &nobody).await;
    assert!(error.unwrap_err().to_string().contains("no name"));
    client.close().await;
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_function_without_a_key_is_refused(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.declare(&queue, &[]).await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let sent = publisher.send_to(&queue, no_handler, &1).await;
    assert!(matches!(&sent, Err(PublishError::Invalid(_))), "{sent:?}");
    assert!(sent.unwrap_err().to_string().contains("no_handler"));
    publisher
        .send_to(&queue, lent, &User { name: "Ada".into() })
        .await
        .unwrap();
    let sent = bed.next(&queue).await;
    assert_eq!(sent.body, br#"{"name":"Ada"}"#);
    publisher.close().await;
}

pub(crate) async fn a_function_whose_name_another_one_has_is_refused(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.declare(&queue, &[]).await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let sent = {
        #[handler("typed_twin")]
        async fn twin(_: u8) {}

        publisher.send_to(&queue, twin, &1).await
    };
    {
        #[handler("typed_other_twin")]
        async fn twin(_: u8) {}

        let _ = twin;
    }
    assert!(matches!(&sent, Err(PublishError::Invalid(_))), "{sent:?}");
    let error = sent.unwrap_err().to_string();
    assert!(error.contains("there are two handlers"), "{error}");
    assert!(bed.is_empty(&queue).await);
    publisher.close().await;
}
