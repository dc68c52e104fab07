//! What a refund takes back: of every posted leg of its order, the share of the
//! order that was refunded.
//!
//! A refund names its order, and not who earned by it, so it takes two steps
//! over `credits`: as a [`Refund`], keyed by the order, it waits until its sale
//! is settled in full; as a [`Clawback`], keyed by the sale's campaign, it is
//! applied. There it stands behind the sale in one partition, so every replay
//! applies the two in the same order.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::command::Reason;
use crate::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey, WorkspaceId};
use crate::ledger::Split;
use crate::money::{Currency, Money, apportion};

/// Money of a sale went back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// The refund's event.
    pub event: EventId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Who the event is keyed by.
    pub visitor: VisitorKey,
    /// The event's own time.
    pub at_ms: i64,
    /// The order: [`crate::event::order_key`].
    pub order: Uuid,
    /// The refund's own number; an order may have several.
    pub refund_id: String,
    /// How much; all that is left, if not said.
    pub value: Option<Money>,
    /// The event's payload hash.
    pub payload_hash: String,
}

/// A refund whose sale is settled, on its way to the sale's campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clawback {
    /// The refund.
    pub refund: Refund,
    /// The sale's campaign; none if it belongs to none.
    pub campaign: Option<CampaignId>,
}

/// A leg of an order's sale, as it was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sold {
    /// The sale's event.
    pub event: EventId,
    /// The leg.
    pub leg: u16,
    /// How many legs the sale has.
    pub legs: u16,
    /// The sale's own time.
    pub at_ms: i64,
    /// Its campaign.
    pub campaign: Option<CampaignId>,
    /// Its creator.
    pub creator: Option<UserId>,
    /// The link of its click.
    pub link: Option<LinkId>,
    /// Its click.
    pub click: Option<EventId>,
    /// The leg's share of the order's value.
    pub value: Option<Money>,
    /// What was posted for it; `None` if nothing was.
    pub paid: Option<Paid>,
    /// What earlier refunds took back of it.
    pub taken: Split,
}

/// What was posted for a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paid {
    /// The amounts.
    pub split: Split,
    /// Their currency.
    pub currency: Currency,
    /// The platform's share then in force.
    pub fee_bps: u16,
}

/// What is known of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The settled legs of its sale.
    pub sold: Vec<Sold>,
    /// How much was refunded, by the event of the sale that it was taken of.
    pub refunded_minor: BTreeMap<EventId, i64>,
    /// The refunds that were settled.
    pub refund_ids: BTreeSet<String>,
}

/// What a refund takes back of one leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The leg.
    pub of: Sold,
    /// How much of what was paid for it; parts not below 0. All are 0 of a share
    /// that rounds to nothing.
    pub paid: Paid,
    /// The leg's part of what was refunded.
    pub value_minor: i64,
}

