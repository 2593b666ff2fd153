use super::{Finding, of_queue};
use crate::{app::App, publisher::BrokerUrl};

pub(super) fn check(app: &App) -> Vec<Finding> {
    let mut findings = vec![url(app)];
    findings.extend(transport(app));
    let faults = app.faults();
    let program = app.program();
    if faults.is_empty() {
        let (handlers, queues) = (program.handlers.len(), program.queues.len());
        let many = |number| if number == 1 { "" } else { "s" };
        let text = format!(
            "{handlers} handler{} for {queues} queue{}, with all state that they take",
            many(handlers),
            many(queues)
        );
        findings.push(Finding::good("handlers", text));
    }
    findings.extend(
        faults
            .into_iter()
            .map(|fault| Finding::bad("handlers", fault.to_string())),
    );
    for queue in &program.queues {
        findings.push(Finding::good(
            of_queue(&queue.name),
            format!("the key of a message is in {}", queue.key),
        ));
        findings.extend(dead_letters(app, &queue.name));
    }
    if program.name.is_none() {
        findings.push(
            Finding::doubtful(
                "name",
                "the program has no name, and dead letters do not say which build failed",
            )
            .remedy("App::named(env!(\"CARGO_PKG_NAME\"), env!(\"CARGO_PKG_VERSION\"))"),
        );
    }
    if cfg!(panic = "abort") {
        findings.push(
            Finding::doubtful("build", "a handler that panics ends the process")
                .remedy("build without panic = \"abort\""),
        );
    }
    findings
}

fn url(app: &App) -> Finding {
    match app.url() {
        Ok(BrokerUrl::Rabbit(url)) => Finding::good("url", url.described()),
        Ok(BrokerUrl::Memory(_)) => Finding::good("url", "the broker inside of the process"),
        Err(error) => Finding::bad("url", error.to_string()),
    }
}

/// What everybody on the way can read.
fn transport(app: &App) -> Option<Finding> {
    let Ok(BrokerUrl::Rabbit(url)) = app.url() else {
        return None;
    };
    if url.has_tls() {
        return Some(Finding::good(
            "tls",
            "amqps://, with the certificate of the broker checked",
        ));
    }
    url.leaves_the_machine().then(|| {
        let text = "password and messages go over the network as they are";
        Finding::doubtful("tls", text)
            .remedy("write amqps://, by the feature `tls`, unless the network is trusted")
    })
}

fn dead_letters(app: &App, queue: &str) -> Option<Finding> {
    let about = format!("dead letters of {queue}");
    let queues = app.consumed();
    let kept = &queues
        .iter()
        .find(|known| known.name == queue)?
        .options
        .dead_letters;
    if let Some(ttl) = kept.longest_kept() {
        let text = format!("the broker drops what is older than {ttl:?}");
        return Some(
            Finding::doubtful(about, text)
                .remedy("leave `ttl` out to keep letters until somebody acts"),
        );
    }
    if kept.is_by_broker() {
        let text = "they are left to the broker, which drops them if the queue has no dead-letter exchange";
        return Some(
            Finding::doubtful(about, text)
                .remedy("give the queue `x-dead-letter-exchange`, or leave `by_broker` out"),
        );
    }
    if let Some(most) = kept.most_kept() {
        let text = format!(
            "once {most} are there, messages that fail stay in their queue and are tried again"
        );
        return Some(
            Finding::doubtful(about, text)
                .remedy("watch how many there are, or leave `max_length` out"),
        );
    }
    None
}
