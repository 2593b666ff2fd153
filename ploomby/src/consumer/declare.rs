/// What becomes of queues that are not there, and of those that are.
///
/// A program that declares needs the right to `configure` the consumed queue, `<queue>_dlq`, `<queue>_retry_…ms`,
/// `<queue>_suspects` and `<queue>_crashes`; for a queue that dead-letters to another one also `read` on the queue and
/// `write` on the default exchange, `amq.default`. One that declares nothing needs `read` on the consumed queue and
/// `<queue>_suspects`, and `write` on `amq.default` alone.
///
/// Source: [access control](https://www.rabbitmq.com/docs/access-control#authorisation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Declare {
    /// The consumed queue is declared at each start and each new connection: one that exists with other arguments is
    /// an error.
    All,
    /// A consumed queue that exists is used as it is, whatever its arguments. One that is missing is declared, which
    /// is a warning: it has no bindings, so that events for it were lost.
    #[default]
    Missing,
    /// Nothing is declared. A consumed queue that is missing is waited for, and [`Health`](crate::Health) says so. A
    /// copy for a queue that is missing is not kept: its message stays in the consumed queue.
    Never,
}
