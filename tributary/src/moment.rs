//! Moments on the command line: RFC 3339 or days, in UTC.

use domain::timestamp::read_rfc3339;

/// Reads a moment, or the beginning of a day, in milliseconds since 1970.
///
/// # Errors
/// With what to write instead.
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    read_rfc3339(text)
        .or_else(|| read_rfc3339(&format!("{text}T00:00:00Z")))
        .ok_or_else(|| "write 2026-01-31 or 2026-01-31T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use domain::timestamp::day;

    use super::*;

    #[test]
    fn days_are_read_as_they_are_written() {
        for (at_ms, written) in
            [(0, "1970-01-01"), (86_399_999, "1970-01-01"), (1_795_219_200_000, "2026-11-21")]
        {
            assert_eq!(day(at_ms), written);
            assert_eq!(moment(written), Ok(at_ms - at_ms.rem_euclid(86_400_000)));
        }
        assert!(moment("21.11.2026").is_err());
    }
}
