//! Stripe's and Shopify's webhooks: signature first, then what it says.
//!
//! | webhook | becomes |
//! |---|---|
//! | Stripe `checkout.session.completed` (paid) | sale; token and user from its metadata `tcid`, `user_id`, else from `client_reference_id` |
//! | Stripe `charge.refunded` | refund of what the event says went back |
//! | Stripe `charge.dispute.closed` (lost) | refund, named after the dispute |
//! | Shopify `orders/paid` | sale, with its lines; token from the note attribute or landing page's `tcid` |
//! | Shopify `refunds/create` | refund, with its lines |
//! | Shopify `disputes/update` (a chargeback, lost or accepted) | refund, named after the dispute |
//! | anything else | answered, not recorded |

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::event::Item;
use domain::native::{NativeEvent, NativeMoney};
use domain::refusal::Refusal;
use hmac::{Hmac, Mac as _};
use runtime::clock::now_ms;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::caller::CallerAddress;
use crate::directory::Provider;
use crate::error::ApiError;
use crate::intake::body::read_body;
use crate::intake::sender::{Channel, Sender};
use crate::intake::{answer_with, record_taken, status_of, text};
use crate::server::App;

/// A signature is as old as this at most, or as far ahead. (Stripe's own
/// clients allow the same.)
const REPLAY_WINDOW_MS: i64 = 300_000;
/// Shopify goes on trying for this long, with the time of the first.
const SHOPIFY_WINDOW_MS: i64 = 48 * 60 * 60 * 1_000;

pub(crate) async fn stripe(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<CallerAddress>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(&app, caller, &workspace, &headers, body, Provider::Stripe).await
}

pub(crate) async fn shopify(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<CallerAddress>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(&app, caller, &workspace, &headers, body, Provider::Shopify).await
}

async fn take(
    app: &App,
    caller: CallerAddress,
    workspace: &str,
    headers: &HeaderMap,
    body: Body,
    provider: Provider,
) -> Result<Response, ApiError> {
    let hook = app.links.webhook(workspace, provider).await.map_err(|error| {
        tracing::error!(%error, "cannot look up a webhook's secret");
        ApiError::unavailable("directory_unavailable", "secrets cannot be looked up right now")
    })?;
    let Some(hook) = hook else {
        let message = "this workspace has no secret for this provider; set it with PUT /v1/webhooks";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_webhook", message));
    };
    let body = read_body(body, app.settings.max_body_bytes).await?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let genuine = match provider {
        Provider::Stripe => stripe_signature(header("stripe-signature"), &hook.secret, &body, now_ms()),
        Provider::Shopify => {
            let triggered = header("x-shopify-triggered-at");
            shopify_signature(header("x-shopify-hmac-sha256"), triggered, &hook.secret, &body, now_ms())
        }
    };
    genuine.map_err(|reason| ApiError::new(StatusCode::UNAUTHORIZED, reason.0, reason.1))?;
    let content: Value = serde_json::from_slice(&body).map_err(Refusal::from)?;
    let native = match provider {
        Provider::Stripe => of_stripe(&content),
        Provider::Shopify => of_shopify(header("x-shopify-topic"), &content),
    };
    let Some(native) = native? else { return Ok(Json(json!({ "recorded": false })).into_response()) };
    let sender = Sender::of(app, caller, headers, hook.tenant, Channel::Server).await;
    let result = record_taken(app, headers, &[sender.take(native)]).await.pop();
    let status = status_of(result.as_slice());
    Ok(answer_with(status, json!({ "recorded": status == StatusCode::OK, "result": result })))
}

/// Why a webhook is not believed: code and sentence.
type Doubt = (&'static str, &'static str);

const FORGED: Doubt = ("bad_signature", "the signature is not of this body and secret");
const TOO_OLD: Doubt = ("signature_too_old", "the signature's time is too far from now; it may be a replay");

fn mac(secret: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(secret.as_bytes()).expect("any length will do");
    for part in parts {
        mac.update(part);
    }
    mac
}