impl Order {
    /// Whether every leg of its sale is settled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let has_all = |sold: &Sold| {
            let legs = self.sold.iter().filter(|other| other.event == sold.event).count();
            legs >= usize::from(sold.legs)
        };
        !self.sold.is_empty() && self.sold.iter().all(has_all)
    }

    /// `refund`, on its way to where the sale was settled.
    #[must_use]
    pub fn clawback(&self, refund: Refund) -> Clawback {
        let paid = self.sold.iter().find(|sold| sold.paid.is_some()).or(self.sold.first());
        let campaign = paid.and_then(|sold| sold.campaign);
        Clawback { refund, campaign }
    }

    /// Takes `refund` off the legs of `campaign`. A refund beyond what is left
    /// takes what is left. What all refunds took of a part is, at every moment,
    /// the refunded share of it, halves rounded up: so the last one leaves
    /// nothing, and none gives anything back. Of a payment the parts are moved by
    /// a cent where they would not sum to the refund.
    ///
    /// # Errors
    /// The reason why it takes nothing.
    pub fn take_back(&mut self, refund: &Refund, campaign: Option<CampaignId>) -> Result<Vec<Taken>, Reason> {
        if self.refund_ids.contains(&refund.refund_id) {
            return Err(Reason::DuplicateTransaction);
        }
        // An order that was paid twice is refunded once: of the sale that refunds
        // took from before, else of the one with the smallest id.
        let paid = self.sold.iter().filter(|sold| sold.campaign == campaign && sold.paid.is_some());
        let first = paid.map(|sold| (!self.refunded_minor.contains_key(&sold.event), sold.event)).min();
        let Some((_, event)) = first else { return Err(Reason::NothingPaid) };
        let of_event = || self.sold.iter().filter(|sold| sold.event == event);
        let currency = of_event().find_map(|sold| sold.value).map(|value| value.currency);
        if refund.value.is_some_and(|value| currency.is_some_and(|currency| currency != value.currency)) {
            return Err(Reason::CurrencyMismatch);
        }
        let whole_minor =
            of_event().filter_map(|sold| sold.value).fold(0_i64, |sum, v| sum.saturating_add(v.amount_minor));
        let before_minor = self.refunded_minor.get(&event).copied().unwrap_or_default();
        let left_minor = whole_minor.saturating_sub(before_minor).max(0);
        let value_minor = refund.value.map_or(left_minor, |value| value.amount_minor.min(left_minor));
        if value_minor <= 0 && whole_minor > 0 {
            return Err(Reason::AlreadyRefunded);
        }
        let refunded_minor = before_minor.saturating_add(value_minor);
        self.refunded_minor.insert(event, refunded_minor);
        self.refund_ids.insert(refund.refund_id.clone());
        let (refunded, whole) = (refunded_minor, whole_minor);
        let paid_legs = || self.sold.iter().filter(|sold| sold.event == event && sold.paid.is_some());
        let worth = |sold: &Sold| sold.value.map_or(0, |value| value.amount_minor.max(0).unsigned_abs());
        // The legs' parts of the refund must sum to it: that is how what was
        // refunded is known later.
        let values_minor = match paid_legs().map(worth).collect::<Vec<u64>>() {
            weights if weights.iter().all(|weight| *weight == 0) => {
                apportion(value_minor, &vec![1; weights.len()])
            }
            weights => apportion(value_minor, &weights),
        };
        let mut all = Vec::new();
        let legs = self.sold.iter_mut().filter(|sold| sold.event == event && sold.paid.is_some());
        for (sold, value_minor) in legs.zip(values_minor) {
            let Some(paid) = sold.paid else { continue };
            let due = |part: i64, taken: i64| share(part, refunded, whole).saturating_sub(taken);
            let creator_minor = due(paid.split.creator_minor, sold.taken.creator_minor);
            let fee_minor = due(paid.split.fee_minor, sold.taken.fee_minor);
            let other_minor = due(paid.split.other_minor, sold.taken.other_minor);
            let mut split = Split::of_parts(creator_minor, fee_minor, other_minor);
            // A payment's parts are of the very money that goes back.
            if sold.campaign.is_none() {
                split = split.summing_to(value_minor, paid.split, sold.taken);
            }
            let of = sold.clone();
            sold.taken = sold.taken.plus(split);
            all.push(Taken { of, paid: Paid { split, ..paid }, value_minor });
        }
        Ok(all)
    }
}

