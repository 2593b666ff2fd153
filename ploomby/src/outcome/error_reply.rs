use std::fmt;

use serde::{Deserialize, Serialize};

/// A reply that says why there is no value.
///
/// A handler may return one as its error, also among the causes of another: it is the answer then to a
/// message that asks for a reply, which is neither tried again nor dead-lettered. Other errors become one
/// when their message is given up, with the [`Reason`](crate::Reason) as the code.
///
/// # As other programs see it
///
/// The header `ploomby-reply` of the reply says `error`; that of a value is not there. The body, in the
/// codec of the request, or JSON if the request names none, is
///
/// ```json
/// {
///     "code": "invalid",
///     "message": "the order is not valid",
///     "fields": [{"field": "lines[2].amount", "message": "must be positive"}]
/// }
/// ```
///
/// without `fields` if there are none.
///
/// ```
/// use ploomby::ErrorReply;
///
/// let error = ErrorReply::new("invalid", "the order is not valid")
///     .field("lines[2].amount", "must be positive");
/// assert_eq!(error.code(), "invalid");
/// assert_eq!(error.to_string(), "the order is not valid (invalid): lines[2].amount: must be positive");
/// ```
// not `Deserialize`: a `Result` that has it as its error would be a payload, too, and `RpcClient::call_handler` could not
// tell what the handler's reply is
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorReply {
    code: String,
    message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<FieldError>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct FieldError {
    field: String,
    message: String,
}

/// The body of a reply that is an [`ErrorReply`].
#[derive(Deserialize)]
pub(crate) struct ErrorBody {
    code: String,
    message: String,
    #[serde(default)]
    fields: Vec<FieldError>,
}

impl From<ErrorBody> for ErrorReply {
    fn from(body: ErrorBody) -> Self {
        let ErrorBody {
            code,
            message,
            fields,
        } = body;
        Self {
            code,
            message,
            fields,
        }
    }
}

impl ErrorReply {
    /// A code for programs, and a message for people.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            fields: Vec::new(),
        }
    }

    /// Says what is wrong with a field, which is named by its path.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.fields.push(FieldError {
            field: field.into(),
            message: message.into(),
        });
        self
    }

    /// The code, for programs.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The message, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The fields that are at fault; none if the error is not about fields.
    pub fn fields(&self) -> &[FieldError] {
        &self.fields
    }
}

impl FieldError {
    /// The path of the field, such as `lines[2].amount`.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong with it.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)?;
        // a message may name its fields already, as that of a failure does
        let is_named = |fault: &&FieldError| {
            self.message.contains(&fault.field) && self.message.contains(&fault.message)
        };
        let unnamed = self.fields.iter().filter(|fault| !is_named(fault));
        for (at, FieldError { field, message }) in unnamed.enumerate() {
            let before = if at == 0 { ": " } else { ", " };
            write!(f, "{before}{field}: {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ErrorReply {}
