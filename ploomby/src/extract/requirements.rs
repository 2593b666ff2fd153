use std::{
    any::{TypeId, type_name},
    fmt,
};

use http::Extensions;

#[cfg(feature = "asyncapi")]
use crate::schema::SchemaOf;

/// What a handler needs that does not come with a message, so that it is missed at startup and not
/// at the first message.
///
/// An extractor of your own that reads state says so in
/// [`FromDelivery::require`](crate::extract::FromDelivery::require).
#[derive(Clone, Default)]
pub struct Requirements {
    states: Vec<StateType>,
    /// What the handler takes if the program gives it.
    optional_states: Vec<StateType>,
    of_message: Vec<&'static str>,
    batch: bool,
    payload: Option<&'static str>,
    #[cfg(feature = "asyncapi")]
    schema: Option<SchemaOf>,
    #[cfg(feature = "asyncapi")]
    content_type: Option<&'static str>,
}

/// A type of state, and how to look for it.
#[derive(Clone, Copy)]
struct StateType {
    id: TypeId,
    name: &'static str,
    is_given: fn(&Extensions) -> bool,
}

/// What the program gives its handlers.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) state: &'a Extensions,
    /// The types of state that it will give as well, such as a publisher that is not connected yet.
    pub(crate) promised: &'a [TypeId],
}

impl Requirements {
    /// The program has to give state of this type, by [`App::state`](crate::App::state).
    pub fn state<T: Clone + Send + Sync + 'static>(&mut self) {
        self.states.push(StateType {
            id: TypeId::of::<T>(),
            name: type_name::<T>(),
            is_given: |state| state.get::<T>().is_some(),
        });
    }

    /// It is made of one message, so that a handler that takes a
    /// [`Batch`](crate::extract::Batch) cannot take it.
    pub fn message<T: ?Sized>(&mut self) {
        self.of_message.push(type_name::<T>());
    }

    /// The same as what this requires, whose state it can do without.
    pub(crate) fn optional(&mut self, require: impl FnOnce(&mut Self)) {
        let mut other = Self::default();
        require(&mut other);
        self.of_message.extend(other.of_message);
        self.optional_states.extend(other.states);
        self.optional_states.extend(other.optional_states);
    }

    /// The handler takes this, decoded from the body.
    pub(crate) fn payload<T: ?Sized>(&mut self) {
        self.payload = Some(type_name::<T>());
    }

    /// What is decoded from the body is described so.
    #[cfg(feature = "asyncapi")]
    pub(crate) fn described_by(&mut self, schema: SchemaOf) {
        self.schema = Some(schema);
    }

    /// The body has this content type, whatever the queue's codec is.
    #[cfg(all(feature = "asyncapi", feature = "protobuf"))]
    pub(crate) fn written_as(&mut self, content_type: &'static str) {
        self.content_type = Some(content_type);
    }

    /// The content type that the body has, if it is not that of the queue's codec.
    #[cfg(feature = "asyncapi")]
    pub(crate) fn content_type(&self) -> Option<&'static str> {
        self.content_type
    }

    /// How what is decoded from the body is described.
    #[cfg(feature = "asyncapi")]
    pub(crate) fn schema(&self) -> Option<SchemaOf> {
        self.schema
    }

    /// The type that is decoded from the body.
    pub(crate) fn payload_type(&self) -> Option<&'static str> {
        self.payload
    }

    /// Whether the handler takes what is decoded from the body.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(crate) fn takes_payload(&self) -> bool {
        self.payload.is_some()
    }

    pub(crate) fn batch(&mut self) {
        self.batch = true;
    }

    /// Whether the handler takes several messages at once.
    pub(crate) fn is_batch(&self) -> bool {
        self.batch
    }

    /// What belongs to one message, if the handler takes several.
    pub(crate) fn beside_batch(&self) -> &[&'static str] {
        if self.batch { &self.of_message } else { &[] }
    }

    /// Whether state of this type is taken, needed or not.
    pub(crate) fn includes<T: 'static>(&self) -> bool {
        let mut taken = self.states.iter().chain(&self.optional_states);
        taken.any(|state| state.id == TypeId::of::<T>())
    }

    /// The types of state that are not given, each once.
    pub(crate) fn missing(&self, given: Given<'_>) -> Vec<&'static str> {
        let is_given = |state: &&StateType| {
            (state.is_given)(given.state) || given.promised.contains(&state.id)
        };
        let missing = self.states.iter().filter(|state| !is_given(state));
        let mut names: Vec<_> = missing.map(|state| state.name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl fmt::Debug for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states = self.states.iter().map(|state| state.name);
        f.debug_struct("Requirements")
            .field("states", &states.collect::<Vec<_>>())
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}
