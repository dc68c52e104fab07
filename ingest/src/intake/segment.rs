//! Segment's HTTP tracking API, so that Segment's clients send here as they
//! are. See <https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/>.
//!
//! | Segment | here |
//! |---|---|
//! | `anonymousId`, `userId`, `messageId` | visitor, user, id |
//! | `page`, `screen` | page |
//! | `track` `Order Completed` with `order_id`, `total` or `revenue`, `currency` | sale, with its `products` |
//! | `track` `Order Refunded` with `order_id` | refund |
//! | any other `track`, `group`, `alias` | track |
//! | `identify` | identify |
//! | `properties.tcid` | the click's token |

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use domain::event::Item;
use domain::native::{NativeEvent, NativeMoney};
use domain::refusal::Refusal;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::caller::{CallerAddress, key_of};
use crate::error::ApiError;
use crate::intake::body::read_body;
use crate::intake::native::{MAX_BATCH, MAX_EVENT_BYTES};
use crate::intake::sender::Sender;
use crate::intake::{NotTaken, Taken, answer_with, record_taken, status_of, text};
use crate::server::App;

/// A message, or a batch of them. Whatever else a client says of itself is
/// left out.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(rename = "type")]
    kind: Option<String>,
    message_id: Option<String>,
    anonymous_id: Option<String>,
    user_id: Option<Value>,
    previous_id: Option<Value>,
    group_id: Option<Value>,
    event: Option<String>,
    name: Option<String>,
    #[serde(default)]
    properties: Option<Map<String, Value>>,
    #[serde(default)]
    traits: Option<Map<String, Value>>,
    #[serde(default)]
    context: Option<Context>,
    timestamp: Option<Value>,
    original_timestamp: Option<Value>,
    sent_at: Option<Value>,
    write_key: Option<String>,
    batch: Option<Vec<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    ip: Option<String>,
    user_agent: Option<String>,
    #[serde(default)]
    page: Option<Page>,
}

#[derive(Debug, Default, Deserialize)]
struct Page {
    url: Option<String>,
    title: Option<String>,
    referrer: Option<String>,
}

pub(crate) async fn track(
    state: State<Arc<App>>,
    caller: Extension<CallerAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(state, caller, headers, body, Some("track")).await
}

pub(crate) async fn page(
    state: State<Arc<App>>,
    caller: Extension<CallerAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(state, caller, headers, body, Some("page")).await
}

pub(crate) async fn identify(
    state: State<Arc<App>>,
    caller: Extension<CallerAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(state, caller, headers, body, Some("identify")).await
}

/// `/v1/batch`, where each message says what it is.
pub(crate) async fn batch(
    state: State<Arc<App>>,
    caller: Extension<CallerAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(state, caller, headers, body, None).await
}

async fn take(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<CallerAddress>,
    headers: HeaderMap,
    body: Body,
    kind: Option<&str>,
) -> Result<Response, ApiError> {
    let body = read_body(body, app.settings.max_body_bytes).await?;
    let mut whole: Message = serde_json::from_slice(&body).map_err(Refusal::from)?;
    let key = key_of(&headers).or(whole.write_key.take());
    let sender = Sender::with_key(&app, caller, &headers, key.as_deref()).await?;
    let sent_at = whole.sent_at.clone();
    let messages = match whole.batch.take() {
        Some(messages) if kind.is_none() => messages.into_iter().map(read).collect(),
        None if kind.is_some() => vec![Ok(whole)],
        _ => {
            let message =
                "send messages as `batch` to /v1/batch, one alone to /v1/track, /v1/page or /v1/identify";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_shape", message));
        }
    };
    if messages.len() > MAX_BATCH {
        let message = format!("{} messages in one batch; at most {MAX_BATCH}", messages.len());
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "batch_too_large", message));
    }
    let taken: Vec<Result<Taken, NotTaken>> = messages
        .into_iter()
        .map(|message: Result<Message, Refusal>| sender.take(message?.native(kind, sent_at.as_ref())?))
        .collect();
    let results = record_taken(&app, &headers, &taken).await;
    // Of a batch, what is wrong with one message must not keep a client from
    // sending the others on.
    let status = match status_of(&results) {
        StatusCode::BAD_REQUEST if kind.is_none() => StatusCode::OK,
        status => status,
    };
    Ok(answer_with(status, json!({ "success": status == StatusCode::OK, "results": results })))
}

fn read(message: Value) -> Result<Message, Refusal> {
    if message.to_string().len() > MAX_EVENT_BYTES {
        return Err(Refusal::TooLarge { field: "the message", limit: MAX_EVENT_BYTES });
    }
    Ok(serde_json::from_value(message)?)
}

