use thiserror::Error;

use super::part::DeliveryPart;
use crate::{
    delivery::Delivery,
    trace::{TraceId, trace_id},
};

#[diagnostic::do_not_recommend]
impl<'d> DeliveryPart<'d> for TraceId {
    type Rejection = MissingTrace;

    fn part(delivery: &'d Delivery) -> Result<Self, MissingTrace> {
        trace_id(delivery).ok_or(MissingTrace(()))
    }
}

/// The message belongs to no trace: it has no header `traceparent`, or one that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the message has no `traceparent`: take an `Option` of the trace's id")]
pub struct MissingTrace(());
