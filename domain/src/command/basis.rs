//! What decisions are based on, to be explained later.

use serde::{Deserialize, Serialize};

use crate::attribution::model::Model;
use crate::ids::{CampaignId, EventId, LinkId, UserId};
use crate::payment::Frequency;
use crate::rules::Terms;

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
    /// Of a supporter's reward for sharing a link, what it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
}

/// What a reward for sharing a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharing {
    /// The leg that pays the link's creator.
    pub of_leg: u16,
    /// The reward's share of what that one pays, in basis points.
    pub bps: u16,
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
            sharing: None,
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
