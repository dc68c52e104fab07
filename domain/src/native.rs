//! The event as a client writes it, and the rules by which it becomes one for
//! Kafka.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Body, Client, Event, Item, payload_hash};
use crate::ids::{EventId, UserId, VisitorKey, WorkspaceId};
use crate::money::{Currency, Money, MoneyError, check_amount};
use crate::payment::{Frequency, Payment, Purpose, Unlock};
use crate::refusal::Refusal;
use crate::timestamp;
use crate::token::{SigningKey, verify};

/// Longest id, name, goal or code, in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// Longest address or other text, in bytes.
pub const MAX_TEXT_BYTES: usize = 2_048;
/// Largest `properties`, as JSON, in bytes.
pub const MAX_PROPERTIES_BYTES: usize = 16_384;
/// Articles of one order.
pub const MAX_ITEMS: usize = 250;
/// Deepest nesting inside `properties`.
pub const MAX_PROPERTIES_DEPTH: usize = 8;

/// An event as a client writes it to `/v1/events`. Unknown fields are refused:
/// a misspelt `value` must not become a sale of nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NativeEvent {
    /// `page`, `track`, `identify`, `conversion`, `sale`, `payment` or `refund`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The client's own id; a repeat of it is recognised.
    #[serde(default)]
    pub id: Option<String>,
    /// RFC 3339 text or milliseconds since 1970; now, if absent.
    #[serde(default)]
    pub timestamp: Option<Value>,
    /// The client's clock when it sent this, in the same forms; tells how far
    /// off `timestamp` is.
    #[serde(default)]
    pub sent_at: Option<Value>,
    /// The visitor, as the client knows them (the cookie `tvid`, for example).
    #[serde(default)]
    pub visitor_id: Option<String>,
    /// The user, as the client knows them.
    #[serde(default)]
    pub user_id: Option<String>,
    /// The click token of the landing page's address.
    #[serde(default)]
    pub tcid: Option<String>,
    /// Page: its address.
    #[serde(default)]
    pub url: Option<String>,
    /// Page: its title.
    #[serde(default)]
    pub title: Option<String>,
    /// Track: what was done.
    #[serde(default)]
    pub name: Option<String>,
    /// Conversion: the goal reached.
    #[serde(default)]
    pub goal: Option<String>,
    /// Sale, conversion, refund: the order's number.
    #[serde(default)]
    pub order_id: Option<String>,
    /// Payment, and refund of one: the payment's number.
    #[serde(default)]
    pub payment_id: Option<String>,
    /// Refund: its own number.
    #[serde(default)]
    pub refund_id: Option<String>,
    /// Sale, conversion: what it is worth. Payment: what was paid. Refund: how
    /// much went back.
    #[serde(default)]
    pub value: Option<NativeMoney>,
    /// Sale, conversion: the coupon that was used.
    #[serde(default)]
    pub coupon: Option<String>,
    /// Sale, refund: the articles.
    #[serde(default)]
    pub items: Option<Vec<Item>>,
    /// Payment: `tip`, `live_sale` or `purchase`.
    #[serde(default)]
    pub purpose: Option<Purpose>,
    /// Payment: the user who is paid.
    #[serde(default)]
    pub payee_id: Option<UserId>,
    /// Payment: the user who paid, if it was one.
    #[serde(default)]
    pub payer_id: Option<UserId>,
    /// Payment: through whom; a name of the workspace's payment terms.
    #[serde(default)]
    pub processor: Option<String>,
    /// Payment: `one_time`, if absent, or `monthly`.
    #[serde(default)]
    pub frequency: Option<Frequency>,
    /// Payment: the live event that it belongs to.
    #[serde(default)]
    pub live_event: Option<String>,
    /// Payment: what it opens if it is large enough.
    #[serde(default)]
    pub unlock: Option<Unlock>,
    /// Page, track, identify: anything else.
    #[serde(default)]
    pub properties: Option<BTreeMap<String, Value>>,
    /// Where the client came from.
    #[serde(default)]
    pub referrer: Option<String>,
    /// The client's user agent, when a server passes it on.
    #[serde(default)]
    pub user_agent: Option<String>,
    /// The client's address, when a server passes it on.
    #[serde(default)]
    pub ip: Option<String>,
}

