//! Amounts in whole minor units, fees in basis points, splits without a rest.

use std::fmt;

use serde::{Deserialize, Serialize};

/// No single amount may be larger (either way): sums of a million of them
/// still fit an `i64`.
pub const MAX_AMOUNT_MINOR: i64 = 1_000_000_000_000;
/// 100 %.
pub const FULL_BPS: u16 = 10_000;

/// Why an amount or currency is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a code of ISO 4217.
    #[error("currency {0:?} is not an ISO 4217 code such as \"USD\"")]
    Currency(String),
    /// Outside of ±[`MAX_AMOUNT_MINOR`].
    #[error("amount is beyond the limit of {MAX_AMOUNT_MINOR} minor units")]
    TooLarge,
    /// Not an amount of that currency.
    #[error("{text:?} is not an amount of {currency}")]
    Decimal {
        /// What was given.
        text: String,
        /// The currency.
        currency: Currency,
    },
    /// A share above 100 %.
    #[error("{0} basis points are more than 100 % ({FULL_BPS})")]
    Bps(u16),
}

/// An ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// Reads a code such as `USD`.
    ///
    /// # Errors
    /// When it is not a code of ISO 4217, in capital letters.
    pub fn new(code: &str) -> Result<Self, MoneyError> {
        match <[u8; 3]>::try_from(code.as_bytes()) {
            Ok(letters) if iso_currency::Currency::from_code(code).is_some() => Ok(Self(letters)),
            _ => Err(MoneyError::Currency(code.chars().take(16).collect())),
        }
    }

    /// How many digits its minor unit has: 2 for USD, 0 for JPY, 3 for KWD;
    /// nothing for a code that ISO 4217 does not know.
    #[must_use]
    pub fn exponent(&self) -> Option<u16> {
        iso_currency::Currency::from_code(self.code())?.exponent()
    }

    /// The three letters.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("capital ASCII letters")
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;

    fn try_from(code: String) -> Result<Self, MoneyError> {
        Self::new(&code)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount of one currency, in its minor unit (cents for USD, yen for JPY).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units.
    pub amount_minor: i64,
    /// Their currency.
    pub currency: Currency,
}

impl Money {
    /// Reads an amount written in major units, such as `19.99`, exactly.
    ///
    /// # Errors
    /// When it is not a plain decimal number, has more digits than the
    /// currency's minor unit (zeros aside), or is too large.
    pub fn from_decimal(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let wrong = || MoneyError::Decimal { text: text.chars().take(32).collect(), currency };
        let digits = usize::from(currency.exponent().ok_or_else(wrong)?);
        let (sign, unsigned) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let (kept, beyond) = fraction.split_at_checked(digits).unwrap_or((fraction, ""));
        if !plain(whole) || !plain(fraction) || beyond.bytes().any(|byte| byte != b'0') {
            return Err(wrong());
        }
        let minor: i64 =
            format!("{whole}{kept:0<digits$}").parse().map_err(|_too_long| MoneyError::TooLarge)?;
        let amount_minor = check_amount(minor.checked_mul(sign).ok_or(MoneyError::TooLarge)?)?;
        Ok(Self { amount_minor, currency })
    }
}

impl Money {
    /// The amount in major units, such as `19.99`, with all of its currency's
    /// digits; minor units for a currency that has no exponent.
    #[must_use]
    pub fn decimal(&self) -> String {
        let width = usize::from(self.currency.exponent().unwrap_or_default());
        let digits = format!("{:0>1$}", self.amount_minor.unsigned_abs(), width.saturating_add(1));
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(width));
        let (sign, point) = (if self.amount_minor < 0 { "-" } else { "" }, if width > 0 { "." } else { "" });
        format!("{sign}{whole}{point}{fraction}")
    }
}

/// Such as `19.99 USD`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

