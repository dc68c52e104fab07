//! The one final answer to each leg of an action or refund.

use uuid::Uuid;

use crate::command::{Basis, Command, CreditKind, Reason};
use crate::ids::{CampaignId, EventId, LinkId, TransactionId, UserId, VisitorKey, WorkspaceId};
use crate::ledger::Split;
use crate::money::Money;
use crate::refund::{Paid, Refund, Sold};

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Paid: there is one ledger transaction for it.
    Posted,
    /// The budget did not cover it.
    RejectedBudget,
    /// A rule of the campaign forbade it.
    RejectedRule,
    /// It counts, but earns nothing.
    Nonpayable,
}

impl Status {
    /// The name, as in SQL and JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::RejectedBudget => "rejected_budget",
            Self::RejectedRule => "rejected_rule",
            Self::Nonpayable => "nonpayable",
        }
    }
}

/// What an outcome is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeKind {
    /// An action or a payment.
    Credit(CreditKind),
    /// A refund; its amounts are below 0.
    Refund,
}

impl OutcomeKind {
    /// The name, as in SQL and JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Credit(kind) => kind.code(),
            Self::Refund => "refund",
        }
    }
}

/// The one final answer to a leg of an action, or of a refund.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The action's event.
    pub event: EventId,
    /// Its leg.
    pub leg: u16,
    /// How many legs there are.
    pub legs: u16,
    /// Of a sale or refund, the order.
    pub order: Option<Uuid>,
    /// Of a refund, its own number.
    pub refund_id: Option<String>,
    /// Of a refund, the leg of the sale that it takes from.
    pub original: Option<(EventId, u16)>,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// What it is about.
    pub kind: OutcomeKind,
    /// What became of it.
    pub status: Status,
    /// Why it was not paid.
    pub reason: Option<Reason>,
    /// The campaign it is attributed to.
    pub campaign: Option<CampaignId>,
    /// The creator it is attributed to.
    pub creator: Option<UserId>,
    /// The link of the deciding click.
    pub link: Option<LinkId>,
    /// The deciding click.
    pub click: Option<EventId>,
    /// Who acted.
    pub visitor: VisitorKey,
    /// The event's own time.
    pub at_ms: i64,
    /// What the action is worth to the business.
    pub value: Option<Money>,
    /// What was paid; `None` unless posted.
    pub payout: Option<Payout>,
    /// The event's payload hash.
    pub payload_hash: String,
    /// How attribution came to its decision.
    pub basis: Basis,
}

/// What was paid for an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payout {
    /// How much, and how it was divided; below 0 if it was taken back.
    pub paid: Paid,
    /// The ledger transaction.
    pub transaction: TransactionId,
}

/// A message whose id belongs to another payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    /// The event or funding.
    pub id: Uuid,
    /// The leg.
    pub leg: u16,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The payload that came second.
    pub payload_hash: String,
    /// What went wrong.
    pub reason: &'static str,
    /// The whole message.
    pub command: Command,
}

impl Outcome {
    /// The leg of a sale that this is, if it is one.
    #[must_use]
    pub fn sold(&self) -> Option<Sold> {
        // Another report of the order is no sale: the first has its own outcome.
        let is_again = self.reason == Some(Reason::DuplicateTransaction);
        let is_sale = matches!(self.kind, OutcomeKind::Credit(kind) if kind.is_sale());
        (is_sale && !is_again).then(|| Sold {
            event: self.event,
            leg: self.leg,
            legs: self.legs,
            at_ms: self.at_ms,
            campaign: self.campaign,
            creator: self.creator,
            link: self.link,
            click: self.click,
            value: self.value,
            paid: self.payout.map(|payout| payout.paid),
            taken: Split::default(),
        })
    }

    /// The outcome of a refund that takes nothing back.
    pub(super) fn of_unpaid(refund: &Refund, campaign: Option<CampaignId>, reason: Reason) -> Self {
        let is_against_a_rule = reason == Reason::CurrencyMismatch;
        Self {
            event: refund.event,
            leg: 0,
            legs: 1,
            order: Some(refund.order),
            refund_id: Some(refund.refund_id.clone()),
            original: None,
            workspace: refund.workspace,
            kind: OutcomeKind::Refund,
            status: if is_against_a_rule { Status::RejectedRule } else { Status::Nonpayable },
            reason: Some(reason),
            campaign,
            creator: None,
            link: None,
            click: None,
            visitor: refund.visitor,
            at_ms: refund.at_ms,
            value: refund
                .value
                .map(|value| Money { amount_minor: value.amount_minor.saturating_neg(), ..value }),
            payout: None,
            payload_hash: refund.payload_hash.clone(),
            basis: Basis::none(),
        }
    }
}
