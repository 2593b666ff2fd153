//! Which trace a message belongs to, as the W3C has it written.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{Headers, header_names as headers};

/// The longest `tracestate` that goes on: the least that everybody has to pass on.
///
/// Source: [Trace Context](https://www.w3.org/TR/trace-context/#tracestate-limits).
const MAX_STATE: usize = 512;

/// The longest `baggage` that goes on.
///
/// Source: [Baggage](https://www.w3.org/TR/baggage/#limits).
const MAX_BAGGAGE: usize = 8192;

/// Those that have a meaning: sampled, and random.
const KNOWN_FLAGS: u8 = 0b11;

/// Its spans are recorded.
const SAMPLED: u8 = 0b1;

/// The place of a message in a trace, as its headers `traceparent`, `tracestate` and `baggage` have it.
///
/// ```
/// use ploomby::trace::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: TraceContext = text.parse()?;
/// assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(context.to_string(), text);
/// # Ok::<(), ploomby::trace::InvalidTraceparent>(())
/// ```
///
/// `Debug` does not print the baggage.
///
/// Source: [Trace Context](https://www.w3.org/TR/trace-context/), [Baggage](https://www.w3.org/TR/baggage/).
#[derive(Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: [u8; 8],
    flags: u8,
    state: Option<Box<str>>,
    baggage: Option<Box<str>>,
}

/// The id of a trace: 16 bytes, not all of them zero.
///
/// A handler takes it as an argument: the trace in which its message is handled. With a
/// [`Bridge`](crate::trace::Bridge) that is what the bridge says, else the one that the header `traceparent` names. If there
/// is none, the message goes to the dead-letter queue: take `Option<TraceId>`, unless all senders trace.
///
/// ```
/// use ploomby::extract::TraceId;
///
/// #[ploomby::handler("charge")]
/// async fn charge(cents: u64, trace: Option<TraceId>) {
///     if let Some(trace) = trace {
///         println!("{cents} cents, see trace {trace}");
///     }
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId([u8; 16]);

/// A text that is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is no `traceparent`, such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
pub struct InvalidTraceparent(());

impl TraceContext {
    /// A place in a trace; none where an id is all zero. Of `flags` those are kept that have a meaning: 1 says that the
    /// trace is recorded, 2 that its id is random.
    #[must_use]
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) -> Option<Self> {
        let is_zero = trace_id == [0; 16] || span_id == [0; 8];
        (!is_zero).then_some(Self {
            trace_id: TraceId(trace_id),
            span_id,
            flags: flags & KNOWN_FLAGS,
            state: None,
            baggage: None,
        })
    }

    /// What vendors add: `tracestate`. More than 512 bytes are left out, as a whole.
    #[must_use]
    pub fn with_state(mut self, state: &str) -> Self {
        self.state = passed_on(state, MAX_STATE);
        self
    }

    /// What programs add: `baggage`. More than 8,192 bytes are left out, as a whole.
    #[must_use]
    pub fn with_baggage(mut self, baggage: &str) -> Self {
        self.baggage = passed_on(baggage, MAX_BAGGAGE);
        self
    }

    /// The trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The span in the trace that sent the message.
    pub fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// What is known of the trace: 1 if it is recorded, 2 if its id is random.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// What vendors add.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// What programs add.
    pub fn baggage(&self) -> Option<&str> {
        self.baggage.as_deref()
    }

    /// What a message says of its trace. What it says wrongly is not there.
    pub(crate) fn of(headers: Headers<'_>) -> Option<Self> {
        let context: Self = headers.text(headers::TRACEPARENT)?.parse().ok()?;
        let text = |name| headers.text(name).unwrap_or_default();
        Some(
            context
                .with_state(text(headers::TRACESTATE))
                .with_baggage(text(headers::BAGGAGE)),
        )
    }

    /// A trace that begins.
    pub(crate) fn begin() -> Self {
        Self {
            trace_id: TraceId(fastrand::u128(1..).to_be_bytes()),
            span_id: new_span_id(),
            flags: SAMPLED,
            state: None,
            baggage: None,
        }
    }

    /// Another span of the same trace.
    pub(crate) fn child(&self) -> Self {
        Self {
            span_id: new_span_id(),
            ..self.clone()
        }
    }
}

fn new_span_id() -> [u8; 8] {
    fastrand::u64(1..).to_be_bytes()
}

fn passed_on(text: &str, longest: usize) -> Option<Box<str>> {
    (1..=longest).contains(&text.len()).then(|| text.into())
}

/// Reads a `traceparent`, of this version of the format or a later one.
impl FromStr for TraceContext {
    type Err = InvalidTraceparent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        const LEN: usize = 55;

