use amqprs::{BasicProperties, FieldTable, FieldValue};
use ploomby::{HandlerRegistry, KeySource, Message, Outcome, Publisher, Queue, Value};
use ploomby_tests::{Bed, KEY, rabbit, unique_name};

#[tokio::test]
async fn a_dead_letter_in_the_name_of_another_user_is_kept() {
    let Some(mut rabbitmqctl) = rabbit().await.rabbitmqctl() else {
        // a broker that is given has users of its own, which tests do not change
        return;
    };
    let user = unique_name("user");
    let arguments = ["add_user", &user, "secret"];
    assert!(
        rabbitmqctl
            .args(arguments)
            .output()
            .await
            .unwrap()
            .status
            .success()
    );
    let mut rabbitmqctl = rabbit().await.rabbitmqctl().unwrap();
    let arguments = ["set_permissions", &user, ".*", ".*", ".*"];
    assert!(
        rabbitmqctl
            .args(arguments)
            .output()
            .await
            .unwrap()
            .status
            .success()
    );
    let (host, port) = (rabbit().await.host(), rabbit().await.port());

    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let app = bed
                .start(&queue, HandlerRegistry::new().register("x", || async {}))
                .await;
            let publisher = Publisher::connect(&format!("amqp://{user}:secret@{host}:{port}"))
                .await
                .unwrap();
            let properties = ploomby::Properties::new().with_user_id(&user).unwrap();
            let message = Message::new("1").with_properties(properties);
            publisher.publish(&queue, message).await.unwrap();
            let dead_letter = bed.dead_letter(&queue).await;
            assert_eq!(dead_letter.text("ploomby-user-id"), user);
            publisher.close().await;
            app.shut_down().await.unwrap();
        })
        .await;

    let mut rabbitmqctl = rabbit().await.rabbitmqctl().unwrap();
    rabbitmqctl
        .args(["delete_user", &user])
        .output()
        .await
        .unwrap();
}

#[tokio::test]
async fn headers_that_fill_a_frame_leave_room_for_the_reason() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let app = bed
                .start(&queue, HandlerRegistry::new().register("x", || async {}))
                .await;
            // headers that nearly fill a frame: the reason has to fit beside them
            let mut headers = FieldTable::new();
            headers.insert(
                "big".try_into().unwrap(),
                FieldValue::from("x".repeat(130_500)),
            );
            let mut properties = BasicProperties::default();
            properties.with_headers(headers);
            bed.publish_raw(&queue, properties, b"1".to_vec()).await;
            let dead_letter = bed.dead_letter(&queue).await;
            assert_eq!(dead_letter.text("big").len(), 130_500);
            assert_eq!(dead_letter.text("ploomby-reason"), "missing-key");
            app.shut_down().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_quorum_queue_gives_up_is_kept() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let handlers = HandlerRegistry::new().register("again", || async { Outcome::Requeue });
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .queue_argument("x-queue-type", "quorum")
                // RabbitMQ counts from 4.0 on also where no limit is set; 3.10 where one is
                .queue_argument("x-dead-letter-exchange", "")
                .queue_argument("x-dead-letter-routing-key", format!("{queue}_dlq"))
                .queue_argument("x-delivery-limit", 5);
            let app = bed.start_queue(set_up, handlers).await;
            bed.send(&queue, "again", "1").await;
            assert_eq!(bed.dead_letter(&queue).await.body, b"1");
            app.shut_down().await.unwrap();

            let defaults = bed.queue_name();
            let handlers = HandlerRegistry::new().register("again", || async {});
            let set_up = Queue::new(&defaults).queue_argument("x-queue-type", "quorum");
            let app = bed.start_queue(set_up, handlers).await;
            app.shut_down().await.unwrap();
            // declared again with what ploomby adds: other arguments would be an error
            bed.declare(
                &defaults,
                &[
                    ("x-queue-type", "quorum".into()),
                    ("x-dead-letter-exchange", "".into()),
                    (
                        "x-dead-letter-routing-key",
                        format!("{defaults}_dlq").into(),
                    ),
                    ("x-dead-letter-strategy", "at-least-once".into()),
                    ("x-overflow", "reject-publish".into()),
                    ("x-delivery-limit", Value::I32(1_000_000_000)),
                ],
            )
            .await;
        })
        .await;
}
