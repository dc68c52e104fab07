//! What a campaign may spend beyond its budget's own bound: caps per day and in
//! all, for the campaign and for each of its creators, and one payout a
//! customer.
//!
//! What counts is what was paid less what refunds took back, each on the day of
//! the action that was paid. Days are the workspace's own.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::command::Reason;
use crate::ids::{CampaignId, EventId, UserId, WorkspaceId};
use crate::money::MAX_AMOUNT_MINOR;
use crate::wallet::quarter_of;

/// A campaign's limits, in minor units of its currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// On one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign_day_minor: Option<i64>,
    /// In all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign_total_minor: Option<i64>,
    /// For one creator, on one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator_day_minor: Option<i64>,
    /// For one creator, in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator_total_minor: Option<i64>,
    /// Whether the same customer is paid for once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once_per_customer: bool,
}

impl Limits {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with them, if anything: the field.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        [
            ("campaign_day_minor", self.campaign_day_minor),
            ("campaign_total_minor", self.campaign_total_minor),
            ("creator_day_minor", self.creator_day_minor),
            ("creator_total_minor", self.creator_total_minor),
        ]
        .into_iter()
        .find(|(_, cap)| cap.is_some_and(|cap| !(0..=MAX_AMOUNT_MINOR).contains(&cap)))
        .map(|(field, _)| field)
    }
}

/// The limits that a credit is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditLimits {
    /// The campaign's, as in force at the event's time.
    pub limits: Limits,
    /// Who acted: the user, where the event names one, or else the visitor.
    pub customer: Uuid,
}

/// A payout, as far as caps are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spend {
    /// The campaign that paid.
    pub campaign: CampaignId,
    /// The creator that was paid.
    pub creator: UserId,
    /// The day of the action, since 1970.
    pub day: i32,
    /// How much; below 0, if it was taken back.
    pub gross_minor: i64,
}

/// A sum that a cap is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpendKey {
    /// The campaign.
    pub campaign: CampaignId,
    /// One of its creators; `None` for all of them.
    pub creator: Option<UserId>,
    /// Days since 1970; `None` for all of them.
    pub day: Option<i32>,
}

impl SpendKey {
    /// The sums that a payout counts to.
    #[must_use]
    pub fn of(payout: Spend) -> [Self; 4] {
        let Spend { campaign, creator, day, .. } = payout;
        [(None, Some(day)), (None, None), (Some(creator), Some(day)), (Some(creator), None)]
            .map(|(creator, day)| Self { campaign, creator, day })
    }
}

/// What limited campaigns have spent, and whom they have paid for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// The campaigns that this is about; others have no limits.
    pub campaigns: HashSet<CampaignId>,
    /// Their sums, as far as they are asked for; what is not there is 0.
    pub spent_minor: HashMap<SpendKey, i64>,
    /// Customers that were paid for, and for which action.
    pub customers: HashMap<(CampaignId, Uuid), EventId>,
    /// Of workspaces' quarters of an hour, the days since 1970.
    pub days: HashMap<(WorkspaceId, i64), i32>,
    /// The sums that have changed since.
    pub changed: BTreeSet<SpendKey>,
    /// Customers that were paid for since.
    pub new_customers: Vec<(CampaignId, Uuid, EventId)>,
}

impl Spending {
    /// The workspace's day of a moment, in days since 1970.
    #[must_use]
    pub fn day(&self, workspace: WorkspaceId, at_ms: i64) -> i32 {
        self.days.get(&(workspace, quarter_of(at_ms))).copied().unwrap_or_default()
    }

    /// Whether limits allow a payout.
    ///
    /// # Errors
    /// The reason why not.
    pub fn admit(&self, under: CreditLimits, payout: Spend, event: EventId) -> Result<(), Reason> {
        let CreditLimits { limits, customer } = under;
        let Spend { campaign, gross_minor, .. } = payout;
        // An action's shares are for one customer.
        let for_another = self.customers.get(&(campaign, customer)).is_some_and(|first| *first != event);
        if limits.once_per_customer && for_another {
            return Err(Reason::AlreadyRewarded);
        }
        let keys = SpendKey::of(payout);
        let caps = [
            (limits.campaign_day_minor, Reason::CampaignCapReached),
            (limits.campaign_total_minor, Reason::CampaignCapReached),
            (limits.creator_day_minor, Reason::CreatorCapReached),
            (limits.creator_total_minor, Reason::CreatorCapReached),
        ];
        for (key, (cap, reason)) in keys.iter().zip(caps) {
            let spent_minor = self.spent_minor.get(key).copied().unwrap_or_default();
            if cap.is_some_and(|cap| spent_minor.saturating_add(gross_minor) > cap) {
                return Err(reason);
            }
        }
        Ok(())
    }

