//! The event as it stands on Kafka.

mod client;
mod written;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

pub use self::client::{BotReason, Client};
use crate::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey, WorkspaceId, hash_uuid};
use crate::money::Money;
use crate::payment::Payment;
use crate::refund::Refund;
use crate::rules::{Named, Objective};

/// An event on the topic `events`, with so much of its client as `C` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "C: Default + PartialEq + Serialize", deserialize = "C: Whole"))]
pub struct Event<C = Client> {
    /// Unique; for a click, the click id.
    pub id: EventId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Who did it; the topic is keyed by this.
    pub visitor: VisitorKey,
    /// The user that the sender named: [`VisitorKey::derive_user`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<VisitorKey>,
    /// When it happened, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// When the collector took it.
    pub received_at_ms: i64,
    /// SHA-256, in hex, of what the client said; tells a repeat from a clash. None of
    /// a click, nor of a tick: a click's id is drawn by the collector (version 7), and
    /// what clients call their events becomes ids of version 8, so that no client can
    /// send another click of the same id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub payload_hash: String,
    /// What happened.
    pub body: Body,
    /// What is known of the client.
    #[serde(default, skip_serializing_if = "is_default")]
    pub client: C,
    /// Why it does not count as human, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot: Option<BotReason>,
}

/// All that the collector says of a client, as it stands on Kafka.
pub trait Whole: Default + PartialEq + DeserializeOwned {}

impl Whole for Client {}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// A tracking link was followed.
    Click {
        /// The link.
        link: LinkId,
        /// Its campaign at that moment.
        campaign: CampaignId,
        /// Who earns by it.
        creator: UserId,
        /// The supporter who shared it, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        supporter: Option<UserId>,
        /// Which of the link's weighted destinations it was led to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        variant: Option<String>,
        /// The `utm_` parameters of the short address.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        utm: BTreeMap<String, String>,
        /// The visitor is known by address and browser alone.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cookieless: bool,
    },
    /// A page was seen.
    Page {
        /// Its address.
        url: String,
        /// Its title.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// Anything else.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        properties: Properties,
    },
    /// Something named was done.
    Track {
        /// Its name.
        name: String,
        /// Anything else.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        properties: Properties,
    },
    /// A visitor turned out to be a known user.
    Identify {
        /// The client's name for the user.
        user_id: String,
        /// What is said of the user.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        properties: Properties,
    },
    /// A goal was reached.
    Conversion {
        /// Its name, for example `signup`.
        goal: String,
        /// What it is worth, if anything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Money>,
        /// The client's own number for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order_id: Option<String>,
        /// The click it came with, from its token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        click: Option<EventId>,
        /// The coupon that was used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        coupon: Option<String>,
    },
    /// Something was bought.
    Sale {
        /// The order's number.
        order_id: String,
        /// What was paid.
        value: Money,
        /// What was bought, where the client says.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<Item>,
        /// The click it came with, from its token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        click: Option<EventId>,
        /// The coupon that was used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        coupon: Option<String>,
    },
    /// One person paid another.
    Payment(Payment),
    /// Money of a sale, or of a payment, went back.
    Refund {
        /// The order's, or the payment's, number.
        order_id: String,
        /// Whether it is a payment's.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        of_payment: bool,
        /// The refund's own number; an order may have several.
        refund_id: String,
        /// How much; all that is left, if not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Money>,
        /// What was returned, where the client says.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<Item>,
    },
    /// The visitor wants to be forgotten: all that came before this.
    Erase {},
    /// Attribution to itself: the user that this is keyed by is this visitor.
    Stitch {
        /// The visitor.
        visitor: VisitorKey,
    },
    /// Attribution to itself: an action looks for its click at this visitor.
    Handed {
        /// The action.
        action: Box<Action>,
    },
    /// Attribution to itself: it is later now, though nothing happened.
    Tick {},
}

