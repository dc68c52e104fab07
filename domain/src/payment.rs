//! Money that one person pays another through the platform: tips, live sales,
//! purchases. What of it goes to the processor, to the platform, and to the
//! payee, who pays both.
//!
//! `total = processor's fee + platform's share + payee's part`, exactly: each of
//! the first two is rounded, halves up, and the payee gets the rest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::command::{Basis, Decision, PaymentBasis, Reason};
use crate::ids::{UserId, WorkspaceId};
use crate::money::{Currency, FULL_BPS, MAX_AMOUNT_MINOR, Money, fee_of};
use crate::rules::Rules;

/// Tiers, and processors, of one workspace.
const MAX_RATES: usize = 100;

/// What a payment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A supporter gives to a creator.
    Tip,
    /// Something was sold inside a live event.
    LiveSale,
    /// Something was sold on the marketplace.
    Purchase,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tip, Self::LiveSale, Self::Purchase];

    /// The name, as in JSON and SQL.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Tip => "tip",
            Self::LiveSale => "live_sale",
            Self::Purchase => "purchase",
        }
    }
}

/// How often a payment is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    /// Once.
    #[default]
    OneTime,
    /// Every month; each month's is a payment of its own.
    Monthly,
}

/// What a payment opens if it is large enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unlock {
    /// The platform's own name for it, for example a post's id.
    pub content: String,
    /// The least that opens it, in minor units of the payment's currency.
    pub minimum_minor: i64,
}

/// A payment that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// Its number; refunds bring it back.
    pub payment_id: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Who is paid.
    pub payee: UserId,
    /// Who paid, if that is a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<UserId>,
    /// All that the payer gave.
    pub value: Money,
    /// Through whom; names one of [`PaymentRates::processors`].
    pub processor: String,
    /// How often.
    #[serde(default)]
    pub frequency: Frequency,
    /// The live event that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_event: Option<String>,
    /// What it opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlock: Option<Unlock>,
}

/// What a processor keeps of each payment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessorRate {
    /// A share of it.
    #[serde(default)]
    pub bps: u16,
    /// And so much, in minor units, by currency. Where any is named, payments
    /// in others are not taken; where none is, there is no fixed part.
    #[serde(default)]
    pub fixed_minor: BTreeMap<Currency, i64>,
}

impl ProcessorRate {
    fn fee_minor(&self, value: Money) -> Result<i64, Reason> {
        let fixed_minor = match self.fixed_minor.get(&value.currency) {
            Some(fixed_minor) => *fixed_minor,
            None if self.fixed_minor.is_empty() => 0,
            None => return Err(Reason::CurrencyMismatch),
        };
        let share_minor = fee_of(value.amount_minor, self.bps).map_err(|_error| Reason::NoValue)?;
        Ok(share_minor.saturating_add(fixed_minor))
    }
}

/// What a workspace, and its processors, keep of payments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentRates {
    /// The platform's share of a tip.
    pub tip_fee_bps: u16,
    /// Of a sale inside a live event.
    pub live_sale_fee_bps: u16,
    /// Of a purchase, by the seller's tier.
    pub commission_bps: BTreeMap<String, u16>,
    /// The tier of sellers who have none.
    pub default_tier: String,
    /// By the processor's name.
    pub processors: BTreeMap<String, ProcessorRate>,
    /// The share of a boost that the supporter who gave it gets back.
    pub boost_reward_bps: u16,
}

impl PaymentRates {
    /// The tier that `tier` counts as: itself, if there is still such a one.
    fn tier<'a>(&'a self, tier: Option<&'a str>) -> &'a str {
        tier.filter(|tier| self.commission_bps.contains_key(*tier)).unwrap_or(&self.default_tier)
    }

    /// What is wrong with them, if anything: the field, and what.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let too_much = |bps: u16| bps > FULL_BPS;
        let bad_name = |name: &String| name.is_empty() || name.len() > 64;
        let fields = [
            ("tip_fee_bps", self.tip_fee_bps),
            ("live_sale_fee_bps", self.live_sale_fee_bps),
            ("boost_reward_bps", self.boost_reward_bps),
        ];
        if let Some((field, _)) = fields.into_iter().find(|(_, bps)| too_much(*bps)) {
            return Some((field, format!("a share is at most {FULL_BPS}")));
        }
        if self.commission_bps.values().any(|bps| too_much(*bps)) {
            return Some(("commission_bps", format!("a share is at most {FULL_BPS}")));
        }
        if self.commission_bps.len() > MAX_RATES || self.commission_bps.keys().any(bad_name) {
            return Some(("commission_bps", format!("at most {MAX_RATES} tiers, named by 1 to 64 bytes")));
        }
        if !self.commission_bps.contains_key(&self.default_tier) {
            return Some(("default_tier", "must be one of commission_bps".to_owned()));
        }
        if self.processors.len() > MAX_RATES || self.processors.keys().any(bad_name) {
            return Some(("processors", format!("at most {MAX_RATES}, named by 1 to 64 bytes")));
        }
        let is_bad = |rate: &ProcessorRate| {
            too_much(rate.bps)
                || rate.fixed_minor.values().any(|fixed| !(0..=MAX_AMOUNT_MINOR).contains(fixed))
        };
        if self.processors.values().any(is_bad) {
            return Some(("processors", format!("bps are at most {FULL_BPS}, fixed_minor is not below 0")));
        }
        None
    }
}

