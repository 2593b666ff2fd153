use std::{
    cell::RefCell,
    pin::Pin,
    sync::{Arc, OnceLock, atomic::Ordering::Relaxed},
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tracing::{Span, field::display};

use super::{
    IS_ON, Origin, Trace, TraceContext, TraceId, bridge,
    spans::{self, Operation},
};
use crate::{
    delivery::Delivery,
    message::header_names as headers,
    outcome::{Failure, Outcome},
};

thread_local! {
    /// What this thread is at.
    static AT_WORK: RefCell<Option<Arc<Work>>> = const { RefCell::new(None) };
}

/// A message that is traced, or a batch of them, from where it is handed over to where it is settled.
///
/// Its span begins when its handler does: what waits in line before has none. A task polls it by [`poll`], and whatever is
/// at work inside finds it there, without having been given it.
pub(crate) struct Work {
    delivery: Delivery,
    /// Where the message says that it comes from, or those of the batch.
    came: Vec<TraceContext>,
    /// None if it has no span, and only what is sent goes on.
    trace: Option<Trace>,
    part: Part,
    begun: OnceLock<Begun>,
}

/// What is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Message,
    /// It is handled together with others, in a span that theirs are linked to.
    InBatch,
    Batch,
}

struct Begun {
    span: Span,
    /// That of what is sent.
    context: Option<TraceContext>,
}

/// Whether any message has to be looked at.
#[inline]
pub(super) fn is_on() -> bool {
    IS_ON.load(Relaxed)
}

/// Whether messages have spans that have this setting.
#[inline]
pub(crate) fn makes_spans(setting: Option<Trace>) -> bool {
    is_on() && Trace::chosen(setting).is_some()
}

/// What is traced of a message; None if nothing is.
#[inline]
pub(crate) fn of(
    delivery: &Delivery,
    setting: Option<Trace>,
    is_in_batch: bool,
) -> Option<Arc<Work>> {
    match is_on() {
        true => of_traced(delivery, setting, is_in_batch),
        false => None,
    }
}

#[cold]
fn of_traced(delivery: &Delivery, setting: Option<Trace>, is_in_batch: bool) -> Option<Arc<Work>> {
    let trace = Trace::chosen(setting);
    let mut came: Vec<_> = TraceContext::of(delivery.headers()).into_iter().collect();
    if trace.is_none() && is_in_batch {
        came.clear();
    }
    if is_nothing(trace, &came) {
        return None;
    }
    let work = Work {
        delivery: delivery.clone(),
        came,
        trace,
        part: match is_in_batch {
            true => Part::InBatch,
            false => Part::Message,
        },
        begun: OnceLock::new(),
    };
    Some(Arc::new(work))
}

/// Whether nobody has to know what is at work. A bridge would take what is sent for sent outside of a handler, and give it a
/// trace.
fn is_nothing(trace: Option<Trace>, came: &[TraceContext]) -> bool {
    trace.is_none() && came.is_empty() && bridge::get().is_none()
}

/// A batch that is handled, for [`Within`]; None if it is not traced. Whose trace it would go on is nobody's choice, so
/// without spans there is none.
pub(crate) fn batch(
    delivery: &Delivery,
    messages: &[Delivery],
    setting: Option<Trace>,
    handler: &str,
) -> Option<Arc<Work>> {
    let trace = Trace::chosen(setting);
    if !is_on() || is_nothing(trace, &[]) {
        return None;
    }
    let came = messages
        .iter()
        .filter(|_| trace.is_some())
        .filter_map(|message| TraceContext::of(message.headers()));
    let work = Work {
        delivery: delivery.clone(),
        came: came.collect(),
        trace,
        part: Part::Batch,
        begun: OnceLock::new(),
    };
    let span = match trace {
        Some(_) => spans::of_batch(delivery.queue(), handler, messages.len()),
        None => Span::none(),
    };
    let begun = work.begun_in(span, false);
    work.begun.get_or_init(|| begun);
    Some(Arc::new(work))
}

/// The handler of the message that this thread is at begins.
pub(crate) fn begin_handling(handler: &str) {
    begin(
        |work| (work.part != Part::InBatch).then_some(Operation::Process),
        handler,
    );
}

/// The message that this thread is at is settled now. If no handler began, there is nothing to see unless it failed.
pub(crate) fn begin_settling(handler: &str, failure: Option<&Failure>) {
    let operation = |work: &Work| match (work.part, failure) {
        (Part::InBatch, _) => Some(Operation::Settle),
        (_, Some(_)) => Some(Operation::Process),
        (_, None) => None,
    };
    begin(operation, handler);
}

fn begin(operation: impl FnOnce(&Work) -> Option<Operation>, handler: &str) {
    if !is_on() {
        return;
    }
    if let Some(work) = current() {
        if let Some(operation) = operation(&work) {
            work.begin(operation, handler);
        }
    }
}