/// `{"amount_minor": 1999, "currency": "USD"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NativeMoney {
    /// Whole minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// What the collector adds to a client's event.
#[derive(Clone, Debug)]
pub struct Intake<'a> {
    /// Whose key the client used.
    pub workspace: WorkspaceId,
    /// The collector's clock.
    pub now_ms: i64,
    /// The id to give an event that brings none.
    pub fresh_id: EventId,
    /// The keys that click tokens may be signed with.
    pub keys: &'a [SigningKey],
}

impl NativeEvent {
    /// Reads one event from JSON.
    ///
    /// # Errors
    /// When it is not JSON, or not of an event's shape.
    pub fn read(json: &[u8]) -> Result<Self, Refusal> {
        Ok(serde_json::from_slice(json)?)
    }

    /// Turns a client's event into one for Kafka; `client` and `bot` are left
    /// for the collector to fill.
    ///
    /// # Errors
    /// When a field is missing, too large or cannot be.
    pub fn accept(self, intake: &Intake<'_>) -> Result<Event, Refusal> {
        self.check_lengths()?;
        let workspace = intake.workspace;
        let token = self.tcid.as_deref().map(|text| verify(text, workspace, intake.keys)).transpose()?;
        let kind = known_kind(&self.kind)?;
        let visitor = match (&token, &self.visitor_id, &self.user_id) {
            // Reports of one payment must meet, whoever is said to have paid.
            _ if kind == "payment" => {
                VisitorKey::derive_user(workspace, self.payment_id.as_deref().unwrap_or_default())
            }
            (Some(token), _, _) => token.visitor,
            (None, Some(id), _) => VisitorKey::derive(workspace, id),
            (None, None, Some(id)) => VisitorKey::derive_user(workspace, id),
            // A refund is its order's, whoever bought it; and a coupon says
            // enough of who earns.
            (None, None, None) if kind == "refund" || (self.coupon.is_some() && self.order_id.is_some()) => {
                let number = self.order_id.as_deref().or(self.payment_id.as_deref());
                VisitorKey::derive_user(workspace, number.unwrap_or_default())
            }
            (None, None, None) => {
                return Err(Refusal::Missing { kind, field: "visitor_id, user_id or tcid" });
            }
        };
        let stated_at_ms = self.timestamp.as_ref().map(timestamp::read).transpose()?;
        let sent_at_ms = self.sent_at.as_ref().map(timestamp::read).transpose()?;
        let at_ms = match (stated_at_ms, sent_at_ms) {
            // By how much the client's clock is behind, or ahead, is added.
            (Some(at_ms), Some(sent_ms)) => Some(at_ms.saturating_add(intake.now_ms.saturating_sub(sent_ms))),
            (at_ms, _) => at_ms,
        };
        if let Some(at_ms) = at_ms {
            timestamp::check(at_ms, intake.now_ms)?;
        }
        let number = match (kind, &self.goal, self.order_id.as_ref().or(self.payment_id.as_ref())) {
            // Shops may count refunds within each order.
            ("refund", _, Some(order)) => self.refund_id.as_ref().map(|refund| format!("{order}:{refund}")),
            // An order may reach several goals.
            ("conversion", Some(goal), Some(order)) => Some(format!("{goal}:{order}")),
            (_, _, order) => order.cloned(),
        };
        let body = self.body(kind, token.map(|token| token.click))?;
        // An order's number names its sale, a refund's itself, whoever reports
        // it and how often.
        let id = match (&self.id, &number) {
            // A payment is paid once, whatever else its reports are called; what
            // goes back of it is no refund of an order of that number.
            (None, Some(number)) if kind == "refund" && self.payment_id.is_some() => {
                EventId::from_client(workspace, &format!("payment_refund:{number}"))
            }
            (_, Some(number)) if kind == "payment" => {
                EventId::from_client(workspace, &format!("{kind}:{number}"))
            }
            (Some(id), _) => EventId::from_client(workspace, id),
            (None, Some(number)) => EventId::from_client(workspace, &format!("{kind}:{number}")),
            (None, None) => intake.fresh_id,
        };
        let payload_hash = payload_hash(&(&body, visitor, stated_at_ms));
        Ok(Event {
            id,
            workspace,
            visitor,
            user: self.user_id.as_deref().map(|id| VisitorKey::derive_user(workspace, id)),
            // A clock that runs ahead must not outrun the rules.
            at_ms: at_ms.map_or(intake.now_ms, |at_ms| at_ms.min(intake.now_ms)),
            received_at_ms: intake.now_ms,
            payload_hash,
            body,
            client: Client::default(),
            bot: None,
        })
    }

