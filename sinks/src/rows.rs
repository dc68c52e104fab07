//! What a row of each table is made of.

use clickhouse::Row;
use domain::event::{Body, Event, Item, Properties};
use domain::money::Money;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::block::{Field, Fields};

/// A row of `events`. Absent ids are nil, absent texts empty, absent amounts 0.
#[derive(Clone, Debug, Default, PartialEq, Row, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the table's comments document each column")]
pub struct EventRow {
    #[serde(with = "clickhouse::serde::uuid")]
    pub event_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub workspace_id: Uuid,
    pub kind: String,
    pub at: i64,
    pub received_at: i64,
    pub visitor: [u8; 16],
    #[serde(with = "clickhouse::serde::uuid")]
    pub link_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub campaign_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub creator_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub supporter_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub click_id: Uuid,
    pub name: String,
    pub url: String,
    pub title: String,
    pub user_id: String,
    pub order_id: String,
    pub value_minor: i64,
    pub currency: String,
    pub referrer: String,
    pub user_agent: String,
    pub network: String,
    pub country: String,
    pub city: String,
    pub device: String,
    pub os: String,
    pub browser: String,
    pub bot: String,
    pub properties: String,
    pub payload_hash: u64,
    pub partition: u16,
    pub offset: u64,
}

impl Fields for EventRow {
    fn each(&mut self, with: &mut impl Field) {
        with.uuid("event_id", &mut self.event_id);
        with.uuid("workspace_id", &mut self.workspace_id);
        with.key("kind", &mut self.kind);
        with.time_ms("at", &mut self.at);
        with.time_ms("received_at", &mut self.received_at);
        with.bytes16("visitor", &mut self.visitor);
        with.uuid("link_id", &mut self.link_id);
        with.uuid("campaign_id", &mut self.campaign_id);
        with.uuid("creator_id", &mut self.creator_id);
        with.uuid("supporter_id", &mut self.supporter_id);
        with.uuid("click_id", &mut self.click_id);
        with.key("name", &mut self.name);
        with.text("url", &mut self.url);
        with.text("title", &mut self.title);
        with.text("user_id", &mut self.user_id);
        with.text("order_id", &mut self.order_id);
        with.int64("value_minor", &mut self.value_minor);
        with.key("currency", &mut self.currency);
        with.text("referrer", &mut self.referrer);
        with.key("user_agent", &mut self.user_agent);
        with.key("network", &mut self.network);
        with.key("country", &mut self.country);
        with.key("city", &mut self.city);
        with.key("device", &mut self.device);
        with.key("os", &mut self.os);
        with.key("browser", &mut self.browser);
        with.key("bot", &mut self.bot);
        with.text("properties", &mut self.properties);
        with.uint64("payload_hash", &mut self.payload_hash);
        with.uint16("partition", &mut self.partition);
        with.uint64("offset", &mut self.offset);
    }
}

impl EventRow {
    /// The row of an event that stands at this place in Kafka.
    pub(crate) fn new(event: Event, partition: i32, offset: i64) -> Self {
        let mut row = Self {
            event_id: event.id.0,
            workspace_id: event.workspace.0,
            kind: event.body.kind().to_owned(),
            at: event.at_ms,
            received_at: event.received_at_ms,
            visitor: event.visitor.0,
            referrer: event.client.referrer.unwrap_or_default(),
            user_agent: event.client.user_agent.unwrap_or_default(),
            network: event.client.network.unwrap_or_default(),
            country: event.client.country.unwrap_or_default(),
            city: event.client.city.unwrap_or_default(),
            device: event.client.device.map_or("", |device| device.code()).to_owned(),
            os: event.client.os.unwrap_or_default(),
            browser: event.client.browser.unwrap_or_default(),
            bot: event.bot.map_or("", |bot| bot.code()).to_owned(),
            payload_hash: short_hash(&event.payload_hash),
            partition: u16::try_from(partition).unwrap_or(u16::MAX),
            offset: u64::try_from(offset).unwrap_or_default(),
            ..Self::default()
        };
        row.set_body(event.body);
        row
    }

    /// Whether it is in any figure by the hour.
    pub(crate) fn is_counted(&self) -> bool {
        ["click", "page", "track"].contains(&self.kind.as_str())
    }

