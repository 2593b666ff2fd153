use ploomby::Reason;
use ploomby::memory::MemoryConsumerFactory;
use ploomby::rabbit::RabbitConsumerFactory;
use proptest::prelude::*;

const SECRET: &str = "s3cr3t";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_a_url_or_an_error(text in any_text()) {
        let _ = RabbitConsumerFactory::new(&text);
        let _ = MemoryConsumerFactory::new(&text);
    }

    #[test]
    fn no_error_shows_a_password_however_it_is_mistyped(
        (before, after) in ("[ -~]{0,6}", "[ -~]{0,6}"),
        host in "[a-z0-9.,:\\[\\]%]{0,20}",
        tail in "(/[ -~]{0,10})?",
    ) {
        let url = format!("amqp://user:{before}{SECRET}{after}@{host}{tail}");
        let shown = match RabbitConsumerFactory::new(&url) {
            Ok(factory) => format!("{factory:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!shown.contains(SECRET), "{url}: {shown}");
    }

    #[test]
    fn a_password_is_not_shown_where_the_host_is_forgotten(after in "[ -?A-~]{0,6}") {
        let url = format!("amqp://user:{SECRET}{after}");
        let error = RabbitConsumerFactory::new(&url).map(|_| ()).unwrap_err();
        let shown = format!("{error} {error:?}");
        prop_assert!(!shown.contains(SECRET), "{url}: {shown}");
    }

    #[test]
    fn any_text_is_a_reason_or_none(name in any_text()) {
        if let Some(reason) = Reason::from_name(&name) {
            prop_assert_eq!(reason.as_str(), name);
        }
    }
}

/// Anything, and what is nearly a URL.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "(amqp|amqps|memory)://.{0,60}",
        "amqp://[a-z%0-9:@,/?#&=\\[\\].-]{0,60}",
        "amqps?://([a-z]{1,5}(:[^@]{0,5})?@)?[a-z]{1,5}(:[0-9]{1,6})?(,[a-z:0-9]{0,9}){0,3}/.{0,9}\
         (\\?(heartbeat|connection_name|connection_timeout|[a-z]{1,9})=.{0,9}){0,2}",
    ]
}