/// One version of a workspace's rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentTerms {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// From 1.
    pub version: u32,
    /// In force from here (milliseconds since 1970) until the next version.
    pub valid_from_ms: i64,
    /// The rates.
    pub rates: PaymentRates,
}

/// A seller's tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SellerTier {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The seller.
    pub seller: UserId,
    /// In force from here on, until a later one.
    pub valid_from_ms: i64,
    /// One of [`PaymentRates::commission_bps`].
    pub tier: String,
}

/// What becomes of a payment at `at_ms`, by the rates and the tier in force
/// then.
#[must_use]
pub fn decide(payment: &Payment, workspace: WorkspaceId, at_ms: i64, rules: &Rules) -> (Decision, Basis) {
    let Some(terms) = rules.payment_terms(workspace, at_ms) else {
        let decision = Decision::Rejected { reason: Reason::NoPaymentTerms };
        return (decision, Basis::direct(None, None));
    };
    if !rules.is_payee(workspace, payment.payee) {
        let decision = Decision::Rejected { reason: Reason::UnknownPayee };
        return (decision, Basis::direct(Some(terms.version), None));
    }
    let rates = &terms.rates;
    let tier = rates.tier(rules.seller_tier(workspace, payment.payee, at_ms));
    let is_purchase = payment.purpose == Purpose::Purchase;
    let basis = PaymentBasis {
        processor: payment.processor.clone(),
        tier: is_purchase.then(|| tier.to_owned()),
        payer: payment.payer,
        frequency: payment.frequency,
        live_event: payment.live_event.clone(),
        unlocked: unlocked(payment),
    };
    let fee_bps = match payment.purpose {
        Purpose::Tip => rates.tip_fee_bps,
        Purpose::LiveSale => rates.live_sale_fee_bps,
        Purpose::Purchase => rates.commission_bps.get(tier).copied().unwrap_or(FULL_BPS),
    };
    (split(payment, rates, fee_bps), Basis::direct(Some(terms.version), Some(basis)))
}

fn split(payment: &Payment, rates: &PaymentRates, fee_bps: u16) -> Decision {
    let Some(processor) = rates.processors.get(&payment.processor) else {
        return Decision::Rejected { reason: Reason::UnknownProcessor };
    };
    let total_minor = payment.value.amount_minor;
    let other_minor = match processor.fee_minor(payment.value) {
        Ok(fee_minor) => fee_minor,
        Err(reason) => return Decision::Rejected { reason },
    };
    match fee_of(total_minor, fee_bps) {
        Ok(fee_minor) if total_minor > 0 && fee_minor.saturating_add(other_minor) <= total_minor => {
            Decision::Payable { payout: payment.value, fee_bps, other_minor }
        }
        _ => Decision::Nonpayable { reason: Reason::FeesExceedAmount },
    }
}

