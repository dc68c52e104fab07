//! What is compared: credits and messages, without how they were come by.

use domain::command::Credit;
use domain::event::{Body, Event, Sought};
use domain::ids::{CampaignId, EventId, UserId, VisitorKey};
use domain::refund::Refund;

/// What a credit says, without how it was come by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verdict {
    pub(super) event: EventId,
    pub(super) leg: u16,
    pub(super) payload_hash: String,
    pub(super) decision: String,
    pub(super) campaign: Option<CampaignId>,
    pub(super) creator: Option<UserId>,
    pub(super) click: Option<EventId>,
    pub(super) value_minor: Option<i64>,
    pub(super) matched_by: Option<String>,
    pub(super) waited_ms: Option<i64>,
}

impl From<&Credit> for Verdict {
    fn from(credit: &Credit) -> Self {
        Self {
            event: credit.event,
            leg: credit.leg,
            payload_hash: credit.payload_hash.clone(),
            decision: format!("{:?}", credit.decision),
            campaign: credit.campaign,
            creator: credit.creator,
            click: credit.click,
            value_minor: credit.value.map(|value| value.amount_minor),
            matched_by: credit.basis.matched_by.map(|matched_by| format!("{matched_by:?}")),
            waited_ms: credit.basis.waited_ms,
        }
    }
}

/// What a message to another partition says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sent {
    /// A user turned out to be a visitor.
    Stitch {
        /// The user's key.
        user: VisitorKey,
        /// The visitor's.
        visitor: VisitorKey,
    },
    /// An action is handed on.
    Handed {
        /// To whom.
        to: VisitorKey,
        /// The action's event.
        event: EventId,
        /// Where it goes from there.
        sought: String,
    },
    /// A refund is handed on to settlement.
    Refund {
        /// Its event.
        event: EventId,
        /// Of what it said.
        payload_hash: String,
    },
}

impl From<&Refund> for Sent {
    fn from(refund: &Refund) -> Self {
        Self::Refund { event: refund.event, payload_hash: refund.payload_hash.clone() }
    }
}

impl Sent {
    /// What `event` says, if it is such a message.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        match &event.body {
            Body::Stitch { visitor } => Some(Self::Stitch { user: event.visitor, visitor: *visitor }),
            Body::Handed { action } => Some(Self::handed(event.visitor, action.event, &action.sought)),
            _ => None,
        }
    }

    pub(super) fn handed(to: VisitorKey, event: EventId, sought: &Sought) -> Self {
        Self::Handed { to, event, sought: format!("{sought:?}") }
    }
}
