use std::{future::pending, sync::Arc, time::Duration};

use amqprs::channel::QueueDeclareArguments;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::events::{ChannelEvents, Closed};
use crate::rabbit::connection::{CLOSE_TIMEOUT, Link};

/// Whether a consumer to which nothing comes gets what it should.
///
/// A broker may be attached to and deliver nothing: a node that was cut off from its cluster, for one. So the broker
/// is asked, from time to time, what it knows of the queue.
#[derive(Debug, Default)]
pub(super) struct Starved {
    asking: Option<JoinHandle<Answer>>,
    /// What the last answer said, while nothing has come since.
    before: Option<Seen>,
}

/// What became of the question.
#[derive(Clone, Debug)]
enum Answer {
    Seen(Seen),
    /// There is no such queue: it was deleted, and the broker has not said so. RabbitMQ 4.0 was seen to forget that.
    Gone(Closed),
    /// Nothing can be known, such as for a user who may not look.
    Nothing,
    /// The broker does not answer in time.
    Silence(Duration),
}

/// What a broker knows of a queue.
#[derive(Clone, Copy, Debug)]
struct Seen {
    ready: u32,
    consumers: u32,
}

/// What is known of a consumer to which nothing comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is to be given up, for this reason.
    Starved(String),
    /// Its queue was deleted, as the broker says.
    Gone(String),
    /// It has got all that there is.
    Fed,
    /// The next answer says more.
    Open,
}

impl Starved {
    /// Asks, unless the last question is under way. The answer is [judged](Self::judged).
    ///
    /// It goes over a channel of its own: a broker may close it, as it does for who may not look.
    pub(super) fn ask(&mut self, link: &Arc<Link>, queue: &str) {
        if self.asking.is_none() {
            self.asking = Some(tokio::spawn(ask(link.clone(), queue.to_owned())));
        }
    }

    /// Something has come.
    pub(super) fn fed(&mut self) {
        self.before = None;
    }

    /// Resolves with what the answer says of the consumer.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub(super) async fn judged(&mut self) -> Verdict {
        let answer = match &mut self.asking {
            // a panic of amqprs ends the connection, which is noticed without this
            Some(asking) => asking.await.unwrap_or(Answer::Nothing),
            None => pending().await,
        };
        self.asking = None;
        self.judge(answer)
    }

    fn judge(&mut self, answer: Answer) -> Verdict {
        let before = self.before.take();
        match answer {
            Answer::Nothing => Verdict::Open,
            Answer::Gone(closed) => {
                Verdict::Gone(format!("the queue was deleted without a word: {closed}"))
            }
            Answer::Silence(after) => Verdict::Starved(format!(
                "the broker does not say within {after:?} whether messages are ready"
            )),
            Answer::Seen(seen) => {
                self.before = Some(seen);
                let starved = before.and_then(|before| starved(before, seen));
                match starved {
                    Some(reason) => Verdict::Starved(reason),
                    None if seen.ready == 0 && seen.consumers > 0 => Verdict::Fed,
                    None => Verdict::Open,
                }
            }
        }
    }
}

/// Whether two looks say that a consumer gets nothing which it should, when nothing has come between them.
///
/// Where there are other consumers, one of them may rightly have all there is, such as the one active consumer of a
/// queue that has one at a time.
fn starved(before: Seen, now: Seen) -> Option<String> {
    let ready = now.ready;
    if before.consumers == 0 && now.consumers == 0 {
        return Some("the broker does not know of this consumer any more".to_owned());
    }
    let is_alone = before.consumers <= 1 && now.consumers <= 1;
    let are_left = before.ready > 0 && ready >= before.ready;
    (is_alone && are_left).then(|| format!("nothing comes, although {ready} messages are ready"))
}

async fn ask(link: Arc<Link>, queue: String) -> Answer {
    let patience = link.patience();
    let mut declare = QueueDeclareArguments::new(&queue);
    declare.passive(true);
    let looking = async {
        let channel = link.open_channel().await.ok()?;
        let events = ChannelEvents::register(&channel).await.ok()?;
        let Ok(declared) = channel.queue_declare(declare).await else {
            return events
                .closed()
                .filter(Closed::is_not_found)
                .map(Answer::Gone);
        };
        let (_, ready, consumers) = declared?;
        let _ = timeout(CLOSE_TIMEOUT, channel.close()).await;
        Some(Answer::Seen(Seen { ready, consumers }))
    };
    let begin = Instant::now();
    match link.answer(looking).await {
        Ok(answer) => answer.unwrap_or(Answer::Nothing),
        // the answer may stand behind what others get
        Err(_) if link.traffic().has_come_since(begin) => Answer::Nothing,
        Err(_) => Answer::Silence(patience),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ready: u32, consumers: u32) -> Answer {
        Answer::Seen(Seen { ready, consumers })
    }

    #[test]
    fn a_consumer_is_given_up_that_gets_nothing_of_what_is_ready_between_two_looks() {
        let mut starved = Starved::default();
        assert_eq!(starved.judge(seen(3, 1)), Verdict::Open);
        let reason = "nothing comes, although 4 messages are ready";
        let verdict = Verdict::Starved(reason.to_owned());
        assert_eq!(starved.judge(seen(4, 1)), verdict);

        let mut fed = Starved::default();
        assert_eq!(fed.judge(seen(3, 1)), Verdict::Open);
        fed.fed();
        assert_eq!(fed.judge(seen(3, 1)), Verdict::Open);
        fed.fed();
        assert_eq!(fed.judge(seen(0, 1)), Verdict::Fed);
    }

    #[test]
    fn a_broker_that_does_not_know_the_consumer_or_does_not_answer_is_given_up() {
        let mut forgotten = Starved::default();
        assert_eq!(forgotten.judge(seen(0, 0)), Verdict::Open);
        assert!(matches!(forgotten.judge(seen(0, 0)), Verdict::Starved(_)));
        let mut silent = Starved::default();
        let silence = Answer::Silence(Duration::from_secs(5));
        assert!(
            matches!(silent.judge(silence), Verdict::Starved(reason) if reason.contains("within 5s"))
        );
    }

    #[test]
    fn who_has_nothing_to_get_or_stands_behind_another_consumer_is_let_be() {
        for answers in [
            [seen(0, 1), seen(9, 1)],
            [seen(9, 1), seen(8, 1)],
            [seen(9, 2), seen(9, 2)],
            [seen(9, 1), Answer::Nothing],
        ] {
            let mut starved = Starved::default();
            for answer in answers.clone() {
                let verdict = starved.judge(answer);
                assert!(
                    matches!(verdict, Verdict::Open | Verdict::Fed),
                    "{answers:?}"
                );
            }
        }
    }
}
