//! Which replies go out, and where to.

use std::{sync::Arc, time::Duration};

pub(crate) use self::{
    address::{OwnQueues, Pattern, ReplyAddress, is_companion},
    direct::{
        is_malformed as is_malformed_address, is_well_formed, name as direct_name,
        node as node_of_address,
    },
    lost::{Loss, LostReplies},
};
use crate::message::Message;

mod address;
mod direct;
mod lost;

/// Which replies a queue sends to who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replies {
    /// The values of handlers, and why a message was given up.
    #[default]
    All,
    /// The values of handlers alone: a message that fails is kept, and who asked waits in vain.
    Values,
    /// None: `reply_to` means nothing.
    None,
}

/// Which replies a queue sends, and where they may go.
#[derive(Clone, Debug)]
pub(crate) struct ReplyRules {
    pub(crate) replies: Replies,
    /// Error replies tell the texts of errors.
    pub(crate) exposes_errors: bool,
    /// All that may be replied to, if the program says so.
    pub(crate) addresses: Option<Vec<Pattern>>,
    /// A larger reply goes to no queue, unless `addresses` names it.
    pub(crate) max_len: usize,
    /// How long the broker may take to take a reply.
    pub(crate) within: Duration,
    /// Of the program, filled as its queues are registered.
    pub(crate) own: Arc<OwnQueues>,
}

impl Default for ReplyRules {
    fn default() -> Self {
        Self {
            replies: Replies::default(),
            exposes_errors: false,
            addresses: None,
            max_len: 1024 * 1024,
            within: Duration::from_secs(1),
            own: Arc::default(),
        }
    }
}

/// A reply may be so many times as large as its request, and this large in any case: whoever may publish a
/// little must not make the service write much into a queue.
const TIMES: usize = 100;
const SMALL: usize = 64 * 1024;

/// The rules of one queue, and what became of its replies.
#[derive(Debug, Default)]
pub(crate) struct Replying {
    pub(crate) queue: String,
    pub(crate) rules: ReplyRules,
    pub(crate) lost: Arc<LostReplies>,
}

impl Replying {
    /// Where the reply to a request goes that names this address, if it may go there.
    pub(crate) fn address(&self, reply_to: &str) -> Option<ReplyAddress> {
        if reply_to.is_empty() {
            return None;
        }
        let rules = &self.rules;
        let checked = ReplyAddress::checked(reply_to, rules.addresses.as_deref(), &rules.own);
        checked
            .inspect_err(|refusal| self.note(Loss::Refused, reply_to, refusal))
            .ok()
    }

    /// Whether a reply of this size may go there.
    pub(crate) fn allows(
        &self,
        address: &ReplyAddress,
        reply: &Message,
        request_len: usize,
    ) -> bool {
        let rules = &self.rules;
        let most = request_len
            .saturating_mul(TIMES)
            .max(SMALL)
            .min(rules.max_len);
        let len = reply.body().len();
        if len <= most || address.is_direct() || rules.addresses.is_some() {
            return true;
        }
        let why = format!(
            "it has {len} bytes, and {most} are allowed for a request of {request_len}: name the \
             queue with `reply_addresses`, or have the caller use direct reply-to"
        );
        self.note(Loss::TooLarge, &address.routing_key, &why);
        false
    }

    pub(crate) fn note(&self, loss: Loss, reply_to: &str, why: &dyn std::fmt::Display) {
        self.lost.note(loss, &self.queue, reply_to, why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_reply_goes_to_who_waits_for_it_or_where_the_program_says() {
        let allows = |rules: ReplyRules, reply_to: &str, len: usize, request_len: usize| {
            let replying = Replying {
                rules,
                ..Replying::default()
            };
            let address = replying.address(reply_to).expect("it is allowed");
            replying.allows(&address, &Message::new(vec![0; len]), request_len)
        };
        let rules = ReplyRules::default;
        assert!(allows(rules(), "replies", SMALL, 0));
        assert!(!allows(rules(), "replies", SMALL + 1, 0));
        assert!(allows(rules(), "replies", SMALL + 1, 1024));
        assert!(!allows(
            rules(),
            "replies",
            rules().max_len + 1,
            1024 * 1024
        ));
        let direct = direct_name(7);
        assert!(allows(rules(), &direct, 2 * rules().max_len, 0));
        let listed = ReplyRules {
            addresses: Some(vec![Pattern::new("replies".to_owned())]),
            ..rules()
        };
        assert!(allows(listed, "replies", 2 * rules().max_len, 0));
    }
}
