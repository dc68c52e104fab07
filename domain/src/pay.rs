//! What an action pays, before platform and creator share it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::command::Reason;
use crate::event::Item;
use crate::money::{Currency, FULL_BPS, MAX_AMOUNT_MINOR, Money, fee_of};

/// At most this many articles have rates of their own.
const MAX_RATES: usize = 1_000;

/// A campaign's rule for what an action pays, in the campaign's currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Pay {
    /// The same for each.
    Fixed {
        /// Minor units; above 0.
        amount_minor: i64,
    },
    /// A share of what the order, or the goal, is worth, halves rounded up.
    PercentOfOrder {
        /// The share; above 0.
        bps: u16,
    },
    /// A share of each of the order's articles, each rounded, halves up. An
    /// order that lists none pays the common share of its value.
    PercentOfItems {
        /// The common share.
        bps: u16,
        /// Other shares, by the seller's number of the article.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        by_sku: BTreeMap<String, u16>,
    },
}

impl Pay {
    /// What it comes to for an action that is worth `value` and lists `items`.
    ///
    /// # Errors
    /// The reason why it pays nothing.
    pub fn of(&self, value: Option<Money>, items: &[Item], currency: Currency) -> Result<Money, Reason> {
        let share = |amount_minor: i64, bps: u16| fee_of(amount_minor, bps).map_err(|_error| Reason::NoValue);
        let amount_minor = match self {
            Self::Fixed { amount_minor } => return Ok(Money { amount_minor: *amount_minor, currency }),
            Self::PercentOfOrder { bps } => share(worth(value, currency)?, *bps)?,
            Self::PercentOfItems { bps, .. } if items.is_empty() => share(worth(value, currency)?, *bps)?,
            Self::PercentOfItems { bps, by_sku } => {
                worth(value, currency)?;
                let mut sum_minor = 0_i64;
                for item in items {
                    let rate = by_sku.get(&item.sku).unwrap_or(bps);
                    let subtotal_minor = item.unit_price_minor.saturating_mul(i64::from(item.quantity));
                    sum_minor = sum_minor.saturating_add(share(subtotal_minor, *rate)?);
                }
                sum_minor.min(MAX_AMOUNT_MINOR)
            }
        };
        Ok(Money { amount_minor, currency })
    }

    /// What is wrong with it, if anything.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let too_much = |bps: &u16| *bps > FULL_BPS;
        match self {
            Self::Fixed { amount_minor } if !(1..=MAX_AMOUNT_MINOR).contains(amount_minor) => {
                Some("the amount must be above 0 and within the limit".to_owned())
            }
            Self::PercentOfOrder { bps: 0 } => Some("a share must be above 0".to_owned()),
            Self::PercentOfOrder { bps } if too_much(bps) => Some(format!("a share is at most {FULL_BPS}")),
            Self::PercentOfItems { bps, by_sku } if too_much(bps) || by_sku.values().any(too_much) => {
                Some(format!("a share is at most {FULL_BPS}"))
            }
            Self::PercentOfItems { by_sku, .. } if by_sku.len() > MAX_RATES => {
                Some(format!("at most {MAX_RATES} articles have rates of their own"))
            }
            _ => None,
        }
    }

    /// Whether a click, which is worth nothing by itself, can pay by it.
    #[must_use]
    pub fn needs_a_value(&self) -> bool {
        !matches!(self, Self::Fixed { .. })
    }
}

fn worth(value: Option<Money>, currency: Currency) -> Result<i64, Reason> {
    match value {
        None => Err(Reason::NoValue),
        Some(value) if value.currency != currency => Err(Reason::CurrencyMismatch),
        Some(value) => Ok(value.amount_minor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(amount_minor: i64, code: &str) -> Money {
        Money { amount_minor, currency: Currency::new(code).unwrap() }
    }

    fn item(sku: &str, quantity: u32, unit_price_minor: i64) -> Item {
        Item { sku: sku.to_owned(), quantity, unit_price_minor }
    }

    #[test]
    fn what_an_action_pays() {
        let fixed = Pay::Fixed { amount_minor: 600 };
        let order = |bps| Pay::PercentOfOrder { bps };
        let by_sku = BTreeMap::from([("book".to_owned(), 500), ("gift".to_owned(), 0)]);
        let items = Pay::PercentOfItems { bps: 1_000, by_sku };
        let basket = [item("book", 3, 1_110), item("gift", 1, 9_999), item("mug", 1, 1_495)];
        for (pay, value, items, expected) in [
            (&fixed, None, &[][..], Ok(600)),
            (&fixed, Some(money(5, "EUR")), &[], Ok(600)),
            (&order(1_500), Some(money(9_900, "USD")), &[], Ok(1_485)),
            // Half a cent, up.
            (&order(1_000), Some(money(5, "USD")), &[], Ok(1)),
            (&order(1_000), Some(money(4, "USD")), &[], Ok(0)),
            (&order(1_000), None, &[], Err(Reason::NoValue)),
            (&order(1_000), Some(money(5, "EUR")), &[], Err(Reason::CurrencyMismatch)),
            // 5 % of 33.30 is 1.665, of 14.95 it is 10 %: 1.495.
            (&items, Some(money(14_824, "USD")), &basket, Ok(167 + 150)),
            (&items, Some(money(14_824, "USD")), &[], Ok(1_482)),
            (&items, Some(money(14_824, "EUR")), &basket, Err(Reason::CurrencyMismatch)),
        ] {
            let is = pay.of(value, items, Currency::new("USD").unwrap());
            assert_eq!(is.map(|money| money.amount_minor), expected, "{pay:?} {value:?}");
        }
    }

    #[test]
    fn faults_are_found() {
        for (pay, is_fine) in [
            (Pay::Fixed { amount_minor: 1 }, true),
            (Pay::Fixed { amount_minor: 0 }, false),
            (Pay::Fixed { amount_minor: MAX_AMOUNT_MINOR + 1 }, false),
            (Pay::PercentOfOrder { bps: 0 }, false),
            (Pay::PercentOfOrder { bps: 10_000 }, true),
            (Pay::PercentOfOrder { bps: 10_001 }, false),
            (Pay::PercentOfItems { bps: 0, by_sku: BTreeMap::from([("a".to_owned(), 10_001)]) }, false),
            (Pay::PercentOfItems { bps: 0, by_sku: BTreeMap::from([("a".to_owned(), 1)]) }, true),
        ] {
            assert_eq!(pay.fault().is_none(), is_fine, "{pay:?}");
        }
    }
}
