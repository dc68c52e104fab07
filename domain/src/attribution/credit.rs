//! What attribution writes down of an action: credits, one for each who shares in
//! it.

use uuid::Uuid;

use super::Work;
use super::memory::{Memory, Touch};
use crate::command::{Basis, Credit, Decision, Reason, Sharing};
use crate::event::Action;
use crate::ids::UserId;
use crate::limits::CreditLimits;
use crate::money::{Money, fee_of};
use crate::rules::Terms;

impl<M: Memory> Work<'_, M> {
    /// Emits what an action that is to be paid comes to: first its creators'
    /// legs, then their supporters' rewards, so that no reward keeps money from a
    /// creator.
    pub(super) fn pay(
        &mut self,
        action: &Action,
        terms: &Terms,
        shares: Vec<Leg<'_>>,
        basis: impl Fn(&Leg<'_>) -> Basis,
    ) {
        let rewards: Vec<Leg<'_>> =
            shares.iter().zip(0_u16..).filter_map(|(leg, number)| leg.reward(number, terms)).collect();
        let legs: Vec<Leg<'_>> = shares.into_iter().chain(rewards).collect();
        let count = u16::try_from(legs.len()).unwrap_or(u16::MAX);
        for (paid, leg) in legs.iter().zip(0_u16..) {
            let decision = match paid.payout.amount_minor {
                0 => Decision::Nonpayable { reason: Reason::ShareTooSmall },
                _ => Decision::Payable { payout: paid.payout, fee_bps: terms.fee_bps, other_minor: 0 },
            };
            let basis = Basis { sharing: paid.sharing, ..basis(paid) };
            let credit = Credit { leg, legs: count, value: paid.value, ..credit_of(action, decision, basis) };
            let credit = credited(paid.touch, limited(Some(terms), action, credit));
            self.emit(Credit { creator: Some(paid.to), ..credit });
        }
    }
}

/// What one of those who share in an action gets.
#[derive(Clone, Copy)]
pub(super) struct Leg<'a> {
    /// The click that it is for.
    pub(super) touch: &'a Touch,
    to: UserId,
    payout: Money,
    /// Its part of what the action is worth.
    value: Option<Money>,
    /// Of a supporter's reward, what it is for.
    sharing: Option<Sharing>,
}

impl<'a> Leg<'a> {
    /// The part of a click's creator.
    pub(super) fn of_creator(touch: &'a Touch, payout: Money, value: Option<Money>) -> Self {
        Self { touch, to: touch.creator, payout, value, sharing: None }
    }

    /// What a supporter who shared the link gets on top, halves rounded up. What
    /// rounds to nothing is none.
    fn reward(&self, of_leg: u16, terms: &Terms) -> Option<Self> {
        let to = self.touch.supporter?;
        let amount_minor = fee_of(self.payout.amount_minor, terms.share_bps).ok()?;
        (amount_minor > 0).then_some(Self {
            to,
            payout: Money { amount_minor, ..self.payout },
            // The action is worth what it is worth, whoever shared it.
            value: self.value.map(|value| Money { amount_minor: 0, ..value }),
            sharing: Some(Sharing { of_leg, bps: terms.share_bps }),
            ..*self
        })
    }
}

/// A decision on an action that nobody is credited with.
pub(super) fn credit_of(action: &Action, decision: Decision, basis: Basis) -> Credit {
    Credit {
        event: action.event,
        leg: 0,
        legs: 1,
        order: action.order,
        kind: action.kind.into(),
        workspace: action.workspace,
        at_ms: action.at_ms,
        visitor: action.visitor,
        payload_hash: action.payload_hash.clone(),
        campaign: None,
        creator: None,
        link: None,
        click: None,
        value: action.value,
        decision,
        limits: None,
        basis,
    }
}

/// The same, under the limits of the campaign that is to pay it.
pub(super) fn limited(terms: Option<&Terms>, action: &Action, credit: Credit) -> Credit {
    let limits = terms.map(|terms| terms.limits).filter(|limits| !limits.is_empty());
    match (credit.decision, limits) {
        (Decision::Payable { .. }, Some(limits)) => {
            let customer = Uuid::from_bytes(action.user.unwrap_or(action.visitor).0);
            Credit { limits: Some(CreditLimits { limits, customer }), ..credit }
        }
        _ => credit,
    }
}

/// The same, credited to a click.
pub(super) fn credited(touch: &Touch, credit: Credit) -> Credit {
    Credit {
        campaign: Some(touch.campaign),
        creator: Some(touch.creator),
        link: Some(touch.link),
        click: Some(touch.click),
        ..credit
    }
}