    fn check_lengths(&self) -> Result<(), Refusal> {
        for (field, text, limit) in [
            ("id", &self.id, MAX_NAME_BYTES),
            ("visitor_id", &self.visitor_id, MAX_NAME_BYTES),
            ("user_id", &self.user_id, MAX_NAME_BYTES),
            ("name", &self.name, MAX_NAME_BYTES),
            ("goal", &self.goal, MAX_NAME_BYTES),
            ("order_id", &self.order_id, MAX_NAME_BYTES),
            ("payment_id", &self.payment_id, MAX_NAME_BYTES),
            ("refund_id", &self.refund_id, MAX_NAME_BYTES),
            ("coupon", &self.coupon, MAX_NAME_BYTES),
            ("processor", &self.processor, MAX_NAME_BYTES),
            ("live_event", &self.live_event, MAX_NAME_BYTES),
            ("unlock", &self.unlock.as_ref().map(|unlock| unlock.content.clone()), MAX_NAME_BYTES),
            ("url", &self.url, MAX_TEXT_BYTES),
            ("title", &self.title, MAX_TEXT_BYTES),
            ("referrer", &self.referrer, MAX_TEXT_BYTES),
            ("user_agent", &self.user_agent, MAX_TEXT_BYTES),
        ] {
            match text {
                Some(text) if text.len() > limit => {
                    return Err(Refusal::TooLarge { field, limit });
                }
                Some(text) if text.is_empty() => {
                    let message = "is empty; leave it out instead".to_owned();
                    return Err(Refusal::Invalid { field, message });
                }
                // Postgres keeps no such text.
                Some(text) if text.contains('\0') => {
                    let message = "has a NUL character".to_owned();
                    return Err(Refusal::Invalid { field, message });
                }
                _ => {}
            }
        }
        let Some(properties) = &self.properties else { return Ok(()) };
        let field = "properties";
        if properties.values().any(|value| depth_exceeds(value, MAX_PROPERTIES_DEPTH)) {
            let message = format!("nested deeper than {MAX_PROPERTIES_DEPTH}");
            return Err(Refusal::Invalid { field, message });
        }
        if serde_json::to_vec(properties)?.len() > MAX_PROPERTIES_BYTES {
            return Err(Refusal::TooLarge { field, limit: MAX_PROPERTIES_BYTES });
        }
        Ok(())
    }

    fn checked_items(&self) -> Result<Vec<Item>, Refusal> {
        let items = self.items.clone().unwrap_or_default();
        let invalid = |message: &str| Refusal::Invalid { field: "items", message: message.to_owned() };
        if items.len() > MAX_ITEMS {
            return Err(Refusal::TooLarge { field: "items", limit: MAX_ITEMS });
        }
        for item in &items {
            if item.sku.is_empty() || item.sku.len() > MAX_NAME_BYTES {
                return Err(invalid("a sku has 1 to 128 bytes"));
            }
            if item.quantity == 0 {
                return Err(invalid("a quantity is above 0"));
            }
            let subtotal = item.unit_price_minor.checked_mul(i64::from(item.quantity));
            if item.unit_price_minor < 0 || subtotal.is_none_or(|subtotal| check_amount(subtotal).is_err()) {
                return Err(invalid("unit_price_minor is below 0, or too large"));
            }
        }
        Ok(items)
    }

