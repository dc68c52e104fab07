//! What goes over the topic `credits`: everything that may move money. It is
//! keyed by campaign, so that one partition sees all of a campaign's budget in
//! one order; replaying the topic rebuilds the books.

mod basis;
mod reason;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::basis::{Basis, BasisTouch, MatchedBy, PaymentBasis, Sharing};
pub use self::reason::Reason;
use crate::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey, WorkspaceId, hash_uuid};
use crate::limits::CreditLimits;
use crate::money::{Currency, Money};
use crate::payment::Purpose;
use crate::refund::{Clawback, Refund};
use crate::rules::Objective;

/// A message on the topic `credits`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "nearly all are credits")]
pub enum Command {
    /// Attribution has decided on an action.
    Credit(Credit),
    /// A business puts money into a campaign.
    Fund(Funding),
    /// A campaign gives back what it did not spend.
    Close(Closing),
    /// Attribution hands a refund on.
    Refund(Refund),
    /// Settlement sends a refund to its sale's campaign.
    Clawback(Clawback),
}

impl Command {
    /// The Kafka key: the campaign; else the order, so that its refunds follow
    /// it, as one does that still looks for its sale; else the workspace.
    #[must_use]
    pub fn key(&self) -> Uuid {
        match self {
            Self::Credit(credit) => {
                credit.campaign.map(|id| id.0).or(credit.order).unwrap_or(credit.workspace.0)
            }
            Self::Fund(funding) => funding.campaign.0,
            Self::Close(closing) => closing.campaign.0,
            Self::Refund(refund) => refund.order,
            Self::Clawback(Clawback { refund, campaign }) => campaign.map_or(refund.order, |id| id.0),
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn workspace(&self) -> WorkspaceId {
        match self {
            Self::Credit(credit) => credit.workspace,
            Self::Fund(funding) => funding.workspace,
            Self::Close(closing) => closing.workspace,
            Self::Refund(refund) | Self::Clawback(Clawback { refund, .. }) => refund.workspace,
        }
    }

    /// What names it: the event, funding or closing, and the leg.
    #[must_use]
    pub fn id(&self) -> (Uuid, u16) {
        match self {
            Self::Credit(credit) => (credit.event.0, credit.leg),
            Self::Fund(funding) => (funding.id(), 0),
            Self::Close(closing) => (closing.id(), 0),
            Self::Refund(refund) | Self::Clawback(Clawback { refund, .. }) => (refund.event.0, 0),
        }
    }

    /// What tells a repeat from a clash.
    #[must_use]
    pub fn payload_hash(&self) -> String {
        match self {
            Self::Credit(credit) => credit.payload_hash.clone(),
            Self::Fund(funding) => funding.payload_hash(),
            Self::Close(closing) => closing.payload_hash(),
            Self::Refund(refund) | Self::Clawback(Clawback { refund, .. }) => refund.payload_hash.clone(),
        }
    }
}

/// A decision of attribution on one leg of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Credit {
    /// The action's event.
    pub event: EventId,
    /// Which share of it, from 0; with one click there is one.
    pub leg: u16,
    /// How many shares it has.
    #[serde(default = "one")]
    pub legs: u16,
    /// Of a sale, its order: [`crate::event::order_key`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Uuid>,
    /// What it is for.
    pub kind: CreditKind,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The event's own time.
    pub at_ms: i64,
    /// Who acted.
    pub visitor: VisitorKey,
    /// The event's payload hash.
    pub payload_hash: String,
    /// The campaign it is attributed to.
    pub campaign: Option<CampaignId>,
    /// The creator it is attributed to; of a payment, the payee.
    pub creator: Option<UserId>,
    /// The link of the deciding click.
    pub link: Option<LinkId>,
    /// The deciding click.
    pub click: Option<EventId>,
    /// What the action is worth to the business.
    pub value: Option<Money>,
    /// Whether it is to be paid.
    pub decision: Decision,
    /// The limits that it is under, if it is to be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<CreditLimits>,
    /// How the decision came about.
    pub basis: Basis,
}

impl Credit {
    /// Of a payable reward for sharing a link, the leg that it is for.
    #[must_use]
    pub fn shared_leg(&self) -> Option<u16> {
        let sharing = self.basis.sharing.filter(|_| matches!(self.decision, Decision::Payable { .. }));
        sharing.map(|sharing| sharing.of_leg)
    }
}

fn one() -> u16 {
    1
}

fn is_zero(amount_minor: &i64) -> bool {
    *amount_minor == 0
}

/// What a credit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CreditKind {
    /// An action that a campaign may pay for.
    Action(Objective),
    /// Money that somebody paid.
    Payment(Purpose),
}

