//! Why a client's event is refused.

use crate::token::TokenError;

/// Why an event is refused. [`Refusal::code`] is for machines, the text for
/// people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not JSON.
    #[error("malformed JSON at line {line}, column {column}: {message}")]
    Json {
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// JSON, but not an event: a field is unknown, missing or of a wrong type.
    #[error("{0}")]
    Shape(String),
    /// `type` names no kind of event.
    #[error("unknown event type {0:?}; known are page, track, identify, conversion, sale, payment, refund")]
    UnknownType(String),
    /// A field that this kind of event needs.
    #[error("a {kind} event needs {field}")]
    Missing {
        /// The kind.
        kind: &'static str,
        /// The field, or fields.
        field: &'static str,
    },
    /// A field's value cannot be.
    #[error("{field}: {message}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A field is too long.
    #[error("{field} is longer than {limit} bytes")]
    TooLarge {
        /// The field.
        field: &'static str,
        /// Its limit.
        limit: usize,
    },
    /// The click token is refused.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Refusal {
    /// The reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json { .. } => "malformed_json",
            Self::Shape(_) => "invalid_shape",
            Self::UnknownType(_) => "unknown_type",
            Self::Missing { .. } => "missing_field",
            Self::Invalid { .. } => "invalid_field",
            Self::TooLarge { .. } => "too_large",
            Self::Token(TokenError::Malformed) => "token_malformed",
            Self::Token(TokenError::UnknownKey(_)) => "token_unknown_key",
            Self::Token(TokenError::BadSignature) => "token_bad_signature",
        }
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        // serde_json ends its text with the position; it is given apart here.
        let text = error.to_string();
        let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(m, _)| m).to_owned();
        match error.classify() {
            serde_json::error::Category::Data => Self::Shape(message),
            _ => Self::Json { line: error.line(), column: error.column(), message },
        }
    }
}