/// Refuses what is beyond ±[`MAX_AMOUNT_MINOR`].
///
/// # Errors
/// [`MoneyError::TooLarge`].
pub fn check_amount(amount_minor: i64) -> Result<i64, MoneyError> {
    if (-MAX_AMOUNT_MINOR..=MAX_AMOUNT_MINOR).contains(&amount_minor) {
        Ok(amount_minor)
    } else {
        Err(MoneyError::TooLarge)
    }
}

/// `fee_bps` of `gross_minor`, halves rounded up (away from zero for refunds).
///
/// # Errors
/// When the amount or the share is out of range.
pub fn fee_of(gross_minor: i64, fee_bps: u16) -> Result<i64, MoneyError> {
    if fee_bps > FULL_BPS {
        return Err(MoneyError::Bps(fee_bps));
    }
    let gross = i128::from(check_amount(gross_minor)?);
    let full = i128::from(FULL_BPS);
    let product = gross.checked_mul(i128::from(fee_bps)).ok_or(MoneyError::TooLarge)?;
    let half = full.checked_div(2).and_then(|half| half.checked_mul(product.signum()));
    let rounded = half
        .and_then(|half| product.checked_add(half))
        .and_then(|sum| sum.checked_div(full))
        .ok_or(MoneyError::TooLarge)?;
    i64::try_from(rounded).map_err(|_out_of_range| MoneyError::TooLarge)
}