/// Takes note of what becomes of the message that this thread is at.
pub(crate) fn note(outcome: Outcome, failure: Option<&Failure>) {
    if !is_on() {
        return;
    }
    if let Some(begun) = current().as_ref().and_then(|work| work.begun.get()) {
        spans::note_outcome(&begun.span, outcome, failure);
    }
}

/// The trace of the message that this thread is at, or else the one that the message names.
pub(crate) fn trace_id(delivery: &Delivery) -> Option<TraceId> {
    let of_work = is_on()
        .then(current)
        .flatten()
        .and_then(|work| work.context());
    let context = of_work.or_else(|| TraceContext::of(delivery.headers()));
    context.map(|context| context.trace_id())
}

/// What this thread is at, where that is traced.
pub(super) fn current() -> Option<Arc<Work>> {
    AT_WORK
        .try_with(|current| current.borrow().clone())
        .ok()
        .flatten()
}

/// Does something for a message, and has all that is done inside know of it.
#[inline]
pub(crate) fn poll<T>(work: Option<&Arc<Work>>, poll: impl FnOnce() -> T) -> T {
    let Some(work) = work else {
        return poll();
    };
    let _entered = Entered::enter(work);
    poll()
}

/// What the thread was at before.
struct Entered(Option<Arc<Work>>);

impl Entered {
    fn enter(work: &Arc<Work>) -> Self {
        let before = AT_WORK.replace(Some(work.clone()));
        if let Some(begun) = work.begun.get() {
            begun.enter();
        }
        Self(before)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let work = AT_WORK.replace(self.0.take());
        // it may have begun meanwhile, and was entered then
        if let Some(begun) = work.as_ref().and_then(|work| work.begun.get()) {
            begun.exit();
        }
    }
}

/// No guard of `tracing`: a span begins inside of what is entered with it.
impl Begun {
    fn enter(&self) {
        self.span
            .with_subscriber(|(id, subscriber)| subscriber.enter(id));
    }

    fn exit(&self) {
        self.span
            .with_subscriber(|(id, subscriber)| subscriber.exit(id));
    }
}

impl Work {
    fn begin(&self, operation: Operation, handler: &str) {
        if self.begun.get().is_some() {
            return;
        }
        let span = match self.trace {
            Some(_) => spans::of_message(operation, &self.delivery, handler),
            None => Span::none(),
        };
        let begun = self.begun_in(span, self.is_child());
        self.begun.get_or_init(|| begun).enter();
    }

    fn begun_in(&self, span: Span, is_child: bool) -> Begun {
        let named = self
            .came
            .first()
            .filter(|_| is_child || self.trace.is_none());
        let context = match (bridge::get(), self.trace) {
            (_, None) => named.cloned(),
            (Some(bridge), Some(_)) => {
                let origin = Origin {
                    came: &self.came,
                    is_child,
                    is_batch: self.part == Part::Batch,
                };
                bridge.process(&span, &origin).or_else(|| named.cloned())
            }
            // a link has no meaning then
            (None, Some(_)) => match &self.came[..] {
                [came] if self.part != Part::Batch => Some(came.clone()),
                _ => Some(TraceContext::begin()),
            },
        };
        if let Some(context) = &context {
            span.record("trace_id", display(context.trace_id()));
        }
        Begun { span, context }
    }

    /// Whether its span is a child of the one that sent the message.
    fn is_child(&self) -> bool {
        match self.trace {
            None | Some(Trace::Off | Trace::Parent) => true,
            Some(Trace::Link) => false,
            Some(Trace::Auto) => self.part == Part::Message && self.delivery.is_fresh(),
        }
    }

    pub(super) fn has_span(&self) -> bool {
        self.trace.is_some()
    }

    /// That of what is sent meanwhile.
    pub(super) fn context(&self) -> Option<TraceContext> {
        match self.begun.get() {
            Some(begun) => begun.context.clone(),
            None => self.came.first().cloned(),
        }
    }

    /// Takes note of why a batch failed.
    pub(crate) fn failed(&self, failure: &Failure) {
        if let Some(begun) = self.begun.get() {
            spans::note_failure(&begun.span, failure);
        }
    }
}

impl Delivery {
    /// Whether it comes for the first time, and straight from who sent it.
    fn is_fresh(&self) -> bool {
        let headers = self.headers();
        !self.came_back()
            && !self.has_waited()
            && !self.was_delayed()
            && !headers.contains_any(&[headers::REPLAYED, headers::SUSPECT])
    }
}

pin_project! {
    /// Work on a task of its own.
    pub(crate) struct Within<F> {
        work: Option<Arc<Work>>,
        #[pin]
        future: F,
    }
}

impl<F> Within<F> {
    pub(crate) fn new(work: Option<Arc<Work>>, future: F) -> Self {
        Self { work, future }
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        poll(this.work.as_ref(), || this.future.poll(cx))
    }
}