impl From<Objective> for CreditKind {
    fn from(objective: Objective) -> Self {
        Self::Action(objective)
    }
}

impl CreditKind {
    /// The name, as in JSON and SQL.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Action(objective) => objective.code(),
            Self::Payment(purpose) => purpose.code(),
        }
    }

    /// Whether refunds find it by its order.
    #[must_use]
    pub fn is_sale(self) -> bool {
        matches!(self, Self::Action(Objective::Sale) | Self::Payment(_))
    }
}

/// Whether an action is to be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Decision {
    /// To be paid, if the budget allows.
    Payable {
        /// The gross payout, out of the campaign's escrow; of a payment, all
        /// that the payer gave.
        payout: Money,
        /// The platform's share of it, as in force at the event's time.
        fee_bps: u16,
        /// Of a payment, what its processor keeps.
        #[serde(default, skip_serializing_if = "is_zero")]
        other_minor: i64,
    },
    /// Counts, but earns nothing.
    Nonpayable {
        /// Why.
        reason: Reason,
    },
    /// A rule of the campaign forbids it.
    Rejected {
        /// Why.
        reason: Reason,
    },
    /// Its id belongs to another event.
    Quarantined,
}

/// Money for a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funding {
    /// The payment's own number; the same number funds once.
    pub external_id: String,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The campaign.
    pub campaign: CampaignId,
    /// How much; more than 0.
    pub money: Money,
    /// When it was made.
    pub at_ms: i64,
    /// Of a supporter's boost, who gave it and what they get back of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boost: Option<Boost>,
}

/// A supporter puts money into a campaign, and is rewarded for it at once, out
/// of what they give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boost {
    /// The supporter.
    pub supporter: UserId,
    /// What goes into their wallet; less than what they give.
    pub reward_minor: i64,
}

impl Funding {
    /// The funding's id: its workspace and external number.
    #[must_use]
    pub fn id(&self) -> Uuid {
        hash_uuid("funding", &[self.workspace.0.as_bytes(), self.external_id.as_bytes()])
    }

    /// What reaches the campaign's budget.
    #[must_use]
    pub fn escrow_minor(&self) -> i64 {
        let reward_minor = self.boost.map_or(0, |boost| boost.reward_minor);
        self.money.amount_minor.saturating_sub(reward_minor)
    }

    /// What tells a repeat from a clash: all but the time it was asked for, and
    /// the reward that was in force then.
    #[must_use]
    pub fn payload_hash(&self) -> String {
        match self.boost {
            None => crate::event::payload_hash(&(self.campaign, self.money)),
            Some(boost) => crate::event::payload_hash(&(self.campaign, self.money, boost.supporter)),
        }
    }
}

/// The end of a campaign: it takes no more money, and what it has left, or gets
/// back by refunds, goes to the business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The campaign; it closes once.
    pub campaign: CampaignId,
    /// Its currency.
    pub currency: Currency,
    /// When it was asked for.
    pub at_ms: i64,
}

impl Closing {
    /// The closing's id: its campaign.
    #[must_use]
    pub fn id(&self) -> Uuid {
        hash_uuid("closing", &[self.campaign.0.as_bytes()])
    }

    /// What tells a repeat from a clash: all but the time it was asked for.
    #[must_use]
    pub fn payload_hash(&self) -> String {
        crate::event::payload_hash(&(self.workspace, self.campaign, self.currency))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_codes_are_their_json() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.code());
            assert!(reason.sentence().ends_with('.'));
        }
    }
}
