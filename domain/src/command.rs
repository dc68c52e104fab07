//! What goes over the topic `credits`: everything that may move money. It is
//! keyed by campaign, so that one partition sees all of a campaign's budget in
//! one order; replaying the topic rebuilds the books.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::attribution::model::Model;
use crate::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey, WorkspaceId, hash_uuid};
use crate::limits::CreditLimits;
use crate::money::{Currency, Money};
use crate::payment::{Frequency, Purpose};
use crate::refund::{Clawback, Refund};
use crate::rules::{Objective, Terms};

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

/// Why an action is not paid. This table is the only list of such codes.
///
/// | code | meaning |
/// |---|---|
/// | `bot` | the click was a robot's |
/// | `duplicate_click` | the visitor had clicked the link within 24 hours (1 hour without a cookie) |
/// | `no_touch` | no click is known that led to it, and none came while it waited |
/// | `objective_mismatch` | the campaign pays for something else |
/// | `window_expired` | the click is older than the attribution window |
/// | `campaign_not_active` | draft, paused or completed at that time |
/// | `before_start` | before the campaign's start |
/// | `after_end` | at or after the campaign's end |
/// | `unknown_campaign` | the link's campaign does not exist |
/// | `currency_mismatch` | the payout, or the value it is a share of, is not in the budget's currency |
/// | `budget_exhausted` | the remaining budget does not cover the payout |
/// | `too_late` | the event came in later after its own time than is allowed |
/// | `before_click` | the click whose token it brought came after it |
/// | `too_soon` | it came sooner after its click than a person could act |
/// | `flood` | too many clicks on the link from one network in one minute |
/// | `duplicate_transaction` | the order, or the refund of it, was reported before under another id |
/// | `share_too_small` | the share in the payout, or in what a refund takes back, rounds to nothing |
/// | `nothing_paid` | the refunded order earned nobody anything |
/// | `already_refunded` | nothing of the order was left to refund |
/// | `no_value` | the campaign pays a share of the value, and it came without one |
/// | `no_payment_terms` | the workspace takes no payments |
/// | `unknown_processor` | the payment's processor is none of the workspace's |
/// | `campaign_cap_reached` | the campaign has spent what it may, on that day or in all |
/// | `creator_cap_reached` | the creator has earned what they may in the campaign, on that day or in all |
/// | `already_rewarded` | the campaign pays once for a customer, and has |
/// | `fees_exceed_amount` | processor and platform would keep more than was paid |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the table above documents each")]
pub enum Reason {
    Bot,
    DuplicateClick,
    NoTouch,
    ObjectiveMismatch,
    WindowExpired,
    CampaignNotActive,
    BeforeStart,
    AfterEnd,
    UnknownCampaign,
    CurrencyMismatch,
    BudgetExhausted,
    TooLate,
    BeforeClick,
    TooSoon,
    Flood,
    DuplicateTransaction,
    ShareTooSmall,
    NothingPaid,
    AlreadyRefunded,
    NoValue,
    NoPaymentTerms,
    UnknownProcessor,
    FeesExceedAmount,
    CampaignCapReached,
    CreatorCapReached,
    AlreadyRewarded,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 26] = [
        Self::Bot,
        Self::DuplicateClick,
        Self::NoTouch,
        Self::ObjectiveMismatch,
        Self::WindowExpired,
        Self::CampaignNotActive,
        Self::BeforeStart,
        Self::AfterEnd,
        Self::UnknownCampaign,
        Self::CurrencyMismatch,
        Self::BudgetExhausted,
        Self::TooLate,
        Self::BeforeClick,
        Self::TooSoon,
        Self::Flood,
        Self::DuplicateTransaction,
        Self::ShareTooSmall,
        Self::NothingPaid,
        Self::AlreadyRefunded,
        Self::NoValue,
        Self::NoPaymentTerms,
        Self::UnknownProcessor,
        Self::FeesExceedAmount,
        Self::CampaignCapReached,
        Self::CreatorCapReached,
        Self::AlreadyRewarded,
    ];

    /// The code, as in JSON and SQL.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::DuplicateClick => "duplicate_click",
            Self::NoTouch => "no_touch",
            Self::ObjectiveMismatch => "objective_mismatch",
            Self::WindowExpired => "window_expired",
            Self::CampaignNotActive => "campaign_not_active",
            Self::BeforeStart => "before_start",
            Self::AfterEnd => "after_end",
            Self::UnknownCampaign => "unknown_campaign",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::BudgetExhausted => "budget_exhausted",
            Self::TooLate => "too_late",
            Self::BeforeClick => "before_click",
            Self::TooSoon => "too_soon",
            Self::Flood => "flood",
            Self::DuplicateTransaction => "duplicate_transaction",
            Self::ShareTooSmall => "share_too_small",
            Self::NothingPaid => "nothing_paid",
            Self::AlreadyRefunded => "already_refunded",
            Self::NoValue => "no_value",
            Self::NoPaymentTerms => "no_payment_terms",
            Self::UnknownProcessor => "unknown_processor",
            Self::FeesExceedAmount => "fees_exceed_amount",
            Self::CampaignCapReached => "campaign_cap_reached",
            Self::CreatorCapReached => "creator_cap_reached",
            Self::AlreadyRewarded => "already_rewarded",
        }
    }

    /// A sentence for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Bot => "The click was a robot's.",
            Self::DuplicateClick => {
                "The same visitor had clicked the same link within 24 hours (1 hour without a cookie)."
            }
            Self::NoTouch => "No click is known that led to it, and none came while it waited.",
            Self::ObjectiveMismatch => "The campaign pays for another kind of action.",
            Self::WindowExpired => "The click is older than the campaign's attribution window.",
            Self::CampaignNotActive => "The campaign was not active at that time.",
            Self::BeforeStart => "The action came before the campaign's start.",
            Self::AfterEnd => "The action came after the campaign's end.",
            Self::UnknownCampaign => "The link's campaign does not exist.",
            Self::CurrencyMismatch => "It is not in the budget's currency.",
            Self::BudgetExhausted => "The campaign's remaining budget does not cover the payout.",
            Self::TooLate => "It came in later after its own time than is allowed.",
            Self::BeforeClick => "The click whose token it brought came after it.",
            Self::TooSoon => "It came sooner after its click than a person could act.",
            Self::Flood => "There were too many clicks on the link from one network in that minute.",
            Self::DuplicateTransaction => {
                "The same order, or the same refund of it, was reported before, under another id."
            }
            Self::ShareTooSmall => "The share rounds to nothing.",
            Self::NothingPaid => "The refunded order earned nobody anything.",
            Self::AlreadyRefunded => "Nothing of the order was left to refund.",
            Self::NoValue => "The campaign pays a share of the value, and it came without one.",
            Self::NoPaymentTerms => "The workspace takes no payments.",
            Self::UnknownProcessor => "The payment's processor is none of the workspace's.",
            Self::CampaignCapReached => "The campaign has spent what it may, on that day or in all.",
            Self::CreatorCapReached => {
                "The creator has earned what they may in the campaign, on that day or in all."
            }
            Self::AlreadyRewarded => "The campaign pays once for a customer, and has.",
            Self::FeesExceedAmount => "Processor and platform would keep more than was paid.",
        }
    }
}

