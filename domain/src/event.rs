//! The event as it stands on Kafka.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey, WorkspaceId};
use crate::link::Device;
use crate::money::Money;

/// An event on the topic `events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Unique; for a click, the click id.
    pub id: EventId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Who did it; the topic is keyed by this.
    pub visitor: VisitorKey,
    /// When it happened, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// When the collector took it.
    pub received_at_ms: i64,
    /// SHA-256, in hex, of what the client said; tells a repeat from a clash.
    pub payload_hash: String,
    /// What happened.
    pub body: Body,
    /// What is known of the client.
    #[serde(default, skip_serializing_if = "Client::is_empty")]
    pub client: Client,
    /// Why it does not count as human, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot: Option<BotReason>,
}

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
    },
    /// Money of a sale went back.
    Refund {
        /// The order's number.
        order_id: String,
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
            Self::Refund { .. } => "refund",
            Self::Erase {} => "erase",
        }
    }
}

/// What the collector knows of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The address, cut to its network (v4 /24, v6 /48).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Its user agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrer: Option<String>,
    /// ISO 3166 code of its country, by the GeoIP file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Its city, in English.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// What sort of device it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// Its system, by its user agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Its browser, by its user agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<String>,
}

impl Client {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Why an event does not count as human.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BotReason {
    /// The user agent is a known robot's.
    UserAgent,
    /// There is no user agent.
    NoUserAgent,
    /// A HEAD request.
    Head,
    /// Fetched ahead of a person's decision.
    Prefetch,
    /// The user agent is that of a service that shows a preview of a link.
    Preview,
    /// The address is a hosting provider's.
    DataCentre,
}

impl BotReason {
    /// The reason's code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::UserAgent => "user_agent",
            Self::NoUserAgent => "no_user_agent",
            Self::Head => "head",
            Self::Prefetch => "prefetch",
            Self::Preview => "preview",
            Self::DataCentre => "data_centre",
        }
    }
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