    fn body(&self, kind: &'static str, click: Option<EventId>) -> Result<Body, Refusal> {
        let need = |text: &Option<String>, field| text.clone().ok_or(Refusal::Missing { kind, field });
        let properties = || self.properties.clone().unwrap_or_default();
        let value = self.value.as_ref().map(NativeMoney::accept).transpose()?;
        Ok(match kind {
            "page" => Body::Page {
                url: need(&self.url, "url")?,
                title: self.title.clone(),
                properties: properties(),
            },
            "track" => Body::Track { name: need(&self.name, "name")?, properties: properties() },
            "identify" => {
                Body::Identify { user_id: need(&self.user_id, "user_id")?, properties: properties() }
            }
            "conversion" => Body::Conversion {
                goal: need(&self.goal, "goal")?,
                value,
                order_id: self.order_id.clone(),
                click,
                coupon: self.coupon.clone(),
            },
            "payment" => Body::Payment(Payment {
                payment_id: need(&self.payment_id, "payment_id")?,
                purpose: self.purpose.ok_or(Refusal::Missing { kind, field: "purpose" })?,
                payee: self.payee_id.ok_or(Refusal::Missing { kind, field: "payee_id" })?,
                payer: self.payer_id,
                value: value.ok_or(Refusal::Missing { kind, field: "value" })?,
                processor: need(&self.processor, "processor")?,
                frequency: self.frequency.unwrap_or_default(),
                live_event: self.live_event.clone(),
                unlock: self.unlock.clone(),
            }),
            "refund" => Body::Refund {
                order_id: match (&self.order_id, &self.payment_id) {
                    (Some(_), Some(_)) => {
                        let message = "a refund is of an order or of a payment".to_owned();
                        return Err(Refusal::Invalid { field: "payment_id", message });
                    }
                    (order, payment) => need(&order.clone().or(payment.clone()), "order_id or payment_id")?,
                },
                of_payment: self.payment_id.is_some(),
                refund_id: need(&self.refund_id, "refund_id")?,
                value,
                items: self.checked_items()?,
            },
            _ => Body::Sale {
                order_id: need(&self.order_id, "order_id")?,
                value: value.ok_or(Refusal::Missing { kind, field: "value" })?,
                items: self.checked_items()?,
                click,
                coupon: self.coupon.clone(),
            },
        })
    }
}

impl NativeMoney {
    /// Reads an amount as shops write it, in major units such as `19.99`.
    ///
    /// # Errors
    /// When there is no such currency, or it is no amount of it.
    pub fn from_decimal(amount: &str, currency: &str) -> Result<Self, Refusal> {
        let read = Currency::new(currency).and_then(|currency| Money::from_decimal(amount, currency));
        let Money { amount_minor, currency } = read.map_err(bad_value)?;
        Ok(Self { amount_minor, currency: currency.to_string() })
    }

    fn accept(&self) -> Result<Money, Refusal> {
        let currency = Currency::new(&self.currency).map_err(bad_value)?;
        let amount_minor = check_amount(self.amount_minor).map_err(bad_value)?;
        if amount_minor < 0 {
            let message = "amount_minor is negative; a return is a refund, not a sale".to_owned();
            return Err(Refusal::Invalid { field: "value", message });
        }
        Ok(Money { amount_minor, currency })
    }
}

fn bad_value(error: MoneyError) -> Refusal {
    Refusal::Invalid { field: "value", message: error.to_string() }
}

fn known_kind(kind: &str) -> Result<&'static str, Refusal> {
    ["page", "track", "identify", "conversion", "sale", "payment", "refund"]
        .into_iter()
        .find(|known| *known == kind)
        .ok_or_else(|| Refusal::UnknownType(kind.chars().take(64).collect()))
}

fn depth_exceeds(value: &Value, limit: usize) -> bool {
    let Some(below) = limit.checked_sub(1) else { return true };
    match value {
        Value::Array(items) => items.iter().any(|item| depth_exceeds(item, below)),
        Value::Object(fields) => fields.values().any(|field| depth_exceeds(field, below)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
