//! Fields of the API's answers, for people.

use domain::money::{Currency, Money};
use serde_json::Value;

/// A text; `-` for none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

/// A whole number; `-` for none.
pub(crate) fn number(value: &Value) -> String {
    value.as_i64().map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// A list; empty for none.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Minor units in the currency's major unit.
pub(crate) fn amount(minor: &Value, code: &str) -> String {
    let minor = minor.as_i64().unwrap_or_default();
    match Currency::new(code) {
        Ok(currency) => Money { amount_minor: minor, currency }.to_string(),
        Err(_) => format!("{minor} {code}"),
    }
}

/// A length of time, in the unit that suits it.
pub(crate) fn duration(ms: i64) -> String {
    let seconds = ms as f64 / 1_000.0;
    let (count, unit) = match seconds {
        ..120.0 => (seconds, "s"),
        ..7_200.0 => (seconds / 60.0, "min"),
        ..172_800.0 => (seconds / 3_600.0, "h"),
        _ => (seconds / 86_400.0, "days"),
    };
    format!("{count:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_the_unit_that_suits_them() {
        for (ms, expected) in
            [(300, "0.3 s"), (150_000, "2.5 min"), (7_200_000, "2.0 h"), (864_000_000, "10.0 days")]
        {
            assert_eq!(duration(ms), expected);
        }
    }
}