impl Message {
    /// As we write it. `kind` is the address's, else the message's own.
    fn native(self, kind: Option<&str>, sent_at: Option<&Value>) -> Result<NativeEvent, Refusal> {
        let kind = kind.map(ToOwned::to_owned).or(self.kind).unwrap_or_default();
        let mut properties = self.properties.unwrap_or_default();
        let context = self.context.unwrap_or_default();
        let page = context.page.unwrap_or_default();
        let mut native = NativeEvent {
            id: self.message_id.filter(|id| !id.is_empty()),
            visitor_id: self.anonymous_id.filter(|id| !id.is_empty()),
            user_id: self.user_id.as_ref().and_then(text),
            tcid: take_text(&mut properties, "tcid"),
            user_agent: context.user_agent.filter(|text| !text.is_empty()),
            ip: context.ip.filter(|ip| !ip.is_empty() && ip != "0.0.0.0"),
            referrer: page.referrer.filter(|text| !text.is_empty()),
            // `originalTimestamp` is the client's clock, and so is `sentAt`;
            // their difference says how long ago it was.
            sent_at: sent_at
                .filter(|_| self.original_timestamp.is_some() || self.timestamp.is_some())
                .cloned(),
            timestamp: self.original_timestamp.or(self.timestamp),
            ..NativeEvent::default()
        };
        match kind.as_str() {
            "page" | "screen" => {
                "page".clone_into(&mut native.kind);
                native.url = take_text(&mut properties, "url").or(page.url).or(self.name);
                native.title =
                    take_text(&mut properties, "title").or(page.title).filter(|text| !text.is_empty());
                native.properties = some(properties);
            }
            "identify" => {
                "identify".clone_into(&mut native.kind);
                native.properties = some(self.traits.unwrap_or_default());
            }
            "track" => set_track(&mut native, self.event, properties)?,
            "group" | "alias" => {
                let mut traits = self.traits.unwrap_or_default();
                let other = if kind == "group" {
                    ("groupId", self.group_id)
                } else {
                    ("previousId", self.previous_id)
                };
                traits.extend(other.1.map(|id| (other.0.to_owned(), id)));
                "track".clone_into(&mut native.kind);
                native.name = Some(kind);
                native.properties = some(traits);
            }
            _ => native.kind = kind,
        }
        Ok(native)
    }
}

/// What Segment's e-commerce events are, and anything else that was tracked.
fn set_track(
    native: &mut NativeEvent,
    event: Option<String>,
    mut properties: Map<String, Value>,
) -> Result<(), Refusal> {
    let order = properties.get("order_id").and_then(text);
    let amount = ["total", "revenue", "value"].iter().find_map(|name| properties.get(*name).and_then(text));
    let currency = properties.get("currency").and_then(Value::as_str).map(str::to_ascii_uppercase);
    match (event.as_deref(), order, amount, currency) {
        (Some("Order Completed"), Some(order), Some(amount), Some(currency)) => {
            "sale".clone_into(&mut native.kind);
            native.items = items(properties.get("products"), &currency)?;
            native.order_id = Some(order);
            native.coupon = properties.get("coupon").and_then(text).filter(|code| !code.is_empty());
            native.value = Some(NativeMoney::from_decimal(&amount, &currency)?);
        }
        (Some("Order Refunded"), Some(order), amount, currency) => {
            "refund".clone_into(&mut native.kind);
            native.refund_id = native.id.clone().or_else(|| Some(order.clone()));
            native.order_id = Some(order);
            let value = amount.zip(currency);
            native.value =
                value.map(|(amount, currency)| NativeMoney::from_decimal(&amount, &currency)).transpose()?;
        }
        (event, ..) => {
            "track".clone_into(&mut native.kind);
            native.name = event.map(ToOwned::to_owned);
            properties.remove("tcid");
            native.properties = some(properties);
        }
    }
    Ok(())
}

fn some(properties: Map<String, Value>) -> Option<BTreeMap<String, Value>> {
    (!properties.is_empty()).then(|| properties.into_iter().collect())
}

/// A text out of the properties, which it then no longer is one of.
fn take_text(properties: &mut Map<String, Value>, name: &str) -> Option<String> {
    match properties.get(name) {
        Some(Value::String(text)) if !text.is_empty() => {
            let text = text.clone();
            properties.remove(name);
            Some(text)
        }
        _ => None,
    }
}

