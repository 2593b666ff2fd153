use super::*;

fn parse(text: &str) -> RabbitUrl {
    RabbitUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn hosts_of(text: &str) -> Vec<String> {
    let hosts = parse(text).hosts.into_iter();
    hosts.map(|(name, port)| format!("{name}:{port}")).collect()
}

fn password_of(text: &str) -> String {
    parse(text).password.read().unwrap()
}

#[test]
fn what_is_left_out_has_a_default() {
    let url = parse("amqp://");
    assert_eq!(hosts_of("amqp://"), ["localhost:5672"]);
    assert_eq!(url.user, "guest");
    assert_eq!(password_of("amqp://"), "guest");
    assert_eq!(url.vhost, "/");
    assert_eq!(url.heartbeat, 20);
    assert_eq!(parse("amqp://rabbit/").vhost, "/");
    assert_eq!(hosts_of("amqp://:10000"), ["localhost:10000"]);
    assert_eq!(hosts_of("amqp://rabbit:"), ["rabbit:5672"]);
    assert_eq!(hosts_of("amqp://u:p@"), ["localhost:5672"]);
    assert_eq!(password_of("amqp://u@rabbit"), "");
    assert_eq!(password_of("amqp://u:@rabbit"), "");
}

#[test]
fn every_part_is_percent_decoded() {
    let text = "amqp://us%40er:p%3Ass%2F@ho%73t:1/a%2Fb%20c?connection_name=my%20shop";
    let url = parse(text);
    assert_eq!(url.user, "us@er");
    assert_eq!(password_of(text), "p:ss/");
    assert_eq!(hosts_of(text), ["host:1"]);
    assert_eq!(url.vhost, "a/b c");
    assert_eq!(url.connection_name, "my shop");
}

#[test]
fn several_hosts_and_ipv6_are_understood() {
    let text = "amqp://u:p@n1,n2:5673,[::1]:5674,[fe80::1]/v?heartbeat=5";
    let hosts = ["n1:5672", "n2:5673", "[::1]:5674", "[fe80::1]:5672"];
    assert_eq!(hosts_of(text), hosts);
    assert_eq!(parse(text).heartbeat, 5);
    assert_eq!(hosts_of("amqp://my_node-1.shop."), ["my_node-1.shop.:5672"]);
}

#[test]
fn a_virtual_host_is_taken_by_the_letter() {
    for (text, vhost) in [
        ("amqp://h/..", ".."),
        ("amqp://h/%2e%2e", ".."),
        ("amqp://h/.", "."),
        ("amqp://h/%2f", "/"),
        ("amqp://h/%2F..", "/.."),
        ("amqp://h/a;b", "a;b"),
        ("amqp://h/a\\b", "a\\b"),
        ("amqp://h/ö", "ö"),
        ("amqp:///v", "v"),
    ] {
        assert_eq!(parse(text).vhost, vhost, "{text}");
    }
}

#[test]
fn a_password_is_taken_by_the_letter() {
    for (text, password) in [
        ("amqp://u:p@ss@h", "p@ss"),
        ("amqp://u:p:s:s@h", "p:s:s"),
        ("amqp://u:p+s;s@h", "p+s;s"),
        ("amqp://u:$pass@h", "$pass"),
        ("amqp://u:%0A%25%7B@h", "\n%{"),
        ("  amqp://u:pass@h\n", "pass"),
    ] {
        assert_eq!(password_of(text), password, "{text}");
    }
}

#[test]
fn a_password_comes_from_a_file_without_white_space_at_its_end() {
    let file = std::env::temp_dir().join(format!("ploomby-password-{}", std::process::id()));
    let text = format!("amqp://u@h?password_file={}", file.display());
    std::fs::write(&file, "pass word\r\n\n").unwrap();
    let url = parse(&text);
    assert_eq!(url.password.read().unwrap(), "pass word");
    std::fs::write(&file, "renewed").unwrap();
    assert_eq!(url.password.read().unwrap(), "renewed");
    std::fs::write(&file, " \n").unwrap();
    let empty = RabbitUrl::parse(&text).unwrap_err().to_string();
    assert!(empty.contains("which is empty"), "{empty}");
    std::fs::remove_file(&file).unwrap();
    let gone = url.password.read().unwrap_err().to_string();
    assert!(
        gone.contains("`password_file`") && gone.contains("No such file"),
        "{gone}"
    );
}

#[test]
fn what_is_wrong_is_named_and_the_password_never_shown() {
    for (text, part) in [
        ("localhost:5672", "expected amqp://"),
        ("http://u:secret@h", "expected amqp://"),
        #[cfg(not(feature = "tls"))]
        ("amqps://u:secret@h", "the feature `tls`"),
        #[cfg(feature = "tls")]
        ("amqps://u:secret@h?verify=verify_none", "verify_peer"),
        #[cfg(feature = "tls")]
        (
            "amqps://u:secret@h?cacertfile=/no/such/file",
            "`/no/such/file`",
        ),
        #[cfg(feature = "tls")]
        ("amqps://u:secret@h?certfile=/c.pem", "`keyfile`"),
        ("amqp://u:secret@h?cacertfile=/ca.pem", "amqps:// only"),
        ("amqp://u:secret@h:port", "`h` is not"),
        ("amqp://u:secret@h:99999", "the port is not a number"),
        ("amqp://u:secret@h:+5672", "the port is not a number"),
        ("amqp://u:secret@h:0", "the port is not a number"),
        // the host was forgotten
        ("amqp://u:secret", "`u` is not"),
        ("amqp://u:secret@h,[::1/v", "`[::1`"),
        ("amqp://u:secret@[::1]5672", "`[::1]5672` is not"),
        ("amqp://u:secret@[1.2.3.4]", "no IPv6 address"),
        (
            "amqp://u:secret@::1",
            "`::1` is not a host with an optional port: an IPv6 address stands in brackets",
        ),
        ("amqp://u:secret@fe80::1:5672", "in brackets"),
        ("amqp://u:secret@a b", "`a b`"),
        (
            "amqp://u:secret@h1,",
            "`` is not a host with an optional port: an empty one among several",
        ),
        ("amqp://u:secret@,h1", "an empty one among several"),
        (
            "amqp://u:secret@h1;h2",
            "`h1;h2` is not a host with an optional port: several hosts are separated by commas",
        ),
        (
            "amqp://u:secret@${HOST}",
            "`${HOST}` is not a host with an optional port: the variable was not replaced",
        ),
        (
            "amqp://u:secret@{{host}}:5672",
            "the variable was not replaced",
        ),
        ("amqp://u:secret@$HOST", "the variable was not replaced"),
        ("amqp://u:secret@höst", "`höst`"),
        ("amqp://u:secret@h1%0a", "`h1%0a`"),
        ("amqp://u:secret@a..b", "`a..b`"),
        (
            "amqp://u:sec\nret@h",
            "the password has a line break at character 4: cut it off",
        ),
        (
            "amqp://u\r\n:secret@h",
            "the user has a line break at character 2",
        ),
        (
            "amqp://u:secret @h",
            "the password has a space at character 7",
        ),
        (
            "amqp://u:secret\t@h",
            "the password has a character that does not show at character 7",
        ),
        (
            "amqp://${USER}:secret@h",
            "the user has a brace at character 2: replace the variable",
        ),
        (
            "amqp://u:${PASSWORD}@h",
            "the password has a brace at character 2",
        ),
        (
            "amqp://u:secret%4@h",
            "the password has a `%` without two hexadecimal digits behind it at character 7",
        ),
        (
            "amqp://u:secret@h/v\nw",
            "the virtual host has a line break at character 2",
        ),
        (
            "amqp://u:secret@h?name=a\nb",
            "the list of parameters has a line break at character 7",
        ),
        ("amqp://:secret@h", "nothing before the `@`"),
        ("amqp://@h", "nothing before the `@`"),
        ("amqp://u:secret@h?password_file=/no/such", "given twice"),
        ("amqp://h?password_file=/no/such", "needs a user"),
        (
            "amqp://u@h?password_file=/no/such/file",
            "`/no/such/file`, which cannot be read",
        ),
        ("amqp://u:secret/secret@h/v", "%2F"),
        ("amqp://u:se?secret@h", "%3F"),
        ("amqp://u:12/secret@h", "%2F"),
        ("amqp://u:secret@h/a/b", "%2F"),
        ("amqp://u:secret@h/v#x", "%23"),
        ("amqp://u:secret%ff@h", "password"),
        ("amqp://u:secret@h/%ff", "virtual host"),
        ("amqp://u:secret@h?heartbeat=0", "heartbeat"),
        ("amqp://u:secret@h?heartbeat=fast", "heartbeat"),
        (
            "amqp://u:secret@h?connection_timeout=0",
            "connection_timeout",
        ),
        ("amqp://u:secret@h?ssl=1", "unknown parameter `ssl`"),
    ] {
        let error = RabbitUrl::parse(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
        assert!(!error.contains("secret"), "{text}: {error}");
    }
    assert!(!format!("{:?}", parse("amqp://u:secret@h")).contains("secret"));
}
