//! Moments as clients write them: RFC 3339 text or whole milliseconds since 1970.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::refusal::Refusal;

/// An event's time may be this far ahead of the collector's clock.
pub const MAX_CLOCK_AHEAD_MS: i64 = 5 * 60 * 1_000;
/// No event is older than 2000-01-01T00:00:00Z.
pub const MIN_EVENT_MS: i64 = 946_684_800_000;

/// Milliseconds since 1970 of a moment in RFC 3339.
#[must_use]
pub fn read_rfc3339(text: &str) -> Option<i64> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    moment.unix_timestamp_nanos().checked_div_euclid(1_000_000).and_then(|ms| i64::try_from(ms).ok())
}

/// Milliseconds since 1970 of a moment in RFC 3339, or of the beginning of a day
/// such as `2026-01-31` (UTC).
#[must_use]
pub fn read_moment(text: &str) -> Option<i64> {
    read_rfc3339(text).or_else(|| read_rfc3339(&format!("{text}T00:00:00Z")))
}

/// Milliseconds since 1970 of a moment in either form.
///
/// # Errors
/// When it is in neither.
pub fn read(value: &Value) -> Result<i64, Refusal> {
    let invalid = || Refusal::Invalid {
        field: "timestamp",
        message: "must be RFC 3339 text such as \"2026-01-31T12:00:00Z\", or whole milliseconds \
                  since 1970"
            .to_owned(),
    };
    match value {
        Value::Number(number) => number.as_i64().ok_or_else(invalid),
        Value::String(text) => read_rfc3339(text).ok_or_else(invalid),
        _ => Err(invalid()),
    }
}

/// A moment in RFC 3339 (UTC); without milliseconds, if there are none.
#[must_use]
pub fn rfc3339(at_ms: i64) -> String {
    let (seconds, ms) = (at_ms.rem_euclid(86_400_000) / 1_000, at_ms.rem_euclid(1_000));
    let fraction = if ms == 0 { String::new() } else { format!(".{ms:03}") };
    format!("{}T{:02}:{:02}:{:02}{fraction}Z", day(at_ms), seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// A moment in RFC 3339, by clocks that are so many minutes ahead of UTC.
#[must_use]
pub fn rfc3339_local(at_ms: i64, ahead_minutes: i32) -> String {
    let utc = rfc3339(at_ms.saturating_add(i64::from(ahead_minutes).saturating_mul(60_000)));
    let (sign, minutes) = if ahead_minutes < 0 {
        ('-', ahead_minutes.unsigned_abs())
    } else {
        ('+', ahead_minutes.unsigned_abs())
    };
    format!("{}{sign}{:02}:{:02}", utc.trim_end_matches('Z'), minutes / 60, minutes % 60)
}

/// The day (UTC) that a moment is in, as `2026-01-31`.
#[must_use]
pub fn day(at_ms: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(at_ms.div_euclid(1_000));
    let date = moment.unwrap_or(OffsetDateTime::UNIX_EPOCH).date();
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// Whether an event can have happened then, by the collector's clock.
///
/// # Errors
/// When it lies in the future, or before events were sent like this.
pub fn check(at_ms: i64, now_ms: i64) -> Result<(), Refusal> {
    let latest = now_ms.saturating_add(MAX_CLOCK_AHEAD_MS);
    let message = if at_ms > latest {
        "is more than five minutes in the future"
    } else if at_ms < MIN_EVENT_MS {
        "is before the year 2000 (seconds where milliseconds are meant?)"
    } else {
        return Ok(());
    };
    Err(Refusal::Invalid { field: "timestamp", message: message.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn clocks_are_ahead_or_behind() {
        for (minutes, text) in [
            (0, "1970-01-01T00:00:00+00:00"),
            (60, "1970-01-01T01:00:00+01:00"),
            (-210, "1969-12-31T20:30:00-03:30"),
        ] {
            assert_eq!(rfc3339_local(0, minutes), text);
            assert_eq!(read_rfc3339(text), Some(0));
        }
    }

    #[test]
    fn moments_are_read_in_both_forms() {
        for (written, expected) in [
            (json!("2026-11-21T10:00:00.123+01:00"), Some(1_795_251_600_123)),
            (json!(1_795_251_600_123_i64), Some(1_795_251_600_123)),
            (json!("1969-12-31T23:59:59.9995Z"), Some(-1)),
            (json!("2026-11-21"), None),
            (json!(1.5), None),
            (json!(null), None),
        ] {
            assert_eq!(read(&written).ok(), expected, "{written}");
        }
    }

    #[test]
    fn days_are_read_as_they_are_written() {
        for (at_ms, written) in
            [(0, "1970-01-01"), (86_399_999, "1970-01-01"), (1_795_219_200_000, "2026-11-21")]
        {
            assert_eq!(day(at_ms), written);
            assert_eq!(read_moment(written), Some(at_ms - at_ms.rem_euclid(86_400_000)));
        }
        assert_eq!(read_moment("2026-11-21T01:00:00+01:00"), Some(1_795_219_200_000));
        assert_eq!(read_moment("21.11.2026"), None);
    }

    #[test]
    fn bounds_are_inclusive() {
        let now_ms = 1_800_000_000_000;
        for (at_ms, is_good) in [
            (MIN_EVENT_MS, true),
            (MIN_EVENT_MS - 1, false),
            (now_ms + MAX_CLOCK_AHEAD_MS, true),
            (now_ms + MAX_CLOCK_AHEAD_MS + 1, false),
        ] {
            assert_eq!(check(at_ms, now_ms).is_ok(), is_good, "{at_ms}");
        }
    }
}