    fn set_body(&mut self, body: Body) {
        match body {
            Body::Click { link, campaign, creator, supporter, variant, utm, .. } => {
                self.link_id = link.0;
                self.campaign_id = campaign.0;
                self.creator_id = creator.0;
                self.supporter_id = supporter.map_or(Uuid::nil(), |id| id.0);
                self.name = variant.unwrap_or_default();
                if !utm.is_empty() {
                    self.properties = serde_json::to_string(&utm).expect("texts are JSON");
                }
            }
            Body::Page { url, title, properties } => {
                self.url = url;
                self.title = title.unwrap_or_default();
                self.properties = json(&properties);
            }
            Body::Track { name, properties } => {
                self.name = name;
                self.properties = json(&properties);
            }
            Body::Erase {} | Body::Stitch { .. } | Body::Handed { .. } | Body::Tick {} => {}
            Body::Identify { user_id, properties } => {
                self.user_id = user_id;
                self.properties = json(&properties);
            }
            Body::Conversion { goal, value, order_id, click, .. } => {
                self.name = goal;
                self.order_id = order_id.unwrap_or_default();
                self.click_id = click.map_or(Uuid::nil(), |id| id.0);
                self.set_value(value, &[]);
            }
            Body::Sale { order_id, value, items, click, .. } => {
                self.order_id = order_id;
                self.click_id = click.map_or(Uuid::nil(), |id| id.0);
                self.set_value(Some(value), &items);
            }
            Body::Payment(payment) => {
                self.name = payment.purpose.code().to_owned();
                self.creator_id = payment.payee.0;
                self.supporter_id = payment.payer.map_or(Uuid::nil(), |id| id.0);
                self.set_value(Some(payment.value), &[]);
                self.properties = serde_json::json!({
                    "processor": payment.processor, "frequency": payment.frequency,
                    "live_event": payment.live_event, "unlock": payment.unlock,
                })
                .to_string();
                self.order_id = payment.payment_id;
            }
            Body::Refund { order_id, refund_id, value, items, .. } => {
                self.order_id = order_id;
                self.name = refund_id;
                self.set_value(value, &items);
            }
        }
    }
}

impl EventRow {
    fn set_value(&mut self, value: Option<Money>, items: &[Item]) {
        if let Some(value) = value {
            self.value_minor = value.amount_minor;
            self.currency = value.currency.to_string();
        }
        if !items.is_empty() {
            self.properties = serde_json::json!({ "items": items }).to_string();
        }
    }
}

/// The first 8 of a hash's 32 bytes: enough to tell two payloads of one id
/// apart.
fn short_hash(hex: &str) -> u64 {
    hex.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default()
}

fn json(properties: &Properties) -> String {
    if properties.is_empty() {
        return String::new();
    }
    serde_json::to_string(properties).expect("properties are JSON")
}

/// A row of `outcomes`. Absent ids are nil, absent texts empty, absent amounts
/// 0.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the table's comments document each column")]
pub struct OutcomeRow {
    #[serde(with = "clickhouse::serde::uuid")]
    pub event_id: Uuid,
    pub leg: u16,
    pub batch_id: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    pub workspace_id: Uuid,
    pub kind: String,
    pub status: String,
    pub reason: String,
    #[serde(with = "clickhouse::serde::uuid")]
    pub campaign_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub creator_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub link_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub click_id: Uuid,
    pub visitor: [u8; 16],
    pub at: i64,
    pub value_minor: i64,
    pub value_currency: String,
    pub gross_minor: i64,
    pub creator_minor: i64,
    pub fee_minor: i64,
    pub other_minor: i64,
    pub is_reward: bool,
    pub currency: String,
}

impl From<store::outcomes::OutcomeRow> for OutcomeRow {
    fn from(row: store::outcomes::OutcomeRow) -> Self {
        Self {
            event_id: row.event_id,
            leg: u16::try_from(row.leg).unwrap_or_default(),
            batch_id: row.batch_id,
            workspace_id: row.workspace_id,
            kind: row.kind,
            status: row.status,
            reason: row.reason.unwrap_or_default(),
            campaign_id: row.campaign_id.unwrap_or_default(),
            creator_id: row.creator_id.unwrap_or_default(),
            link_id: row.link_id.unwrap_or_default(),
            click_id: row.click_id.unwrap_or_default(),
            visitor: <[u8; 16]>::try_from(row.visitor).unwrap_or_default(),
            at: row.at_ms,
            value_minor: row.value_minor.unwrap_or_default(),
            value_currency: row.value_currency.unwrap_or_default(),
            gross_minor: row.gross_minor.unwrap_or_default(),
            creator_minor: row.creator_minor.unwrap_or_default(),
            fee_minor: row.fee_minor.unwrap_or_default(),
            other_minor: row.other_minor.unwrap_or_default(),
            is_reward: row.is_reward,
            currency: row.currency.unwrap_or_default(),
        }
    }
}

/// A row of `touches`.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub(crate) struct TouchRow {
    #[serde(with = "clickhouse::serde::uuid")]
    pub(crate) workspace_id: Uuid,
    pub(crate) at: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(crate) event_id: Uuid,
    pub(crate) kind: String,
    pub(crate) touched_at: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(crate) click_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(crate) link_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(crate) campaign_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(crate) creator_id: Uuid,
    pub(crate) model: String,
    pub(crate) share: f64,
}

impl From<store::outcomes::TouchRow> for TouchRow {
    fn from(row: store::outcomes::TouchRow) -> Self {
        Self {
            workspace_id: row.workspace_id,
            at: row.at_ms,
            event_id: row.event_id,
            kind: row.kind,
            touched_at: row.touched_at_ms,
            click_id: row.click_id,
            link_id: row.link_id,
            campaign_id: row.campaign_id,
            creator_id: row.creator_id,
            model: row.model,
            share: row.share,
        }
    }
}
