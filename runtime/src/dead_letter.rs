//! The letter in which a message that cannot be used is kept: where it was,
//! why it is of no use, and its bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// Where a message was, or was to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition, if it got there.
    pub partition: Option<i32>,
    /// The offset, if it got there.
    pub offset: Option<i64>,
}

/// The letter, as JSON: `topic`, `partition`, `offset`, `reason`, and the bytes
/// as `payload` where they are text, else as `payload_base64`.
#[must_use]
pub fn letter(source: &Source<'_>, reason: &str, payload: &[u8]) -> Vec<u8> {
    let mut letter = json!({
        "topic": source.topic, "partition": source.partition, "offset": source.offset, "reason": reason,
    });
    match std::str::from_utf8(payload) {
        Ok(text) => letter["payload"] = text.into(),
        Err(_not_text) => letter["payload_base64"] = STANDARD.encode(payload).into(),
    }
    letter.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_kept() {
        let source = Source { topic: "events", partition: Some(1), offset: Some(7) };
        let read = |payload: &[u8]| {
            let letter = letter(&source, "unreadable", payload);
            serde_json::from_slice::<serde_json::Value>(&letter).unwrap()
        };
        assert_eq!(read(b"{\"a\":")["payload"], "{\"a\":");
        let bytes = read(&[0xFF, 0, 1]);
        let kept = STANDARD.decode(bytes["payload_base64"].as_str().unwrap()).unwrap();
        assert_eq!(kept, [0xFF, 0, 1]);
        assert_eq!(bytes["offset"], 7);
    }
}