    /// Counts a payout that was made, or, below 0, what a refund took of one.
    pub fn count(&mut self, payout: Spend) {
        if !self.campaigns.contains(&payout.campaign) {
            return;
        }
        for key in SpendKey::of(payout) {
            let sum = self.spent_minor.entry(key).or_default();
            *sum = sum.saturating_add(payout.gross_minor);
            self.changed.insert(key);
        }
    }

    /// Notes that a customer was paid for.
    pub fn reward(&mut self, under: CreditLimits, campaign: CampaignId, event: EventId) {
        let CreditLimits { limits, customer } = under;
        if limits.once_per_customer && self.customers.insert((campaign, customer), event).is_none() {
            self.new_customers.push((campaign, customer, event));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMPAIGN: CampaignId = CampaignId(Uuid::from_u128(5));

    const EVENT: EventId = EventId(Uuid::from_u128(1));

    fn spend(creator: u128, day: i32, gross_minor: i64) -> Spend {
        Spend { campaign: CAMPAIGN, creator: UserId(Uuid::from_u128(creator)), day, gross_minor }
    }

    fn spending() -> Spending {
        Spending { campaigns: HashSet::from([CAMPAIGN]), ..Spending::default() }
    }

    /// One line a payout: creator, day, amount; and what becomes of it.
    fn run(limits: Limits, payouts: &[(u128, i32, i64, &str)]) {
        let mut spending = spending();
        for (number, day, gross_minor, expected) in payouts {
            let under = CreditLimits { limits, customer: Uuid::nil() };
            let payout = spend(*number, *day, *gross_minor);
            let admitted = spending.admit(under, payout, EVENT);
            assert_eq!(admitted.map_or_else(Reason::code, |()| "paid"), *expected, "{payouts:?}");
            if admitted.is_ok() {
                spending.count(payout);
            }
        }
    }

    #[test]
    fn caps_hold_to_the_minor_unit() {
        let none = Limits::default();
        let (campaign, creator) = ("campaign_cap_reached", "creator_cap_reached");
        run(none, &[(1, 0, i64::MAX, "paid"), (1, 0, i64::MAX, "paid")]);
        run(
            Limits { campaign_day_minor: Some(100), ..none },
            &[
                (1, 0, 60, "paid"),
                (2, 0, 41, campaign),
                (2, 0, 40, "paid"),
                (2, 0, 1, campaign),
                (2, 1, 100, "paid"),
            ],
        );
        run(
            Limits { campaign_total_minor: Some(100), ..none },
            &[(1, 0, 60, "paid"), (2, 1, 41, campaign), (2, 2, 40, "paid")],
        );
        run(
            Limits { creator_day_minor: Some(100), ..none },
            &[(1, 0, 100, "paid"), (1, 0, 1, creator), (2, 0, 100, "paid"), (1, 1, 100, "paid")],
        );
        run(
            Limits { creator_total_minor: Some(100), ..none },
            &[(1, 0, 99, "paid"), (1, 1, 2, creator), (1, 1, 1, "paid"), (2, 1, 1, "paid")],
        );
        run(Limits { campaign_day_minor: Some(0), ..none }, &[(1, 0, 1, campaign)]);
    }

    #[test]
    fn what_is_taken_back_may_be_spent_again() {
        let under = CreditLimits {
            limits: Limits { campaign_day_minor: Some(100), ..Limits::default() },
            customer: Uuid::nil(),
        };
        let mut spending = spending();
        spending.count(spend(1, 0, 100));
        spending.count(spend(1, 0, -30));
        assert_eq!(spending.admit(under, spend(2, 0, 31), EVENT), Err(Reason::CampaignCapReached));
        assert_eq!(spending.admit(under, spend(2, 0, 30), EVENT), Ok(()));
        let changed: Vec<i64> = spending.changed.iter().map(|key| spending.spent_minor[key]).collect();
        assert_eq!(changed, [70; 4]);
    }

    #[test]
    fn a_customer_is_paid_for_once() {
        let limits = Limits { once_per_customer: true, ..Limits::default() };
        let under = |customer| CreditLimits { limits, customer: Uuid::from_u128(customer) };
        let mut spending = spending();
        let again = Err(Reason::AlreadyRewarded);
        for (customer, event, expected) in [(1, 1, Ok(())), (1, 1, Ok(())), (1, 2, again), (2, 3, Ok(()))] {
            let event = EventId(Uuid::from_u128(event));
            assert_eq!(spending.admit(under(customer), spend(7, 0, 5), event), expected);
            if expected.is_ok() {
                spending.reward(under(customer), CAMPAIGN, event);
            }
        }
        assert_eq!(spending.new_customers.len(), 2);
    }

    #[test]
    fn limits_have_bounds() {
        assert_eq!(Limits::default().fault(), None);
        let below = Limits { creator_day_minor: Some(-1), ..Limits::default() };
        assert_eq!(below.fault(), Some("creator_day_minor"));
    }
}
