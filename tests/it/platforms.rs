//! The five platforms' policies, from event to wallet, with amounts worked out
//! by hand.

use serde_json::{Value, json};
use tests::{Stack, World};

const FAR_MS: i64 = 400 * 24 * 60 * 60 * 1_000;

/// Pending and available.
async fn wallet(world: &World) -> anyhow::Result<(i64, i64)> {
    let wallet = world.report(&format!("/v1/wallets/{}", world.creator)).await?;
    let minor = |field: &str| wallet[field].as_i64().unwrap();
    Ok((minor("pending_minor"), minor("available_minor")))
}

fn item(sku: &str, quantity: u32, unit_price_minor: i64) -> Value {
    json!({ "sku": sku, "quantity": quantity, "unit_price_minor": unit_price_minor })
}

/// OROS: a business pays each sale out of its budget, the platform keeps 10 %.
#[tokio::test(flavor = "multi_thread")]
async fn oros_pays_actions_until_the_budget_is_used_up() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "oros").await?;
    let campaign = world.campaign("sale", 333, 1_000).await?;
    // 10 % of 3.33 is 33.3 cents: 33, so 300 for the creator; three fit.
    for order in 0..4 {
        let click = world.click(&campaign.code, &format!("buyer-{order:04}")).await?;
        let value = json!({ "amount_minor": 2_000, "currency": "USD" });
        let sale = json!({ "order_id": order.to_string(), "value": value, "tcid": click.token });
        world.accepted("/v1/sales", &sale).await?;
    }
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (900, 0));
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    assert_eq!(answer["campaign"]["remaining_budget_minor"], 1);
    assert_eq!(
        answer["outcomes"],
        json!([
            { "status": "posted", "reason": null, "count": 3 },
            { "status": "rejected_budget", "reason": "budget_exhausted", "count": 1 },
        ])
    );
    stack.reconcile()
}

/// Creator commerce: a share of each article at its own rate; no fee; returns
/// claw back.
#[tokio::test(flavor = "multi_thread")]
async fn creator_commerce_pays_a_share_of_each_article() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "commerce").await?;
    let pay = json!({ "kind": "percent_of_items", "bps": 1_000, "by_sku": { "book": 500, "gift": 0 } });
    let terms = json!({ "pay": pay, "fee_bps": 0 });
    let campaign = world.campaign_with("sale", 100_000, &terms).await?;
    let sell = async |order: &str, visitor: &str, value_minor: i64, currency: &str, items: Value| {
        let click = world.click(&campaign.code, visitor).await?;
        let value = json!({ "amount_minor": value_minor, "currency": currency });
        let sale = json!({ "order_id": order, "value": value, "items": items, "tcid": click.token });
        world.accepted("/v1/sales", &sale).await
    };
    // 5 % of 3 × 11.10 = 1.665 → 1.67; nothing; 10 % of 14.95 = 1.495 → 1.50.
    let basket = json!([item("book", 3, 1_110), item("gift", 1, 9_999), item("mug", 1, 1_495)]);
    sell("O-1", "buyer-0001", 14_824, "USD", basket).await?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (317, 0));
    // Without a list, 10 % of the order: 0.005 → 0.01.
    sell("O-2", "buyer-0002", 5, "USD", json!([])).await?;
    // Too little to be a cent; another currency.
    let small = sell("O-3", "buyer-0003", 4, "USD", json!([])).await?;
    // By a coupon that takes all of the price off.
    let coupon = json!({ "code": "free", "campaign_id": campaign.id, "creator_id": world.creator });
    world.control("/v1/coupons", &coupon).await?;
    let euros = sell("O-4", "buyer-0004", 5_000, "EUR", json!([])).await?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (318, 0));
    // A coupon counts from four seconds after it was made.
    tokio::time::sleep(std::time::Duration::from_millis(4_500)).await;
    let value = json!({ "amount_minor": 0, "currency": "USD" });
    let free = json!({ "order_id": "O-6", "value": value, "coupon": "FREE", "visitor_id": "a stranger" });
    let free = world.accepted("/v1/sales", &free).await?;
    stack.settle()?;
    for (event, reason) in
        [(small, "share_too_small"), (euros, "currency_mismatch"), (free, "share_too_small")]
    {
        let explained = world.report(&format!("/v1/conversions/{event}/explain")).await?;
        assert_eq!(explained["legs"][0]["reason"], reason, "{explained}");
    }
    // A third of the order comes back: 317 × 4941 ⁄ 14824 = 105.66 → 106.
    let refund = json!({ "order_id": "O-1", "refund_id": "1", "user_id": "the-shop",
        "value": { "amount_minor": 4_941, "currency": "USD" } });
    world.accepted("/v1/refunds", &refund).await?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (212, 0));
    processors::wallets::release_due(&stack.pool().await?, runtime::clock::now_ms() + FAR_MS).await?;
    assert_eq!(wallet(&world).await?, (0, 212));
    statements(&world, &sell("O-5", "buyer-0005", 10, "USD", json!([])).await?.to_string(), &stack).await?;
    stack.reconcile()
}

