//! Moments on the command line.

use domain::timestamp::read_moment;

/// Reads RFC 3339, or a day (UTC), in milliseconds since 1970.
///
/// # Errors
/// With what to write instead.
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    read_moment(text).ok_or_else(|| "write 2026-01-31 or 2026-01-31T12:00:00Z".to_owned())
}
