//! Bodies: read whole, within their limits, and split into events.

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use domain::refusal::Refusal;
use futures_util::StreamExt as _;
use serde_json::value::RawValue;

use crate::error::ApiError;

/// Of a body that is too large, this much more is read and thrown away.
const MAX_DISCARDED_BYTES: usize = 16 << 20;

/// The whole body, after decompression, if it is no larger than `limit`. What
/// is larger is still read for a while: a client that is cut off while it sends
/// never sees the answer.
pub(crate) async fn read_body(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let mut whole = BytesMut::new();
    let mut size = 0;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "unreadable_body",
                format!("the body cannot be read: {error}"),
            )
        })?;
        size += piece.len();
        if size <= limit {
            whole.extend_from_slice(&piece);
        } else if size > limit + MAX_DISCARDED_BYTES {
            break;
        }
    }
    if size > limit {
        let message = format!("the body is larger than {limit} bytes");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message));
    }
    Ok(whole.freeze())
}

/// The events of a body: one object, an array of them, or one on each line.
/// The flag says whether it is a batch.
pub(crate) fn split(body: &[u8]) -> Result<(Vec<&RawValue>, bool), ApiError> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => Err(ApiError::new(StatusCode::BAD_REQUEST, "empty_body", "the body is empty; send JSON")),
        Some(b'[') => {
            let events = serde_json::from_slice(body).map_err(Refusal::from)?;
            Ok((events, true))
        }
        Some(_) => {
            let mut events = Vec::new();
            for event in serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>() {
                events.push(event.map_err(Refusal::from)?);
            }
            let is_batch = events.len() > 1;
            Ok((events, is_batch))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(body: &str) -> Result<(usize, bool), &'static str> {
        split(body.as_bytes()).map(|(events, batch)| (events.len(), batch)).map_err(|error| error.reason)
    }

    #[test]
    fn bodies_are_split() {
        for (body, expected) in [
            (r#"{"a":1}"#, Ok((1, false))),
            (r#"[{"a":1},{"b":2}]"#, Ok((2, true))),
            (r#" [{"a":1}]"#, Ok((1, true))),
            ("[]", Ok((0, true))),
            ("{\"a\":1}\n{\"b\":2}\n\n{\"c\":3}\n", Ok((3, true))),
            ("", Err("empty_body")),
            (" \n", Err("empty_body")),
            ("{", Err("malformed_json")),
            ("[{]", Err("malformed_json")),
            ("{\"a\":1}\n{", Err("malformed_json")),
        ] {
            assert_eq!(shape(body), expected, "{body}");
        }
    }
}