/// `t=seconds,v1=hex,…` over `seconds.body`; any of several `v1` will do.
fn stripe_signature(header: &str, secret: &str, body: &[u8], now_ms: i64) -> Result<(), Doubt> {
    let fields = || header.split(',').filter_map(|field| field.trim().split_once('='));
    let seconds = fields().find(|(name, _)| *name == "t").map(|(_, value)| value).ok_or(FORGED)?;
    let at_ms = seconds.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1_000)).ok_or(FORGED)?;
    let signed = fields().filter(|(name, _)| *name == "v1").filter_map(|(_, value)| hex::decode(value).ok());
    let mut genuine = false;
    for signature in signed {
        genuine |= mac(secret, &[seconds.as_bytes(), b".", body]).verify_slice(&signature).is_ok();
    }
    match genuine {
        false => Err(FORGED),
        true if now_ms.abs_diff(at_ms) > REPLAY_WINDOW_MS.unsigned_abs() => Err(TOO_OLD),
        true => Ok(()),
    }
}

/// Base64 over the body. The time is not signed; it only keeps an honest
/// replay out, and the order's number the rest.
fn shopify_signature(
    header: &str,
    triggered: &str,
    secret: &str,
    body: &[u8],
    now_ms: i64,
) -> Result<(), Doubt> {
    let signature = STANDARD.decode(header.trim()).map_err(|_not_base64| FORGED)?;
    mac(secret, &[body]).verify_slice(&signature).map_err(|_mismatch| FORGED)?;
    let triggered_ms = domain::timestamp::read_rfc3339(triggered);
    match triggered_ms {
        Some(at_ms) if now_ms.saturating_sub(at_ms) > SHOPIFY_WINDOW_MS => Err(TOO_OLD),
        _ => Ok(()),
    }
}

fn missing(kind: &'static str, field: &'static str) -> Refusal {
    Refusal::Missing { kind, field }
}

fn of_stripe(event: &Value) -> Result<Option<NativeEvent>, Refusal> {
    let object = &event["data"]["object"];
    // In whole seconds: it was before that second's end, and so was the click.
    let seconds = event["created"].as_i64();
    let at = seconds.and_then(|seconds| seconds.checked_mul(1_000)?.checked_add(999)).map(Value::from);
    let value = |amount: &Value| {
        let currency = object["currency"].as_str().map(str::to_ascii_uppercase)?;
        Some(NativeMoney { amount_minor: amount.as_i64()?, currency })
    };
    let native = NativeEvent { timestamp: at, ..NativeEvent::default() };
    match event["type"].as_str().unwrap_or_default() {
        "checkout.session.completed" if object["payment_status"] == "paid" => {
            let metadata = &object["metadata"];
            let reference = text(&object["client_reference_id"]);
            let tcid = text(&metadata["tcid"]).or_else(|| reference.filter(|text| text.len() > 64));
            let user_id = text(&metadata["user_id"]).or_else(|| text(&object["customer"]));
            Ok(Some(NativeEvent {
                kind: "sale".to_owned(),
                // A refund knows the payment, not the session.
                order_id: text(&object["payment_intent"]).or_else(|| text(&object["id"])),
                user_id: user_id.or_else(|| text(&object["id"])),
                tcid,
                value: value(&object["amount_total"]),
                ..native
            }))
        }
        "charge.refunded" => {
            // Refunds add up; each event says how much more it was.
            let before = event["data"]["previous_attributes"]["amount_refunded"].as_i64().unwrap_or_default();
            let now =
                object["amount_refunded"].as_i64().ok_or_else(|| missing("refund", "amount_refunded"))?;
            Ok(Some(NativeEvent {
                kind: "refund".to_owned(),
                order_id: text(&object["payment_intent"]).or_else(|| text(&object["id"])),
                refund_id: text(&event["id"]),
                value: value(&json!(now.saturating_sub(before))),
                ..native
            }))
        }
        // Money is gone for good once a dispute is lost; until then it may come
        // back, as it does when only asked about.
        "charge.dispute.closed" if object["status"] == "lost" => Ok(Some(NativeEvent {
            kind: "refund".to_owned(),
            order_id: text(&object["payment_intent"]).or_else(|| text(&object["charge"])),
            refund_id: text(&object["id"]),
            value: value(&object["amount"]),
            ..native
        })),
        _ => Ok(None),
    }
}