/// 3.17 and 0.01 were earned, 1.06 given back, 2.00 paid; then 0.01 is earned,
/// which is on the next statement.
async fn statements(world: &World, later: &str, stack: &Stack) -> anyhow::Result<()> {
    let body =
        json!({ "creator_id": world.creator, "amount_minor": 200, "method": "paypal", "external_id": "w-1" });
    let made = world.control("/v1/withdrawals", &body).await?;
    let withdrawal = format!("/v1/withdrawals/{}", made["withdrawal"]["id"].as_str().unwrap());
    for step in ["approve", "complete"] {
        world.control(&format!("{withdrawal}/{step}"), &json!({})).await?;
    }
    // Of a moment before the later sale: it happened after what was settled.
    let sale = world.report(&format!("/v1/conversions/{later}/explain")).await;
    assert!(sale.is_err(), "it is not settled yet");
    let before = "2026-01-01";
    let early = json!({ "creator_id": world.creator, "before": before });
    let empty = world.control("/v1/statements", &early).await?;
    assert_eq!(
        (empty["statement"]["opening_minor"].as_i64(), empty["lines"].as_array().map(Vec::len)),
        (Some(0), Some(0))
    );
    let now =
        |ms: i64| json!({ "creator_id": world.creator, "before": rfc3339(runtime::clock::now_ms() + ms) });
    assert!(world.control("/v1/statements", &now(60_000)).await.is_err(), "the period is not over");
    stack.settle()?;
    let body = now(0);
    let first = world.control("/v1/statements", &body).await?;
    let mut lines: Vec<(&str, i64)> = first["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["kind"].as_str().unwrap(), line["amount_minor"].as_i64().unwrap()))
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, [("clawback", -106), ("credit", 1), ("credit", 1), ("credit", 317), ("paid", -200)]);
    let statement = &first["statement"];
    let closing =
        |statement: &Value| (statement["opening_minor"].as_i64(), statement["closing_minor"].as_i64());
    assert_eq!(closing(statement), (Some(0), Some(13)));
    assert_eq!(world.control("/v1/statements", &body).await?, first, "issued once");
    assert!(world.control("/v1/statements", &early).await.is_ok(), "issued already");
    let between = json!({ "creator_id": world.creator, "before": "2026-02-01" });
    assert!(world.control("/v1/statements", &between).await.is_err(), "a later one is there");
    let path = format!("/v1/statements/{}", statement["id"].as_str().unwrap());
    for (format, has) in
        [("csv", "credit,\"sale "), ("html", "<b>Closing balance</b></td><td class=n><b>0.13</b>")]
    {
        let page = world.text(&format!("{path}?format={format}")).await?;
        assert!(page.contains(has), "{page}");
    }
    let next = world.control("/v1/statements", &now(0)).await?;
    assert_eq!(closing(&next["statement"]), (Some(13), Some(13)));
    Ok(())
}

/// A moment as clients write it.
fn rfc3339(at_ms: i64) -> String {
    let day = domain::timestamp::day(at_ms);
    let (seconds, ms) = (at_ms.rem_euclid(86_400_000) / 1_000, at_ms.rem_euclid(1_000));
    format!("{day}T{:02}:{:02}:{:02}.{ms:03}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// A share of what a conversion is worth; bad rules are refused.
#[tokio::test(flavor = "multi_thread")]
async fn shares_of_an_order_round_halves_up_and_split_exactly() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "shares").await?;
    let pay = json!({ "kind": "percent_of_order", "bps": 1_500 });
    let terms = json!({ "pay": pay, "fee_bps": 0, "model": { "name": "linear" } });
    let campaign = world.campaign_with("sale", 100_000, &terms).await?;
    for code in ["share-2", "share-3"] {
        world.link(&campaign, code, &json!({})).await?;
    }
    for code in [campaign.code.as_str(), "share-2", "share-3"] {
        world.click(code, "buyer-0001").await?;
    }
    // 15 % of 6.67 is 1.0005: 100 among three clicks: 34, 33, 33.
    let value = json!({ "amount_minor": 667, "currency": "USD" });
    let sale = json!({ "order_id": "O-1", "value": value, "visitor_id": "buyer-0001" });
    let sale = world.accepted("/v1/sales", &sale).await?;
    stack.settle()?;
    let explained = world.report(&format!("/v1/conversions/{sale}/explain")).await?;
    let mut parts: Vec<i64> = explained["legs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|leg| leg["payout"]["gross_minor"].as_i64().unwrap())
        .collect();
    parts.sort_unstable();
    assert_eq!(parts, [33, 33, 34]);
    for (objective, terms, field) in [
        ("sale", json!({}), "pay"),
        ("sale", json!({ "payout_minor": 5, "pay": { "kind": "percent_of_order", "bps": 1 } }), "pay"),
        ("sale", json!({ "payout_minor": 0 }), "pay"),
        ("sale", json!({ "pay": { "kind": "percent_of_order", "bps": 10_001 } }), "pay"),
        ("sale", json!({ "pay": { "kind": "percent_of_order", "bps": 10, "cap": 5 } }), "cap"),
        ("click", json!({ "pay": { "kind": "percent_of_order", "bps": 10 } }), "pay"),
    ] {
        let refused = world.campaign_with(objective, 0, &terms).await;
        let message = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("422") && message.contains(field), "{terms}: {message}");
    }
    stack.reconcile()
}
