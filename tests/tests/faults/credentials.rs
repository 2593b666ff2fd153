//! Passwords that change, and tokens that end, while a program runs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ploomby::rabbit::{Credentials, Reconnect};
use ploomby::{App, HandlerRegistry, KeySource, Queue};
use ploomby_tests::{Bed, KEY, OwnRabbit, eventually, unique_name};

use crate::ledger::Ledger;
use crate::{LONG, before, disturbed, shared};

fn working(ledger: &'static Ledger) -> HandlerRegistry {
    HandlerRegistry::new()
        .register(
            "work",
            move |number: u32| async move { ledger.note(number) },
        )
        .register("fail", async || Err::<(), _>(anyhow::anyhow!("no luck")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_was_changed_is_asked_for_at_the_next_connect() {
    let rabbit = shared().await;
    Bed::on(rabbit)
        .await
        .run(async |bed| {
            let user = unique_name("user");
            rabbit.ctl(&["add_user", &user, "old"]).await;
            rabbit
                .ctl(&["set_permissions", &user, ".*", ".*", ".*"])
                .await;
            let proxy = before(rabbit).await;
            let password = Arc::new(Mutex::new("old"));
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let app = App::new(format!("amqp://{}", proxy.address()))
                .credentials({
                    let (user, password) = (user.clone(), password.clone());
                    move || {
                        let credentials = Credentials::new(&user, *password.lock().unwrap());
                        async { anyhow::Ok(credentials) }
                    }
                })
                .handlers(working(ledger))
                .queue(Queue::new(&queue).key(KeySource::header(KEY)))
                .reconnect(Reconnect::forever().longest_pause(Duration::from_millis(100)))
                .start()
                .await
                .unwrap();
            rabbit.ctl(&["change_password", &user, "new"]).await;
            proxy.cut();
            eventually(LONG, async || !app.health().is_healthy()).await;
            eventually(LONG, async || app.health().to_string().contains("refused")).await;
            *password.lock().unwrap() = "new";
            eventually(LONG, async || app.health().is_healthy()).await;
            // copies and the program's own messages log in as well
            bed.send(&queue, "fail", "0").await;
            bed.dead_letter(&queue).await;
            let publisher = app.publisher().await.unwrap();
            let message = ploomby::Message::new("1").with_header(KEY, "work").unwrap();
            publisher.publish(&queue, message).await.unwrap();
            ledger.until(1, LONG).await;
            app.shut_down().await.unwrap();
        })
        .await;
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// The key that the broker knows, as Erlang writes it.
const KEY_OF_TOKENS: &str = r#"#{<<"kty">> => <<"oct">>, <<"alg">> => <<"HS256">>, <<"kid">> => <<"k">>,
    <<"k">> => <<"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA">>}"#;

/// Has a broker take OAuth 2 tokens.
async fn take_tokens(rabbit: &OwnRabbit) {
    let eval = format!(
        r#"Plugins = filename:join([code:lib_dir(rabbit), "..", "*", "ebin"]),
        lists:foreach(fun code:add_pathz/1, filelib:wildcard(Plugins)),
        OAuth = rabbitmq_auth_backend_oauth2,
        application:load(OAuth),
        application:set_env(OAuth, resource_server_id, <<"rabbitmq">>),
        application:set_env(OAuth, key_config, [{{signing_keys, #{{<<"k">> => {{map, {KEY_OF_TOKENS}}}}}}}]),
        {{ok, _}} = application:ensure_all_started(OAuth),
        application:set_env(rabbit, auth_backends, [rabbit_auth_backend_oauth2, rabbit_auth_backend_internal])."#
    );
    rabbit.ctl(&["eval", &eval]).await;
}

/// Has a broker take no more tokens.
async fn take_no_tokens(rabbit: &OwnRabbit) {
    let eval = "application:set_env(rabbit, auth_backends, [rabbit_auth_backend_internal]).";
    rabbit.ctl(&["eval", eval]).await;
}

/// Tokens that end at these times, in seconds since 1970. The broker signs them: it has what that takes.
async fn tokens(rabbit: &OwnRabbit, ends: &[u64]) -> Vec<(u64, String)> {
    let eval = format!(
        r#"Key = jose_jwk:from_map({KEY_OF_TOKENS}),
        Scopes = [<<"rabbitmq.configure:*/*">>, <<"rabbitmq.write:*/*">>, <<"rabbitmq.read:*/*">>],
        lists:foreach(fun(End) ->
            Claims = #{{<<"exp">> => End, <<"aud">> => [<<"rabbitmq">>], <<"sub">> => <<"shop">>, <<"scope">> => Scopes}},
            Header = #{{<<"alg">> => <<"HS256">>, <<"kid">> => <<"k">>}},
            {{_, Token}} = jose_jws:compact(jose_jwt:sign(Key, Header, Claims)),
            io:format("token ~s~n", [Token])
        end, {ends:?})."#
    );
    let printed = rabbit.ctl(&["eval", &eval]).await;
    let tokens = printed
        .lines()
        .filter_map(|line| Some(line.strip_prefix("token ")?.to_owned()));
    let tokens: Vec<_> = ends.iter().copied().zip(tokens).collect();
    assert_eq!(tokens.len(), ends.len(), "{printed}");
    tokens
}

/// The broker knows the end of a token. Nobody notices while there is another one; where there is none, health tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_renewed_before_it_ends_and_missed_when_there_is_none() {
    /// How long each token is good for.
    const TIME: u64 = 6;
    const TOKENS: u64 = 5;

    let rabbit = disturbed().await;
    take_tokens(&rabbit).await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let proxy = before(&rabbit).await;
            let begin = now() + TIME;
            let ends: Vec<_> = (1..=TOKENS).map(|number| begin + number * TIME).collect();
            let last = *ends.last().unwrap();
            let known = Arc::new(Mutex::new(tokens(&rabbit, &ends).await));
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let app = App::new(format!("amqp://{}", proxy.address()))
                .credentials({
                    let known = known.clone();
                    move || {
                        let now = now();
                        // one that is good for a while
                        let known = known.lock().unwrap();
                        let token = known.iter().find(|(end, _)| *end > now + TIME / 2);
                        let credentials = token.map(|(end, token)| {
                            let time = Duration::from_secs(end - now);
                            Credentials::new("shop", token).valid_for(time)
                        });
                        async { credentials.ok_or("the one who gives tokens is away") }
                    }
                })
                .handlers(working(ledger))
                .queue(Queue::new(&queue).key(KeySource::header(KEY)))
                .start()
                .await
                .unwrap();
            let connected = proxy.accepted();
            let mut number = 0;
            while now() + TIME < last {
                bed.send(&queue, "work", number.to_string()).await;
                number += 1;
                ledger.until(number, LONG).await;
                assert!(app.health().is_healthy(), "{}", app.health());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(proxy.accepted(), connected, "the connections stay");
            assert_eq!(ledger.duplicates(), 0);

            // nothing fails, for nothing is to do
            eventually(LONG, async || {
                let health = app.health().to_string();
                health.contains("the one who gives tokens is away")
            })
            .await;
            assert!(now() + 1 >= last, "not before it is over");
            let later: Vec<_> = (1..=20).map(|number| now() + 30 * number).collect();
            *known.lock().unwrap() = tokens(&rabbit, &later).await;
            eventually(LONG, async || app.health().is_healthy()).await;
            bed.send(&queue, "work", number.to_string()).await;
            ledger.until(number + 1, LONG).await;
            app.shut_down().await.unwrap();
        })
        .await;
    take_no_tokens(&rabbit).await;
}
