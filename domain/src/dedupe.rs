//! Same id, same payload: a repeat, ignored. Same id, other payload: a clash,
//! quarantined. Same visitor, same link, soon again: a duplicate click.

/// A click on the same link by the same visitor within this time counts once.
pub const CLICK_WINDOW_MS: i64 = 24 * 60 * 60 * 1_000;
/// The same, for a visitor without a cookie.
pub const COOKIELESS_CLICK_WINDOW_MS: i64 = 60 * 60 * 1_000;

/// What an event is, given what is remembered of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Seen for the first time.
    First,
    /// The same once more.
    Repeat,
    /// The id of another event.
    Clash,
}

/// Compares an event's payload hash with the one remembered under its id.
#[must_use]
pub fn arrival<T: PartialEq>(remembered: Option<T>, payload_hash: T) -> Arrival {
    match remembered {
        None => Arrival::First,
        Some(hash) if hash == payload_hash => Arrival::Repeat,
        Some(_) => Arrival::Clash,
    }
}

/// Whether a click at `at_ms` repeats one at `earlier_ms`. The boundary is
/// inclusive, and order of arrival does not matter.
#[must_use]
pub fn is_duplicate_click(earlier_ms: i64, at_ms: i64, window_ms: i64) -> bool {
    earlier_ms.abs_diff(at_ms) <= window_ms.max(0).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals() {
        for (remembered, hash, expected) in
            [(None, "a", Arrival::First), (Some("a"), "a", Arrival::Repeat), (Some("a"), "b", Arrival::Clash)]
        {
            assert_eq!(arrival(remembered, hash), expected);
        }
    }

    #[test]
    fn the_window_is_inclusive_to_the_millisecond() {
        for window in [CLICK_WINDOW_MS, COOKIELESS_CLICK_WINDOW_MS] {
            assert!(is_duplicate_click(0, 0, window));
            assert!(is_duplicate_click(0, window, window));
            assert!(!is_duplicate_click(0, window + 1, window));
            assert!(is_duplicate_click(window, 0, window));
        }
    }
}