fn unlocked(payment: &Payment) -> Option<String> {
    let unlock = payment.unlock.as_ref().filter(|u| payment.value.amount_minor >= u.minimum_minor)?;
    Some(unlock.content.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::ledger::{Split, split};

    const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));
    const SELLER: UserId = UserId(Uuid::from_u128(7));

    fn currency(code: &str) -> Currency {
        Currency::new(code).unwrap()
    }

    fn rates() -> PaymentRates {
        let processor = |bps, fixed_minor| ProcessorRate {
            bps,
            fixed_minor: BTreeMap::from([(currency("USD"), fixed_minor)]),
        };
        PaymentRates {
            tip_fee_bps: 500,
            live_sale_fee_bps: 1_000,
            commission_bps: BTreeMap::from([
                ("basic".to_owned(), 4_000),
                ("premium".to_owned(), 2_000),
                ("ultimate".to_owned(), 1_000),
            ]),
            default_tier: "basic".to_owned(),
            processors: BTreeMap::from([
                ("stripe".to_owned(), processor(290, 30)),
                ("paypal".to_owned(), processor(349, 49)),
                ("wallet".to_owned(), ProcessorRate::default()),
            ]),
            boost_reward_bps: 500,
        }
    }

    fn rules() -> Rules {
        let terms = |version, valid_from_ms, rates| PaymentTerms {
            workspace: WORKSPACE,
            version,
            valid_from_ms,
            rates,
        };
        let without_premium = {
            let mut rates = rates();
            rates.commission_bps.remove("premium");
            rates
        };
        let tier = |valid_from_ms, tier: &str| SellerTier {
            workspace: WORKSPACE,
            seller: SELLER,
            valid_from_ms,
            tier: tier.to_owned(),
        };
        Rules::new([], 0)
            .with_payment_terms([terms(1, 1_000, rates()), terms(2, 9_000, without_premium)])
            .with_seller_tiers([tier(3_000, "premium"), tier(5_000, "ultimate"), tier(8_000, "premium")])
            .with_payees(crate::rules::Payees::new([(WORKSPACE, SELLER)], 0))
    }

    fn payment(purpose: Purpose, amount_minor: i64, code: &str, processor: &str) -> Payment {
        Payment {
            payment_id: "P-1".to_owned(),
            purpose,
            payee: SELLER,
            payer: None,
            value: Money { amount_minor, currency: currency(code) },
            processor: processor.to_owned(),
            frequency: Frequency::OneTime,
            live_event: None,
            unlock: None,
        }
    }

    /// Payee, platform, processor; or the reason why not.
    fn decided(payment: &Payment, at_ms: i64) -> Result<(i64, i64, i64), &'static str> {
        match decide(payment, WORKSPACE, at_ms, &rules()).0 {
            Decision::Payable { payout, fee_bps, other_minor } => {
                let Split { creator_minor, fee_minor, other_minor, .. } =
                    split(payout.amount_minor, fee_bps, other_minor).unwrap();
                Ok((creator_minor, fee_minor, other_minor))
            }
            Decision::Nonpayable { reason } | Decision::Rejected { reason } => Err(reason.code()),
            Decision::Quarantined => Err("quarantined"),
        }
    }

    #[test]
    fn the_payee_gets_what_processor_and_platform_leave() {
        use Purpose::{LiveSale, Purchase, Tip};
        for (purpose, amount, code, processor, at_ms, expected) in [
            // 2.9 % of 49.99 is 1.4497 → 1.45, + 0.30; 40 % is 19.996 → 20.00.
            (Purchase, 4_999, "USD", "stripe", 2_000, Ok((2_824, 2_000, 175))),
            // 3.49 % of 49.99 is 1.7447 → 1.74, + 0.49; the tier at that moment.
            (Purchase, 4_999, "USD", "paypal", 2_999, Ok((2_776, 2_000, 223))),
            (Purchase, 4_999, "USD", "paypal", 3_000, Ok((3_776, 1_000, 223))),
            (Purchase, 4_999, "USD", "wallet", 5_000, Ok((4_499, 500, 0))),
            // A tier that is no more counts as the default.
            (Purchase, 1_000, "USD", "wallet", 9_000, Ok((600, 400, 0))),
            (Tip, 1_000, "USD", "stripe", 2_000, Ok((891, 50, 59))),
            // 5 % of 10 cents is half a cent.
            (Tip, 10, "USD", "wallet", 2_000, Ok((9, 1, 0))),
            (LiveSale, 999, "JPY", "wallet", 2_000, Ok((899, 100, 0))),
            // Before the first terms there are none but them.
            (Tip, 1_000, "USD", "wallet", 0, Ok((950, 50, 0))),
            (Tip, 1_000, "JPY", "stripe", 2_000, Err("currency_mismatch")),
            (Tip, 31, "USD", "stripe", 2_000, Err("fees_exceed_amount")),
            (Tip, 0, "USD", "wallet", 2_000, Err("fees_exceed_amount")),
            (Tip, 1_000, "USD", "cash", 2_000, Err("unknown_processor")),
        ] {
            let payment = payment(purpose, amount, code, processor);
            assert_eq!(decided(&payment, at_ms), expected, "{payment:?} at {at_ms}");
        }
    }

    #[test]
    fn what_is_large_enough_unlocks() {
        for (amount, unlocks) in [(499, None), (500, Some("post-1".to_owned()))] {
            let unlock = Unlock { content: "post-1".to_owned(), minimum_minor: 500 };
            let tip = Payment { unlock: Some(unlock), ..payment(Purpose::Tip, amount, "USD", "wallet") };
            let (_, basis) = decide(&tip, WORKSPACE, 2_000, &rules());
            assert_eq!(basis.payment.and_then(|payment| payment.unlocked), unlocks);
        }
    }

    #[test]
    fn rates_have_bounds() {
        assert_eq!(rates().fault(), None);
        type Change = fn(&mut PaymentRates);
        let faults: [(&str, Change); 5] = [
            ("tip_fee_bps", |rates| rates.tip_fee_bps = 10_001),
            ("boost_reward_bps", |rates| rates.boost_reward_bps = 10_001),
            ("commission_bps", |rates| _ = rates.commission_bps.insert("x".to_owned(), 10_001)),
            ("default_tier", |rates| rates.default_tier = "gold".to_owned()),
            ("processors", |rates| rates.processors.get_mut("wallet").unwrap().bps = 10_001),
        ];
        for (field, change) in faults {
            let mut rates = rates();
            change(&mut rates);
            assert_eq!(rates.fault().map(|(field, _)| field), Some(field));
        }
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_whole(amount in 0..10_000_000_i64, tier_at in 0..9_999_i64, stripe: bool) {
            let processor = if stripe { "stripe" } else { "paypal" };
            if let Ok((payee, platform, kept)) =
                decided(&payment(Purpose::Purchase, amount, "USD", processor), tier_at)
            {
                prop_assert!(payee >= 0 && platform >= 0 && kept >= 0);
                prop_assert_eq!(payee + platform + kept, amount);
            }
        }
    }
}