        let invalid = InvalidTraceparent(());
        let bytes = text.as_bytes();
        let Some((fields, more)) = bytes.split_at_checked(LEN) else {
            return Err(invalid);
        };
        let [version] = hex(&fields[..2]).ok_or(invalid)?;
        let may_go_on = match version {
            0 => more.is_empty(),
            0xff => false,
            // a later version may say more behind these
            _ => more.is_empty() || more[0] == b'-',
        };
        let is_divided = [2, 35, 52].iter().all(|&at| fields[at] == b'-');
        if !may_go_on || !is_divided {
            return Err(invalid);
        }
        let trace_id = hex(&fields[3..35]).ok_or(invalid)?;
        let span_id = hex(&fields[36..52]).ok_or(invalid)?;
        let [flags] = hex(&fields[53..]).ok_or(invalid)?;
        Self::new(trace_id, span_id, flags).ok_or(invalid)
    }
}

/// Bytes as lower-case digits; nothing else is one.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Writes a `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span_id = u64::from_be_bytes(self.span_id);
        write!(f, "00-{}-{span_id:016x}-{:02x}", self.trace_id, self.flags)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({self})")
    }
}

impl TraceId {
    /// Its bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(headers: &[(&str, &str)]) -> Option<TraceContext> {
        let message = headers.iter().fold(Message::new(""), |message, header| {
            message
                .with_header(header.0, header.1)
                .expect("it is short")
        });
        TraceContext::of(message.headers())
    }

    #[test]
    fn what_is_written_is_read() {
        let context: TraceContext = GOOD.parse().expect("it is one");
        assert_eq!(context.to_string(), GOOD);
        assert_eq!(context.span_id(), 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
        assert_eq!(context.flags(), 1);
        let zeros = "00-0000000000000000000000000000000a-000000000000000b-00";
        assert_eq!(
            zeros
                .parse()
                .map(|context: TraceContext| context.to_string()),
            Ok(zeros.to_owned())
        );
        let child = context.child();
        assert_eq!(child.trace_id(), context.trace_id());
        assert_ne!(child.span_id(), context.span_id());
        let begun = TraceContext::begin().to_string();
        assert!(begun.parse::<TraceContext>().is_ok(), "{begun}");
    }

    #[test]
    fn a_later_version_may_say_more() {
        for later in [
            GOOD.replacen("00", "01", 1),
            format!("{}-what-ever", GOOD.replacen("00", "cc", 1)),
            GOOD.replace("-01", "-ff"),
        ] {
            let context: TraceContext = later.parse().expect(&later);
            assert_eq!(context.trace_id().to_string(), &GOOD[3..35]);
            assert!(context.to_string().starts_with("00-"), "{later}");
            assert!(context.flags() <= 3);
        }
    }

    #[test]
    fn what_is_no_traceparent_is_not_there() {
        for bad in [
            String::new(),
            "00".to_owned(),
            GOOD[..54].to_owned(),
            format!("{GOOD}0"),
            format!("{GOOD}-"),
            format!("{}0", GOOD.replacen("00", "01", 1)),
            GOOD.to_uppercase(),
            GOOD.replacen("00", "ff", 1),
            GOOD.replacen("00", "0g", 1),
            GOOD.replace('-', "_"),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("4bf9", "4b 9"),
            GOOD.replace("4bf9", "4bé"),
            "é".repeat(40),
            GOOD.replace("-01", "-+1"),
        ] {
            assert!(bad.parse::<TraceContext>().is_err(), "{bad}");
            assert_eq!(read(&[("traceparent", &bad)]), None, "{bad}");
        }
        assert_eq!(read(&[("tracestate", "a=b"), ("baggage", "c=d")]), None);
    }

    #[test]
    fn what_goes_with_it_is_bounded() {
        let all = |state: &str, baggage: &str| {
            let headers = [
                ("traceparent", GOOD),
                ("tracestate", state),
                ("baggage", baggage),
            ];
            let context = read(&headers).expect("it is one");
            (context.state().is_some(), context.baggage().is_some())
        };
        assert_eq!(all("a=b", "c=d"), (true, true));
        assert_eq!(all("", ""), (false, false));
        assert_eq!(all(&"x".repeat(512), &"x".repeat(8192)), (true, true));
        assert_eq!(all(&"x".repeat(513), &"x".repeat(8193)), (false, false));
    }

    #[test]
    fn baggage_is_not_shown() {
        let context = read(&[("traceparent", GOOD), ("baggage", "user=ada")]);
        assert!(!format!("{context:?}").contains("ada"));
    }
}
