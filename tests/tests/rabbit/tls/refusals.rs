//! Certificates that are not as they should be, on either side.

use std::fs;
use std::path::Path;

use ploomby::Publisher;
use rcgen::date_time_ymd;

use super::certificates::{Certificate, Certificates, Change};
use super::path;
use super::terminator::Terminator;

const UNCHANGED: Change = |_| {};

async fn connect(terminator: &Terminator, host: &str, parameters: &str) -> Result<(), String> {
    let port = terminator.port();
    let url = format!("amqps://guest:guest@{host}:{port}?{parameters}");
    match Publisher::connect(&url).await {
        Ok(publisher) => {
            publisher.close().await;
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn trusting(file: &Path) -> String {
    format!("cacertfile={}", path(file))
}

fn assert_told(refused: Result<(), String>, parts: &[&str]) {
    let error = refused.unwrap_err();
    for part in parts {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_signs_for_itself_is_trusted_if_it_is_named_and_only_for_its_host() {
    let certificates = Certificates::new();
    let own = certificates.self_signed("own", &["localhost"], UNCHANGED);
    let terminator = Terminator::start(&own, None).await;
    connect(&terminator, "localhost", &trusting(&own.file))
        .await
        .unwrap();
    let by_address = connect(&terminator, "127.0.0.1", &trusting(&own.file)).await;
    assert_told(by_address, &["`server_name_indication`"]);

    // one with the same names, which is not the one that is named
    let other = certificates.self_signed("other", &["localhost"], UNCHANGED);
    let impostor = Terminator::start(&other, None).await;
    let refused = connect(&impostor, "localhost", &trusting(&own.file)).await;
    assert_told(refused, &["not named in `cacertfile`", "signed by itself"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_brokers_certificate_is_told_with_what_helps() {
    let certificates = Certificates::new();
    let expired: Change = |params| params.not_after = date_time_ymd(2001, 1, 1);
    let early: Change = |params| params.not_before = date_time_ymd(4000, 1, 1);
    let cases: [(&str, &[&str], Change, &[&str]); 3] = [
        (
            "cn-only",
            &[],
            UNCHANGED,
            &["subjectAltName", "(CN) does not count"],
        ),
        ("expired", &["localhost"], expired, &["expired", "renew it"]),
        (
            "early",
            &["localhost"],
            early,
            &["not valid before", "this machine's clock"],
        ),
    ];
    for (name, hosts, change, parts) in cases {
        let shown = certificates.self_signed(name, hosts, change);
        let terminator = Terminator::start(&shown, None).await;
        let refused = connect(&terminator, "localhost", &trusting(&shown.file)).await;
        assert_told(refused, parts);
    }

    let root = certificates.authority("the root");
    let middle = certificates.intermediate(&root, "the middle");
    let broker = certificates.signed(&middle, "broker", "localhost");
    let terminator = Terminator::start(&broker, None).await;
    let missing = connect(&terminator, "localhost", &trusting(&root.file)).await;
    assert_told(
        missing,
        &["`the middle`", "intermediate", "`ssl_options.certfile`"],
    );
    let chain = [&broker.file, &middle.file].map(|file| fs::read_to_string(file).unwrap());
    let chain = Certificate {
        file: certificates.write("chain", &chain.concat()),
        key: broker.key.clone(),
    };
    let whole = Terminator::start(&chain, None).await;
    connect(&whole, "localhost", &trusting(&root.file))
        .await
        .unwrap();
    let other = certificates.authority("another");
    let unknown = connect(&whole, "localhost", &trusting(&other.file)).await;
    assert_told(
        unknown,
        &["`the root`", "name that authority with `cacertfile`"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broker_has_against_our_certificate_is_told_with_what_helps() {
    let certificates = Certificates::new();
    let authority = certificates.authority("authority");
    let broker = certificates.signed(&authority, "broker", "localhost");
    let terminator = Terminator::start(&broker, Some(&authority.file)).await;
    let trusting = trusting(&authority.file);
    let shown = |client: &Certificate| {
        let (file, key) = (path(&client.file), path(&client.key));
        format!("{trusting}&certfile={file}&keyfile={key}")
    };

    let none = connect(&terminator, "localhost", &trusting).await;
    assert_told(none, &["wants to see a certificate", "`certfile`"]);

    let other = certificates.authority("another");
    let stranger = certificates.signed(&other, "stranger", "x.example");
    let refused = connect(&terminator, "localhost", &shown(&stranger)).await;
    assert_told(refused, &["does not know the authority", "`certfile`"]);

    let expired: Change = |params| params.not_after = date_time_ymd(2001, 1, 1);
    let expired = certificates.signed_with(&authority, "expired", "x.example", expired);
    let refused = connect(&terminator, "localhost", &shown(&expired)).await;
    assert_told(refused, &["has expired", "renew it"]);
}