/// `part × refunded / whole`, halves rounded up; all of it, if the whole is 0.
fn share(part: i64, refunded: i64, whole: i64) -> i64 {
    if whole <= 0 {
        return part;
    }
    let (part, refunded, whole) = (i128::from(part), i128::from(refunded), i128::from(whole));
    let doubled = part.saturating_mul(refunded).saturating_mul(2).saturating_add(whole);
    let rounded = doubled.checked_div(whole.saturating_mul(2)).unwrap_or_default();
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usd(amount_minor: i64) -> Money {
        Money { amount_minor, currency: Currency::new("USD").unwrap() }
    }

    fn refund(number: usize, value: Option<Money>) -> Refund {
        Refund {
            event: EventId(Uuid::from_u128(number as u128)),
            workspace: WorkspaceId(Uuid::nil()),
            visitor: VisitorKey([0; 16]),
            at_ms: 9,
            order: Uuid::nil(),
            refund_id: format!("r-{number}"),
            value,
            payload_hash: String::new(),
        }
    }

    fn sold(leg: u16, legs: u16, value: i64, creator_minor: i64, fee_minor: i64) -> Sold {
        let split = Split::of_parts(creator_minor, fee_minor, 0);
        Sold {
            event: EventId(Uuid::from_u128(1)),
            leg,
            legs,
            at_ms: 1,
            campaign: Some(CampaignId(Uuid::from_u128(5))),
            creator: Some(UserId(Uuid::from_u128(7))),
            link: None,
            click: None,
            value: Some(usd(value)),
            paid: Some(Paid { split, currency: Currency::new("USD").unwrap(), fee_bps: 1_000 }),
            taken: Split::default(),
        }
    }

    fn order(sold: Vec<Sold>) -> Order {
        Order { sold, ..Order::default() }
    }

    fn campaign() -> Option<CampaignId> {
        Some(CampaignId(Uuid::from_u128(5)))
    }

    /// Creator's part and fee that each refund takes, in all legs.
    fn take(order: &mut Order, values: &[Option<i64>]) -> Vec<Result<(i64, i64), Reason>> {
        let refunds = values.iter().enumerate().map(|(number, value)| refund(number, value.map(usd)));
        let sum = |taken: Vec<Taken>| {
            taken
                .iter()
                .fold((0, 0), |(c, f), t| (c + t.paid.split.creator_minor, f + t.paid.split.fee_minor))
        };
        refunds.map(|refund| order.take_back(&refund, campaign()).map(sum)).collect()
    }

    proptest! {
        /// What goes back of a payment is what the payer gets, to the cent, each
        /// time; and in the end every part is back.
        #[test]
        fn refunds_of_payments_sum_to_what_was_refunded(
            parts in (0_i64..10_000, 0_i64..3_000, 0_i64..500),
            refunds in proptest::collection::vec(1_i64..4_000, 1..12),
        ) {
            let (creator_minor, fee_minor, other_minor) = parts;
            let split = Split::of_parts(creator_minor, fee_minor, other_minor);
            let whole = split.gross_minor;
            let paid = Paid { split, currency: Currency::new("USD").unwrap(), fee_bps: 1_000 };
            let payment = Sold { campaign: None, paid: Some(paid), ..sold(0, 1, whole, 0, 0) };
            let mut order = order(vec![payment]);
            let mut back = Split::default();
            for (number, minor) in refunds.into_iter().chain([100_000]).enumerate() {
                let expected = minor.min(whole - back.gross_minor);
                if let Ok(taken) = order.take_back(&refund(number, Some(usd(minor))), None) {
                    let split = taken[0].paid.split;
                    prop_assert_eq!(split.gross_minor, expected);
                    prop_assert!(split.creator_minor >= 0 && split.fee_minor >= 0 && split.other_minor >= 0);
                    back = back.plus(split);
                }
            }
            prop_assert_eq!(back, split);
        }
    }

    #[test]
    fn refunds_take_their_share() {
        let spent = Err(Reason::AlreadyRefunded);
        // Of 99.00, 6.00 was paid: 5.40 to the creator.
        for (values, expected) in [
            (&[None][..], vec![Ok((540, 60))]),
            (&[Some(9_900)], vec![Ok((540, 60))]),
            (&[Some(3_300), None, None], vec![Ok((180, 20)), Ok((360, 40)), spent]),
            (&[Some(3_300); 4], vec![Ok((180, 20)), Ok((180, 20)), Ok((180, 20)), spent]),
            // 0.01 of 99.00: 0.05 cents and nothing; the 10th makes half a cent.
            (&[Some(1), Some(9), Some(99_000)], vec![Ok((0, 0)), Ok((1, 0)), Ok((539, 60))]),
        ] {
            assert_eq!(take(&mut order(vec![sold(0, 1, 9_900, 540, 60)]), values), expected, "{values:?}");
        }
    }

    #[test]
    fn what_takes_nothing_says_why() {
        let mut unpaid = order(vec![Sold { paid: None, ..sold(0, 1, 9_900, 0, 0) }]);
        assert_eq!(unpaid.take_back(&refund(1, None), campaign()), Err(Reason::NothingPaid));
        let mut other = order(vec![sold(0, 1, 9_900, 540, 60)]);
        assert_eq!(other.take_back(&refund(1, None), None), Err(Reason::NothingPaid));
        let eur = Money { currency: Currency::new("EUR").unwrap(), ..usd(1) };
        assert_eq!(other.take_back(&refund(1, Some(eur)), campaign()), Err(Reason::CurrencyMismatch));
        assert!(other.take_back(&refund(1, Some(usd(1))), campaign()).is_ok());
        assert_eq!(other.take_back(&refund(1, None), campaign()), Err(Reason::DuplicateTransaction));
        // A free order that was paid for all the same.
        assert_eq!(take(&mut order(vec![sold(0, 1, 0, 9, 1)]), &[None]), [Ok((9, 1))]);
    }

    #[test]
    fn an_order_is_settled_when_all_its_legs_are() {
        let mut order = Order::default();
        assert!(!order.is_settled());
        order.sold.push(sold(0, 2, 50, 5, 1));
        assert!(!order.is_settled());
        order.sold.push(sold(1, 2, 50, 5, 1));
        assert!(order.is_settled());
        assert_eq!(order.clawback(refund(1, None)).campaign, campaign());
    }

    #[test]
    fn an_order_paid_twice_is_refunded_once() {
        let of =
            |event: u128, value| Sold { event: EventId(Uuid::from_u128(event)), ..sold(0, 1, value, 90, 10) };
        let mut order = order(vec![of(5, 1_000), of(3, 1_000)]);
        let event = |taken: Result<Vec<Taken>, Reason>| taken.unwrap()[0].of.event.0.as_u128();
        assert_eq!(event(order.take_back(&refund(1, Some(usd(500))), campaign())), 3);
        // One that turns up later does not take over.
        order.sold.push(of(1, 1_000));
        let second = order.take_back(&refund(2, None), campaign()).unwrap();
        assert_eq!((second[0].of.event.0.as_u128(), second[0].paid.split.gross_minor), (3, 50));
        assert_eq!(order.take_back(&refund(3, None), campaign()), Err(Reason::AlreadyRefunded));
    }

    proptest! {
        /// Never more than was paid, nothing ever given back, and with all
        /// refunded, all of it.
        #[test]
        fn refunds_add_up_to_the_whole(
            legs in proptest::collection::vec((0..10_000_i64, 0..900_i64, 0..100_i64), 1..4),
            values in proptest::collection::vec(0..9_000_i64, 0..12),
        ) {
            let count = u16::try_from(legs.len()).unwrap();
            let sold: Vec<Sold> =
                legs.iter().zip(0..).map(|((v, c, f), leg)| sold(leg, count, *v, *c, *f)).collect();
            let mut order = order(sold);
            let mut values: Vec<Option<Money>> = values.into_iter().map(|value| Some(usd(value))).collect();
            values.push(None);
            let mut taken = vec![Split::default(); legs.len()];
            for (number, value) in values.into_iter().enumerate() {
                for one in order.take_back(&refund(number, value), campaign()).unwrap_or_default() {
                    prop_assert!(one.paid.split.creator_minor >= 0 && one.paid.split.fee_minor >= 0);
                    let leg = usize::from(one.of.leg);
                    taken[leg] = taken[leg].plus(one.paid.split);
                }
            }
            for (taken, (_, creator_minor, fee_minor)) in taken.iter().zip(&legs) {
                prop_assert_eq!((taken.creator_minor, taken.fee_minor), (*creator_minor, *fee_minor));
                prop_assert_eq!(taken.gross_minor, creator_minor + fee_minor);
            }
        }
    }
}