/// A conversion, sale or paid click, as far as attribution needs it. It is kept
/// in a form without names as well, so no field may be left out of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Its event.
    pub event: EventId,
    /// What kind of action it is.
    pub kind: Objective,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Who acted, as the event says.
    pub visitor: VisitorKey,
    /// The user, if the event names one.
    pub user: Option<VisitorKey>,
    /// The event's own time.
    pub at_ms: i64,
    /// The event's payload hash.
    pub payload_hash: String,
    /// What it is worth to the business.
    pub value: Option<Money>,
    /// The click it came with, from its token.
    pub click: Option<EventId>,
    /// The coupon that was used.
    pub coupon: Option<String>,
    /// Names the order (and goal) within the workspace.
    pub transaction: Option<Uuid>,
    /// Of a sale, its order; see [`order_key`].
    #[serde(default)]
    pub order: Option<Uuid>,
    /// What was bought, where the client says.
    #[serde(default)]
    pub items: Vec<Item>,
    /// Where its click is being looked for.
    pub sought: Sought,
    /// How often it was handed on.
    #[serde(default)]
    pub hops: u32,
    /// How long it has waited elsewhere, before it was handed on.
    #[serde(default)]
    pub waited_ms: Option<i64>,
}

/// Where an action's click is being looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sought {
    /// Under the event's own key.
    Here,
    /// Under its user's key, which knows the user's visitors.
    AskUser,
    /// Under a visitor's key, and then under these.
    Among(Vec<VisitorKey>),
}

impl Action {
    /// A click as an action.
    #[must_use]
    pub fn of_click<C>(event: &Event<C>) -> Self {
        Self::new(event, Objective::Click)
    }

    fn new<C>(event: &Event<C>, kind: Objective) -> Self {
        Self {
            event: event.id,
            kind,
            workspace: event.workspace,
            visitor: event.visitor,
            user: event.user,
            at_ms: event.at_ms,
            payload_hash: event.payload_hash.clone(),
            value: None,
            click: None,
            coupon: None,
            transaction: None,
            order: None,
            items: Vec::new(),
            sought: Sought::Here,
            hops: 0,
            waited_ms: None,
        }
    }
}

impl<C> Event<C> {
    /// Whether it came without the hash that it has to have: two of the same id that
    /// say different things could not be told apart. A click's id is the collector's
    /// own; what is seen and done on pages is not told apart; nor is what attribution
    /// tells itself.
    #[must_use]
    pub fn lacks_hash(&self) -> bool {
        let needs_none = matches!(self.body, Body::Click { .. } | Body::Page { .. } | Body::Track { .. });
        self.payload_hash.is_empty() && !needs_none && !self.body.is_internal()
    }

    /// What this asks to be credited; nothing, unless it is a conversion or a
    /// sale.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        let transaction = |kind: Objective, order: &str, goal: &str| {
            let parts =
                [self.workspace.0.as_bytes(), kind.code().as_bytes(), order.as_bytes(), goal.as_bytes()];
            hash_uuid("order", &parts)
        };
        match &self.body {
            Body::Conversion { goal, value, order_id, click, coupon } => Some(Action {
                value: *value,
                click: *click,
                coupon: coupon.clone(),
                transaction: order_id.as_deref().map(|order| transaction(Objective::Conversion, order, goal)),
                ..Action::new(self, Objective::Conversion)
            }),
            Body::Sale { order_id, value, items, click, coupon } => Some(Action {
                value: Some(*value),
                click: *click,
                coupon: coupon.clone(),
                transaction: Some(transaction(Objective::Sale, order_id, "")),
                order: Some(order_key(self.workspace, order_id)),
                items: items.clone(),
                ..Action::new(self, Objective::Sale)
            }),
            _ => None,
        }
    }

    /// What this names whose first terms hold at once.
    #[must_use]
    pub fn names(&self) -> Option<Named> {
        match self.body {
            Body::Click { campaign, .. } => Some(Named::Campaign(campaign)),
            Body::Payment(ref payment) => Some(Named::Payee(self.workspace, payment.payee)),
            _ => None,
        }
    }

    /// The refund that this is, if it is one.
    #[must_use]
    pub fn refund(&self) -> Option<Refund> {
        let Body::Refund { order_id, of_payment, refund_id, value, .. } = &self.body else { return None };
        let key = if *of_payment { payment_key } else { order_key };
        Some(Refund {
            event: self.id,
            workspace: self.workspace,
            visitor: self.visitor,
            at_ms: self.at_ms,
            order: key(self.workspace, order_id),
            // Nothing that Postgres does not keep may reach settlement.
            refund_id: refund_id.replace('\0', ""),
            value: *value,
            payload_hash: self.payload_hash.clone(),
        })
    }
}