/// How a decision came about; kept with the outcome, for explaining it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// The attribution model.
    pub model: String,
    /// The version of the campaign's terms in force at the event's time.
    pub terms_version: Option<u32>,
    /// The attribution window in force.
    pub window_ms: Option<i64>,
    /// How the deciding click was found.
    #[serde(default)]
    pub matched_by: Option<MatchedBy>,
    /// How long the action waited for its click, by the clock of its
    /// partition; nothing if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<i64>,
    /// The visitor's clicks that were looked at, oldest first.
    pub touches: Vec<BasisTouch>,
    /// Of a payment, what decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaymentBasis>,
}

/// What decided a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentBasis {
    /// Through whom it was made.
    pub processor: String,
    /// Of a purchase, the seller's tier at that moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Who paid, if that is a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<UserId>,
    /// How often.
    pub frequency: Frequency,
    /// The live event that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_event: Option<String>,
    /// What it opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlocked: Option<String>,
}

impl Basis {
    /// Of a decision that looked at no campaign.
    #[must_use]
    pub fn none() -> Self {
        Self::of_terms(None)
    }

    /// Of a decision by a campaign's terms.
    #[must_use]
    pub fn of_terms(terms: Option<&Terms>) -> Self {
        Self {
            model: terms.map_or(Model::default(), |terms| terms.model).code().to_owned(),
            terms_version: terms.map(|terms| terms.version),
            window_ms: terms.map(|terms| terms.window_ms),
            matched_by: None,
            waited_ms: None,
            touches: Vec::new(),
            payment: None,
        }
    }

    /// Of a payment, which no click decides.
    #[must_use]
    pub fn direct(terms_version: Option<u32>, payment: Option<PaymentBasis>) -> Self {
        Self { model: "direct".to_owned(), terms_version, payment, ..Self::none() }
    }
}

/// How a click was found for an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchedBy {
    /// The action brought the click's token back.
    ClickToken,
    /// It is among the clicks of the same visitor.
    Visitor,
    /// It is among the clicks of another visitor who is the same user.
    User,
    /// There is none: the action brought a coupon's code.
    Coupon,
}

/// A click that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasisTouch {
    /// The click.
    pub click: EventId,
    /// Its link.
    pub link: LinkId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// Its creator.
    pub creator: UserId,
    /// When.
    pub at_ms: i64,
    /// Whether this credit is for it.
    pub chosen: bool,
    /// What it weighs among all, in no unit; 0 if it shares in nothing.
    #[serde(default)]
    pub weight: u64,
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
