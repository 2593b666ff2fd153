use ploomby::{Message, PublishError, Publisher};
use ploomby_tests::{Bed, DEADLINE, eventually, rabbit, unique_name};

#[tokio::test]
async fn a_publisher_tells_what_is_wrong() {
    let publisher = Publisher::connect(rabbit().await.url()).await.unwrap();
    let nowhere = unique_name("nowhere");
    let error = publisher
        .publish(&nowhere, Message::new("1"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, PublishError::Unroutable(name) if *name == nowhere),
        "{error}"
    );
    let too_big = Message::new("1")
        .with_header("h", "x".repeat(200_000))
        .unwrap();
    let error = publisher.publish(&nowhere, too_big).await.unwrap_err();
    assert!(matches!(error, PublishError::Refused(_)), "{error}");
    // and goes on
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let queue = bed.queue_name();
        bed.declare(&queue, &[]).await;
        publisher.publish(&queue, Message::new("2")).await.unwrap();
        eventually(DEADLINE, async || bed.get(&queue).await.is_some()).await;
        publisher.close().await;
    })
    .await;
}