impl Event {
    /// A message of attribution to itself. No clock moves by it.
    #[must_use]
    pub fn internal(
        id: Uuid,
        workspace: WorkspaceId,
        key: VisitorKey,
        at_ms: i64,
        payload_hash: String,
        body: Body,
    ) -> Self {
        Self {
            id: EventId(id),
            workspace,
            visitor: key,
            user: None,
            at_ms,
            received_at_ms: at_ms,
            payload_hash,
            body,
            client: Client::default(),
            bot: None,
        }
    }

    /// A message to one partition that it is `now_ms`.
    #[must_use]
    pub fn tick(now_ms: i64) -> Self {
        let (nobody, nowhere) = (VisitorKey([0; 16]), WorkspaceId(Uuid::nil()));
        Self::internal(Uuid::nil(), nowhere, nobody, now_ms, String::new(), Body::Tick {})
    }
}

/// Names an order within its workspace: what a refund and its sale share.
#[must_use]
pub fn order_key(workspace: WorkspaceId, order_id: &str) -> Uuid {
    hash_uuid("order", &[workspace.0.as_bytes(), order_id.as_bytes()])
}

/// Names a payment within its workspace, as an order is named; an order of the
/// same number is another thing.
#[must_use]
pub fn payment_key(workspace: WorkspaceId, payment_id: &str) -> Uuid {
    hash_uuid("payment", &[workspace.0.as_bytes(), payment_id.as_bytes()])
}

/// A line of an order, in its currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The seller's number of the article.
    pub sku: String,
    /// How many; above 0.
    pub quantity: u32,
    /// What one costs, in minor units; not below 0.
    pub unit_price_minor: i64,
}

/// A client's free-form fields, in one order for all.
pub type Properties = BTreeMap<String, Value>;

impl Body {
    /// The kind's name, as in JSON and in ClickHouse.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Click { .. } => "click",
            Self::Page { .. } => "page",
            Self::Track { .. } => "track",
            Self::Identify { .. } => "identify",
            Self::Conversion { .. } => "conversion",
            Self::Sale { .. } => "sale",
            Self::Payment(_) => "payment",
            Self::Refund { .. } => "refund",
            Self::Erase {} => "erase",
            Self::Stitch { .. } => "stitch",
            Self::Handed { .. } => "handed",
            Self::Tick {} => "tick",
        }
    }

    /// Whether it is a message of attribution to itself, and nothing that
    /// happened.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        matches!(self, Self::Stitch { .. } | Self::Handed { .. } | Self::Tick {})
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// SHA-256, in hex, of `content` as JSON with sorted keys.
///
/// # Panics
/// When `content` cannot be JSON (a map with keys that are no text).
#[must_use]
pub fn payload_hash(content: &impl Serialize) -> String {
    let value = serde_json::to_value(content).expect("events are JSON");
    let mut text = String::new();
    write_sorted(&value, &mut text);
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// JSON with sorted keys. `serde_json`'s maps are sorted unless some crate in
/// the build asks for insertion order; a hash must not depend on that.
fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (name, field) in sorted {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_sorted(field, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_sorted(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}
