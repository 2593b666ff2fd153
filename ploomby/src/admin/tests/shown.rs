//! What a visitor is shown of a letter.

use http::StatusCode;

use super::bed::{Bed, letter_id};
use crate::{
    Message,
    admin::Role,
    ops::{Letter, faces::Form},
};

#[tokio::test]
async fn a_reader_sees_no_part_of_a_body_in_an_error() {
    let bed = Bed::start("admin-parts").await;
    let error = r#"invalid type: string "the \"secret", expected u64 at `the secret`"#;
    let headers = [
        ("key", "count"),
        ("ploomby-error", error),
        ("content-type", "application/json"),
    ];
    bed.put("\"the secret\"", &headers);
    let list = "/letters?queue=billing";
    let (_, page) = bed.get(list, Role::Reader).await;
    let letter = format!("/letter?queue=billing&id={}", letter_id(&page));
    let (_, seen) = bed.get(&letter, Role::Operator).await;
    assert!(seen.contains("would not take it: "), "{seen}");
    assert!(seen.matches("secret").count() > 3, "{seen}");
    for path in [list, &format!("{list}&by=error"), &letter] {
        let (status, page) = bed.get(path, Role::Reader).await;
        assert_eq!(status, StatusCode::OK);
        assert!(!page.contains("secret"), "{path}: {page}");
        assert!(page.contains("invalid type: string"), "{path}: {page}");
    }
    let asked = format!("{list}&error=the+secret");
    assert_eq!(bed.get(&asked, Role::Reader).await.0, StatusCode::FORBIDDEN);
    assert_eq!(bed.get(&asked, Role::Operator).await.0, StatusCode::OK);
}

#[tokio::test]
async fn nested_json_that_is_long_is_not_made_longer() {
    let bed = Bed::start("admin-nested").await;
    let nested = |numbers| {
        format!(
            "{}{}1{}",
            "[".repeat(100),
            "1,".repeat(numbers),
            "]".repeat(100)
        )
    };
    let long = nested(1024 * 1024);
    let form = |body: &str| {
        let letter = Letter::of_test(Message::new(body.to_owned()));
        Form::of(&bed.admin.0.ops, "billing", &letter).body
    };
    assert!(form(&nested(10)).contains('\n'));
    assert_eq!(form(&long).len(), long.len());
    bed.put(&long, &[("key", "count")]);
    let (_, page) = bed.get("/letters?queue=billing", Role::Admin).await;
    let edit = format!("/edit?queue=billing&id={}", letter_id(&page));
    let (status, page) = bed.get(&edit, Role::Admin).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(page.contains("2.0 MiB"), "{page}");
}
