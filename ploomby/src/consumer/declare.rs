/// What becomes of queues that are not there, and of those that are.
///
/// Each needs other rights of the user. With `Never` that is `read` on the consumed queue and `<queue>_suspects`, and
/// `write` on the default exchange, `amq.default`. The others need `configure` on what they declare as well: the consumed
/// queue, `<queue>_dlq`, `<queue>_retry_…ms`, `<queue>_suspects`, `<queue>_crashes` and exchanges; `read` on the queues that
/// lead to others; and for a binding `write` on the queue and `read` on the exchange. `docs/topology.md` lists them.
///
/// Source: [access control](https://www.rabbitmq.com/docs/access-control#authorisation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Declare {
    /// The consumed queue is declared at each start and each new connection: one that exists with other arguments is
    /// an error, and so is an exchange that is otherwise than described.
    All,
    /// A consumed queue that exists is used as it is, whatever its arguments. One that is missing is declared, which
    /// is a warning: events for it were lost. An exchange that exists is used as it is, unless it has another type.
    #[default]
    Missing,
    /// Nothing is declared and nothing is bound. A consumed queue that is missing is waited for, and [`Health`](crate::Health) says so. A
    /// copy for a queue that is missing is not kept: its message stays in the consumed queue.
    Never,
}
