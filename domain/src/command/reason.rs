//! Why actions and payments are not paid.

use serde::{Deserialize, Serialize};

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
/// | `unknown_payee` | the payee is none of the workspace's creators |
/// | `unknown_processor` | the payment's processor is none of the workspace's |
/// | `campaign_cap_reached` | the campaign has spent what it may, on that day or in all |
/// | `creator_cap_reached` | the creator has earned what they may in the campaign, on that day or in all |
/// | `already_rewarded` | the campaign pays once for a customer, and has |
/// | `shared_unpaid` | a reward for sharing a link whose creator was not paid for the action |
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
    UnknownPayee,
    UnknownProcessor,
    FeesExceedAmount,
    CampaignCapReached,
    CreatorCapReached,
    AlreadyRewarded,
    SharedUnpaid,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 28] = [
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
        Self::UnknownPayee,
        Self::UnknownProcessor,
        Self::FeesExceedAmount,
        Self::CampaignCapReached,
        Self::CreatorCapReached,
        Self::AlreadyRewarded,
        Self::SharedUnpaid,
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
            Self::UnknownPayee => "unknown_payee",
            Self::UnknownProcessor => "unknown_processor",
            Self::FeesExceedAmount => "fees_exceed_amount",
            Self::CampaignCapReached => "campaign_cap_reached",
            Self::CreatorCapReached => "creator_cap_reached",
            Self::AlreadyRewarded => "already_rewarded",
            Self::SharedUnpaid => "shared_unpaid",
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
            Self::UnknownPayee => "The payee is none of the workspace's creators.",
            Self::UnknownProcessor => "The payment's processor is none of the workspace's.",
            Self::CampaignCapReached => "The campaign has spent what it may, on that day or in all.",
            Self::CreatorCapReached => {
                "The creator has earned what they may in the campaign, on that day or in all."
            }
            Self::AlreadyRewarded => "The campaign pays once for a customer, and has.",
            Self::SharedUnpaid => {
                "The creator of the shared link was not paid for this, so sharing it is not."
            }
            Self::FeesExceedAmount => "Processor and platform would keep more than was paid.",
        }
    }
}