fn items(products: Option<&Value>, currency: &str) -> Result<Option<Vec<Item>>, Refusal> {
    let Some(Value::Array(products)) = products else { return Ok(None) };
    let item = |product: &Value| {
        let sku = product.get("sku").and_then(text).or_else(|| product.get("product_id").and_then(text));
        let quantity = product.get("quantity").and_then(Value::as_u64).unwrap_or(1);
        // A product without number or price says nothing that could be paid.
        let (Some(sku), Some(price)) = (sku, product.get("price").and_then(text)) else { return Ok(None) };
        let unit_price_minor = NativeMoney::from_decimal(&price, currency)?.amount_minor;
        Ok(Some(Item { sku, quantity: u32::try_from(quantity).unwrap_or(u32::MAX), unit_price_minor }))
    };
    let items: Result<Vec<Option<Item>>, Refusal> = products.iter().map(item).collect();
    Ok(Some(items?.into_iter().flatten().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(message: Value) -> Result<NativeEvent, Refusal> {
        read(message)?.native(None, Some(&json!("2026-01-01T00:00:05Z")))
    }

    #[test]
    fn messages_become_events() {
        let page = native(json!({ "type": "page", "anonymousId": "a", "messageId": "m", "name": "Home",
            "properties": { "url": "https://x.example/", "title": "T", "k": 1 },
            "context": { "userAgent": "UA", "ip": "203.0.113.9", "page": { "referrer": "https://r.example/" },
                "library": { "name": "x" } },
            "timestamp": "2026-01-01T00:00:00Z", "integrations": {} }))
        .unwrap();
        assert_eq!(
            (page.kind.as_str(), page.url.as_deref(), page.title.as_deref()),
            ("page", Some("https://x.example/"), Some("T"))
        );
        assert_eq!((page.id.as_deref(), page.visitor_id.as_deref()), (Some("m"), Some("a")));
        assert_eq!((page.user_agent.as_deref(), page.ip.as_deref()), (Some("UA"), Some("203.0.113.9")));
        assert_eq!(page.properties.unwrap().len(), 1);
        assert_eq!(page.sent_at, Some(json!("2026-01-01T00:00:05Z")));
        let identify =
            native(json!({ "type": "identify", "userId": 42, "traits": { "plan": "pro" } })).unwrap();
        assert_eq!((identify.kind.as_str(), identify.user_id.as_deref()), ("identify", Some("42")));
        let group = native(json!({ "type": "group", "userId": "u", "groupId": "g", "traits": {} })).unwrap();
        assert_eq!(
            (group.name.as_deref(), group.properties.unwrap()["groupId"].as_str()),
            (Some("group"), Some("g"))
        );
        assert_eq!(native(json!({ "type": "dance" })).unwrap().kind, "dance");
    }

    #[test]
    fn orders_become_sales_to_the_cent() {
        let sale =
            native(json!({ "type": "track", "event": "Order Completed", "userId": "u", "properties": {
            "order_id": "A-1", "total": 54.31, "currency": "usd", "tcid": "T",
            "products": [{ "sku": "s", "price": 27.15, "quantity": 2 }, { "name": "no number" }] } }))
            .unwrap();
        assert_eq!(
            (sale.kind.as_str(), sale.order_id.as_deref(), sale.tcid.as_deref()),
            ("sale", Some("A-1"), Some("T"))
        );
        assert_eq!(sale.value, Some(NativeMoney { amount_minor: 5_431, currency: "USD".to_owned() }));
        assert_eq!(sale.items.unwrap(), [Item { sku: "s".to_owned(), quantity: 2, unit_price_minor: 2_715 }]);
        let refund = native(json!({ "type": "track", "event": "Order Refunded", "messageId": "m",
            "properties": { "order_id": "A-1", "total": "10.00", "currency": "USD" } }))
        .unwrap();
        assert_eq!((refund.kind.as_str(), refund.refund_id.as_deref()), ("refund", Some("m")));
        // Half a cent is nobody's.
        let broken = native(json!({ "type": "track", "event": "Order Completed", "userId": "u",
            "properties": { "order_id": "A-1", "total": 1.005, "currency": "USD" } }));
        assert_eq!(broken.unwrap_err().code(), "invalid_field");
        // Without an order's number it is something that happened.
        let plain = native(json!({ "type": "track", "event": "Order Completed", "userId": "u" })).unwrap();
        assert_eq!((plain.kind.as_str(), plain.name.as_deref()), ("track", Some("Order Completed")));
    }

    proptest::proptest! {
        #[test]
        fn any_json_gets_an_answer(text in ".{0,100}") {
            for message in [json!({ "type": text }), json!({ "type": "track", "event": text, "properties": { "total": text } })] {
                if let Err(refusal) = native(message) {
                    assert!(!refusal.to_string().is_empty());
                }
            }
        }
    }
}