fn of_shopify(topic: &str, content: &Value) -> Result<Option<NativeEvent>, Refusal> {
    match topic {
        "orders/paid" => {
            let currency = content["currency"].as_str().unwrap_or_default();
            let token = content["note_attributes"]
                .as_array()
                .and_then(|attributes| attributes.iter().find(|attribute| attribute["name"] == "tcid"))
                .and_then(|attribute| text(&attribute["value"]))
                .or_else(|| query_parameter(content["landing_site"].as_str().unwrap_or_default(), "tcid"));
            let lines = content["line_items"].as_array().map(Vec::as_slice).unwrap_or_default();
            Ok(Some(NativeEvent {
                kind: "sale".to_owned(),
                order_id: text(&content["id"]),
                user_id: text(&content["customer"]["id"]).or_else(|| text(&content["id"])),
                tcid: token,
                coupon: text(&content["discount_codes"][0]["code"]).filter(|code| !code.is_empty()),
                timestamp: text(&content["processed_at"]).map(Value::from),
                value: Some(money(&content["total_price"], currency)?),
                items: Some(lines.iter().map(|line| item(line, currency)).collect::<Result<_, _>>()?),
                ..NativeEvent::default()
            }))
        }
        "refunds/create" => {
            let transactions = content["transactions"].as_array().map(Vec::as_slice).unwrap_or_default();
            let mut total: Option<NativeMoney> = None;
            for transaction in
                transactions.iter().filter(|one| one["kind"] == "refund" && one["status"] == "success")
            {
                let money =
                    money(&transaction["amount"], transaction["currency"].as_str().unwrap_or_default())?;
                let before = total.as_ref().map_or(0, |total| total.amount_minor);
                total =
                    Some(NativeMoney { amount_minor: before.saturating_add(money.amount_minor), ..money });
            }
            // Goods that came back, and no money.
            let Some(value) = total else { return Ok(None) };
            let lines = content["refund_line_items"].as_array().map(Vec::as_slice).unwrap_or_default();
            let line = |line: &Value| {
                let mut item = item(&line["line_item"], &value.currency)?;
                item.quantity = line["quantity"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
                Ok(item)
            };
            Ok(Some(NativeEvent {
                kind: "refund".to_owned(),
                order_id: text(&content["order_id"]),
                refund_id: text(&content["id"]),
                timestamp: text(&content["processed_at"]).map(Value::from),
                items: Some(lines.iter().map(line).collect::<Result<_, Refusal>>()?),
                value: Some(value),
                ..NativeEvent::default()
            }))
        }
        // An inquiry takes no money, and a dispute may be of no order.
        "disputes/update"
            if content["type"] == "chargeback"
                && (content["status"] == "lost" || content["status"] == "accepted")
                && !content["order_id"].is_null() =>
        {
            Ok(Some(NativeEvent {
                kind: "refund".to_owned(),
                order_id: text(&content["order_id"]),
                refund_id: text(&content["id"]).map(|id| format!("dispute-{id}")),
                value: Some(money(&content["amount"], content["currency"].as_str().unwrap_or_default())?),
                ..NativeEvent::default()
            }))
        }
        _ => Ok(None),
    }
}

fn query_parameter(address: &str, name: &str) -> Option<String> {
    let (_, query) = address.split_once('?')?;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

fn money(amount: &Value, currency: &str) -> Result<NativeMoney, Refusal> {
    let amount = text(amount).ok_or_else(|| missing("sale", "an amount"))?;
    NativeMoney::from_decimal(&amount, currency)
}

fn item(line: &Value, currency: &str) -> Result<Item, Refusal> {
    let sku = text(&line["sku"]).or_else(|| text(&line["variant_id"])).or_else(|| text(&line["id"]));
    Ok(Item {
        sku: sku.ok_or_else(|| missing("sale", "a line's sku"))?,
        quantity: line["quantity"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
        unit_price_minor: money(&line["price"], currency)?.amount_minor,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_test_secret";
    const NOW_MS: i64 = 1_800_000_000_000;

    fn stripe_header(seconds: i64, secret: &str, body: &[u8]) -> String {
        let mac = mac(secret, &[seconds.to_string().as_bytes(), b".", body]);
        format!("t={seconds},v1={},v0=00", hex::encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn stripes_signatures_are_checked() {
        let now = NOW_MS / 1_000;
        let good = stripe_header(now, SECRET, b"{}");
        for (header, body, expected) in [
            (good.clone(), b"{}".as_slice(), Ok(())),
            (stripe_header(now - 300, SECRET, b"{}"), b"{}", Ok(())),
            (stripe_header(now - 301, SECRET, b"{}"), b"{}", Err(TOO_OLD)),
            (stripe_header(now + 301, SECRET, b"{}"), b"{}", Err(TOO_OLD)),
            (good.clone(), b"{ }", Err(FORGED)),
            (stripe_header(now, "another", b"{}"), b"{}", Err(FORGED)),
            // Another time under the same signature.
            (good.replace(&now.to_string(), &(now - 1).to_string()), b"{}", Err(FORGED)),
            // While a secret is changed, two signatures stand there.
            (format!("t={now},v1=00,{}", good.split_once(',').unwrap().1), b"{}", Ok(())),
            (format!("t={now}"), b"{}", Err(FORGED)),
            (String::new(), b"{}", Err(FORGED)),
            (format!("t={},v1=zz", i64::MAX), b"{}", Err(FORGED)),
        ] {
            assert_eq!(stripe_signature(&header, SECRET, body, NOW_MS), expected, "{header}");
        }
    }

    #[test]
    fn shopifys_signatures_are_checked() {
        let sign = |secret: &str, body: &[u8]| STANDARD.encode(mac(secret, &[body]).finalize().into_bytes());
        let check =
            |header: &str, triggered: &str| shopify_signature(header, triggered, SECRET, b"{}", NOW_MS);
        assert_eq!(check(&sign(SECRET, b"{}"), ""), Ok(()));
        assert_eq!(check(&sign(SECRET, b"{}"), "2027-01-15T07:00:00.1Z"), Ok(()));
        assert_eq!(check(&sign(SECRET, b"{}"), "2027-01-12T07:00:00Z"), Err(TOO_OLD));
        for forged in [sign("another", b"{}"), sign(SECRET, b"{ }"), "???".to_owned(), String::new()] {
            assert_eq!(check(&forged, ""), Err(FORGED), "{forged}");
        }
    }

    #[test]
    fn orders_become_sales_and_refunds_refunds() {
        let session = json!({ "type": "checkout.session.completed", "id": "evt_1", "created": 1_800_000_000, "data": { "object": {
            "id": "cs_1", "payment_intent": "pi_1", "payment_status": "paid", "amount_total": 5_431, "currency": "usd",
            "metadata": { "tcid": "T" }, "customer": "cus_1" } } });
        let sale = of_stripe(&session).unwrap().unwrap();
        assert_eq!(
            (sale.order_id.as_deref(), sale.tcid.as_deref(), sale.user_id.as_deref()),
            (Some("pi_1"), Some("T"), Some("cus_1"))
        );
        assert_eq!(sale.value, Some(NativeMoney { amount_minor: 5_431, currency: "USD".to_owned() }));
        let refunded = json!({ "type": "charge.refunded", "id": "evt_2", "data": {
            "object": { "id": "ch_1", "payment_intent": "pi_1", "amount_refunded": 3_000, "currency": "usd" },
            "previous_attributes": { "amount_refunded": 1_000 } } });
        let refund = of_stripe(&refunded).unwrap().unwrap();
        assert_eq!((refund.order_id.as_deref(), refund.refund_id.as_deref()), (Some("pi_1"), Some("evt_2")));
        assert_eq!(refund.value.unwrap().amount_minor, 2_000);
        assert_eq!(of_stripe(&json!({ "type": "invoice.paid" })).unwrap(), None);

        let order = json!({ "id": 820_982_911, "currency": "USD", "total_price": "54.31", "customer": { "id": 115 },
            "landing_site": "/products/x?tcid=T&utm_source=a", "processed_at": "2027-01-15T08:00:00-05:00",
            "line_items": [{ "sku": "s", "quantity": 2, "price": "27.15" }, { "sku": "", "variant_id": 7, "quantity": 1, "price": "0.01" }] });
        let sale = of_shopify("orders/paid", &order).unwrap().unwrap();
        assert_eq!(
            (sale.order_id.as_deref(), sale.tcid.as_deref(), sale.user_id.as_deref()),
            (Some("820982911"), Some("T"), Some("115"))
        );
        assert_eq!(sale.value.unwrap().amount_minor, 5_431);
        assert_eq!(sale.items.unwrap()[1], Item { sku: "7".to_owned(), quantity: 1, unit_price_minor: 1 });
        let returned = json!({ "id": 1, "order_id": 820_982_911,
            "transactions": [
                { "kind": "refund", "status": "success", "amount": "10.00", "currency": "USD" },
                { "kind": "refund", "status": "failure", "amount": "99.00", "currency": "USD" },
                { "kind": "refund", "status": "success", "amount": "0.50", "currency": "USD" }],
            "refund_line_items": [{ "quantity": 1, "line_item": { "sku": "s", "quantity": 2, "price": "27.15" } }] });
        let refund = of_shopify("refunds/create", &returned).unwrap().unwrap();
        assert_eq!((refund.value.unwrap().amount_minor, refund.items.unwrap()[0].quantity), (1_050, 1));
        assert_eq!(of_shopify("products/update", &json!({})).unwrap(), None);
    }

    #[test]
    fn chargebacks_are_refunds_once_they_are_lost() {
        for (status, is_recorded) in [("lost", true), ("won", false), ("warning_closed", false)] {
            let dispute = json!({ "type": "charge.dispute.closed", "id": "evt_3", "created": 1_800_000_000,
                "data": { "object": { "id": "du_1", "charge": "ch_1", "payment_intent": "pi_1", "amount": 5_431,
                    "currency": "usd", "status": status } } });
            let refund = of_stripe(&dispute).unwrap();
            assert_eq!(refund.is_some(), is_recorded, "{status}");
            if let Some(refund) = refund {
                let named = (refund.order_id.as_deref(), refund.refund_id.as_deref());
                assert_eq!(named, (Some("pi_1"), Some("du_1")));
                assert_eq!(
                    refund.value,
                    Some(NativeMoney { amount_minor: 5_431, currency: "USD".to_owned() })
                );
            }
        }
        let opened = json!({ "type": "charge.dispute.created", "data": { "object": { "id": "du_1", "status": "needs_response" } } });
        assert_eq!(of_stripe(&opened).unwrap(), None);

        let dispute = |status: &str| {
            json!({ "id": 285_332_461, "order_id": 820_982_911, "type": "chargeback", "amount": "11.50",
                "currency": "USD", "status": status })
        };
        let refund = of_shopify("disputes/update", &dispute("lost")).unwrap().unwrap();
        let named = (refund.order_id.as_deref(), refund.refund_id.as_deref());
        assert_eq!(named, (Some("820982911"), Some("dispute-285332461")));
        assert_eq!(refund.value.unwrap().amount_minor, 1_150);
        assert!(of_shopify("disputes/update", &dispute("accepted")).unwrap().is_some());
        assert_eq!(of_shopify("disputes/update", &dispute("under_review")).unwrap(), None);
        for (field, value) in [("type", json!("inquiry")), ("order_id", Value::Null)] {
            let mut other = dispute("lost");
            other[field] = value;
            assert_eq!(of_shopify("disputes/update", &other).unwrap(), None, "{field}");
        }
    }
}
