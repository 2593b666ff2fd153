use std::fmt;

/// An exchange that is there, and is otherwise than the program describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtherExchange {
    pub(crate) name: String,
    /// What differs: `type`, `durable`, `auto_delete`, or an argument.
    pub(crate) argument: String,
    pub(crate) asked: String,
    pub(crate) current: String,
}

impl OtherExchange {
    /// Whether messages would be routed in another way than the program means.
    pub(crate) fn is_of_another_type(&self) -> bool {
        self.argument == "type"
    }
}

impl fmt::Display for OtherExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            argument,
            asked,
            current,
        } = self;
        match self.is_of_another_type() {
            true => write!(
                f,
                "exchange `{name}` is a {current} exchange, and the program describes it as a {asked} exchange: \
                 describe it as `Exchange::{current}` or `Exchange::existing`, or choose another name"
            ),
            false => write!(
                f,
                "exchange `{name}` exists with another `{argument}`: {current}, and the program asks for {asked}: \
                 describe it as it is or by `Exchange::existing`, or delete it"
            ),
        }
    }
}