/// Divides `amount_minor`, which is not below 0, in proportion to `weights`
/// without a rest, by the method of largest remainders: each part is the exact
/// share rounded down, and what is left goes, one minor unit each, to those who
/// lost most by that; of equals, to the first. Nothing but zeros for weights
/// that sum to 0.
#[must_use]
pub fn apportion(amount_minor: i64, weights: &[u64]) -> Vec<i64> {
    let amount = u128::from(amount_minor.max(0).unsigned_abs());
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).fold(0, u128::saturating_add);
    // At most 2^63 × 2^64: no product overflows.
    let product = |weight: &u64| amount.saturating_mul(u128::from(*weight));
    let mut parts: Vec<u128> =
        weights.iter().map(|weight| product(weight).checked_div(total).unwrap_or_default()).collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    let remainder = |place: &usize| product(&weights[*place]).checked_rem(total).unwrap_or_default();
    by_remainder.sort_by_key(|place| std::cmp::Reverse(remainder(place)));
    let given = parts.iter().copied().fold(0, u128::saturating_add);
    let left = if total == 0 { 0 } else { amount.saturating_sub(given) };
    for place in by_remainder.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        parts[place] = parts[place].saturating_add(1);
    }
    parts.into_iter().map(|part| i64::try_from(part).unwrap_or(i64::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_are_read_exactly() {
        let read = |text: &str, code: &str| {
            Money::from_decimal(text, Currency::new(code).unwrap()).map(|money| money.amount_minor)
        };
        for (text, code, minor) in [
            ("19.99", "USD", 1_999),
            ("19.9", "USD", 1_990),
            ("19", "USD", 1_900),
            ("0.07", "USD", 7),
            ("-5.10", "EUR", -510),
            ("19.990", "USD", 1_999),
            ("1500", "JPY", 1_500),
            ("1500.0", "JPY", 1_500),
            ("1.234", "KWD", 1_234),
        ] {
            assert_eq!(read(text, code), Ok(minor), "{text} {code}");
        }
        for (text, code) in
            [("19.999", "USD"), ("1.5", "JPY"), ("", "USD"), (".5", "USD"), ("1e3", "USD"), ("1,5", "USD")]
        {
            assert!(matches!(read(text, code), Err(MoneyError::Decimal { .. })), "{text} {code}");
        }
        assert_eq!(read("99999999999999999999", "USD"), Err(MoneyError::TooLarge));
        for code in ["QQQ", "usd", "US", ""] {
            assert!(Currency::new(code).is_err(), "{code}");
        }
    }

    #[test]
    fn fees_round_halves_up() {
        for (gross, bps, fee) in [
            (1_000, 1_000, 100),
            (5, 1_000, 1),  // 0.5 up
            (4, 1_000, 0),  // 0.4 down
            (15, 1_000, 2), // 1.5 up
            (-5, 1_000, -1),
            (999, 0, 0),
            (999, 10_000, 999),
            (MAX_AMOUNT_MINOR, 10_000, MAX_AMOUNT_MINOR),
        ] {
            assert_eq!(fee_of(gross, bps), Ok(fee), "{gross} × {bps}");
        }
        assert_eq!(fee_of(1, 10_001), Err(MoneyError::Bps(10_001)));
        assert_eq!(fee_of(MAX_AMOUNT_MINOR + 1, 1), Err(MoneyError::TooLarge));
        assert_eq!(fee_of(i64::MIN, 10_000), Err(MoneyError::TooLarge));
    }

    #[test]
    fn shares_leave_no_rest() {
        for (amount, weights, expected) in [
            (100, &[1, 1, 1][..], &[34, 33, 33][..]),
            (100, &[40, 20, 40], &[40, 20, 40]),
            (1, &[40, 20, 40], &[1, 0, 0]),
            (5, &[1, 1], &[3, 2]),
            // 1.43, 2.86, 5.71: the last two lost most.
            (10, &[1, 2, 4], &[1, 3, 6]),
            (7, &[0, 1], &[0, 7]),
            (0, &[1, 1], &[0, 0]),
            (9, &[0, 0], &[0, 0]),
            (9, &[], &[]),
        ] {
            assert_eq!(apportion(amount, weights), expected, "{amount} {weights:?}");
        }
    }

    #[test]
    fn amounts_have_their_currencys_digits() {
        for (amount_minor, code, expected) in [
            (600, "USD", "6.00"),
            (5, "EUR", "0.05"),
            (-1_234, "USD", "-12.34"),
            (-1, "USD", "-0.01"),
            (1_500, "JPY", "1500"),
            (1_234, "KWD", "1.234"),
            (0, "USD", "0.00"),
        ] {
            let money = Money { amount_minor, currency: Currency::new(code).unwrap() };
            assert_eq!(money.decimal(), expected);
            assert_eq!(money.to_string(), format!("{expected} {code}"));
            assert_eq!(Money::from_decimal(&money.decimal(), money.currency), Ok(money));
        }
    }

    #[test]
    fn currencies_are_three_capitals() {
        assert_eq!(Currency::new("USD").unwrap().code(), "USD");
        for bad in ["", "usd", "US", "USDT", "U$D", "ÄÄÄ"] {
            assert!(Currency::new(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Parts sum to the whole, and each is the exact share rounded up or down.
        #[test]
        fn shares_are_within_a_minor_unit(
            amount in 0..=MAX_AMOUNT_MINOR, weights in proptest::collection::vec(0..=1_u64 << 62, 1..70),
        ) {
            let parts = apportion(amount, &weights);
            let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
            prop_assert_eq!(parts.iter().sum::<i64>(), if total == 0 { 0 } else { amount });
            for (part, weight) in parts.iter().zip(&weights).filter(|_| total > 0) {
                let floor = i64::try_from(u128::from(amount.unsigned_abs()) * u128::from(*weight) / total).unwrap();
                prop_assert!((floor..=floor + 1).contains(part));
            }
        }

        #[test]
        fn a_fee_is_within_its_gross(gross in 0..=MAX_AMOUNT_MINOR, bps in 0..=FULL_BPS) {
            let fee = fee_of(gross, bps).unwrap();
            prop_assert!((0..=gross).contains(&fee));
            // Within half a minor unit of the exact share.
            let exact = i128::from(gross) * i128::from(bps);
            prop_assert!((exact - i128::from(fee) * 10_000).abs() <= 5_000);
        }
    }
}
