//! The five platforms' policies, from event to wallet, with amounts worked out
//! by hand.

use domain::timestamp::rfc3339;
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

/// OROS, its supporters: tips, boosts, sales inside live events. The platform
/// keeps 10 % of each.
#[tokio::test(flavor = "multi_thread")]
async fn oros_supporters_tip_boost_and_buy_live() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "oros").await?;
    let fan = world.add_creator("fan").await?;
    let terms = payment_terms(&world, &json!({ "boost_reward_bps": 250 })).await?;
    let pay = async |order: &str, purpose: &str, amount_minor: i64, more: Value| {
        let mut payment = payment(&world.creator, order, purpose, "stripe", amount_minor);
        payment["payer_id"] = json!(fan);
        payment.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.accepted("/v1/payments", &payment).await
    };
    // 10 % of 5.00; 2.9 % of 5.00 is 14.5 cents → 0.15, + 0.30: 4.05 are left.
    let unlock = json!({ "content": "post-1", "minimum_minor": 500 });
    let tip = pay("T-1", "tip", 500, json!({ "unlock": unlock })).await?;
    // A cent less opens nothing: 0.50, 14.471 → 0.14, + 0.30: 4.05.
    let small = pay("T-2", "tip", 499, json!({ "unlock": unlock, "frequency": "monthly" })).await?;
    // 10 % of 19.95 is 1.995 → 2.00; 57.855 → 0.58, + 0.30: 17.07.
    pay("L-1", "live_sale", 1_995, json!({ "live_event": "friday" })).await?;
    // The same again, under whatever id, is the same.
    pay("T-1", "tip", 500, json!({ "unlock": unlock, "id": "another" })).await?;
    // Nobody of that id is a creator here.
    let mut lost = payment(&fan, "T-9", "tip", "stripe", 500);
    lost["payee_id"] = json!(world.business);
    world.accepted("/v1/payments", &lost).await?;
    // The processor's part alone is more.
    let tiny = pay("T-3", "tip", 31, json!({})).await?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (405 + 405 + 1_707, 0));
    for (event, unlocked, version) in [(tip, json!("post-1"), terms), (small, Value::Null, terms)] {
        let explained = world.report(&format!("/v1/conversions/{event}/explain")).await?;
        let basis = &explained["legs"][0]["attribution"];
        assert_eq!((&basis["payment"]["unlocked"], &basis["terms_version"]), (&unlocked, &json!(version)));
    }
    let refused = world.report(&format!("/v1/conversions/{tiny}/explain")).await?;
    assert_eq!(refused["legs"][0]["reason"], "fees_exceed_amount");
    let lost = world.report("/v1/conversions/T-9/explain").await?;
    assert_eq!(
        (&lost["legs"][0]["reason"], &lost["legs"][0]["payout"]),
        (&json!("unknown_payee"), &Value::Null)
    );
    // A boost of 9.99: 2.5 % is 24.975 → 0.25 to the fan, 9.74 to the campaign,
    // which pays one action of 9.74.
    let campaign = world.campaign("sale", 974, 0).await?;
    let boosts = format!("/v1/campaigns/{}/boosts", campaign.id);
    let boost = json!({ "external_id": "B-1", "amount_minor": 999, "supporter_id": fan });
    for _ in 0..2 {
        let made = world.control(&boosts, &boost).await?;
        assert_eq!(made["funding"]["boost"]["reward_minor"], 25);
    }
    let other = json!({ "external_id": "B-1", "amount_minor": 998, "supporter_id": fan });
    assert!(world.control(&boosts, &other).await.is_err(), "another boost of that number");
    let stranger = json!({ "external_id": "B-2", "amount_minor": 9, "supporter_id": world.workspace });
    assert!(world.control(&boosts, &stranger).await.is_err(), "no such supporter");
    for order in ["1", "2"] {
        let click = world.click(&campaign.code, &format!("buyer-{order}")).await?;
        let value = json!({ "amount_minor": 2_000, "currency": "USD" });
        let sale = json!({ "order_id": order, "value": value, "tcid": click.token });
        world.accepted("/v1/sales", &sale).await?;
    }
    stack.settle()?;
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    assert_eq!(answer["campaign"]["total_budget_minor"], 974);
    assert_eq!(answer["outcomes"][1]["reason"], "budget_exhausted", "{answer}");
    // 9.74 less 97.4 cents → 8.77.
    assert_eq!(wallet(&world).await?, (405 + 405 + 1_707 + 877, 0));
    let reward = statement(&world, &fan).await?;
    assert_eq!(reward, [("credit".to_owned(), 25)]);
    // The fan shares a link, and gets 15 % of what the creator's action pays, on
    // top: of 9.74 that is 146.1 cents → 1.46, less 14.6 cents → 0.15: 1.31. Of
    // 13.00, 1.80 are left, too little for another.
    let shared = json!({ "payout_minor": 974, "share_bps": 1_500 });
    let shared = world.campaign_with("sale", 1_300, &shared).await?;
    world.link(&shared, "shared-by-fan", &json!({ "supporter_id": fan })).await?;
    let error = world.link(&shared, "own", &json!({ "supporter_id": world.creator })).await.unwrap_err();
    assert!(error.to_string().contains("supporter_id"), "{error}");
    let mut sales = Vec::new();
    for order in ["S-1", "S-2"] {
        let click = world.click("shared-by-fan", &format!("buyer-{order}")).await?;
        let value = json!({ "amount_minor": 2_000, "currency": "USD" });
        let sale = json!({ "order_id": order, "value": value, "tcid": click.token });
        sales.push(world.accepted("/v1/sales", &sale).await?);
        stack.settle()?;
    }
    assert_eq!(wallet(&world).await?, (405 + 405 + 1_707 + 877 + 877, 0));
    let fans =
        async || anyhow::Ok(world.report(&format!("/v1/wallets/{fan}")).await?["pending_minor"].clone());
    assert_eq!(fans().await?, 25 + 131);
    let legs = async |sale: &uuid::Uuid| {
        let explained = world.report(&format!("/v1/conversions/{sale}/explain")).await?;
        let legs = explained["legs"].as_array().expect("legs").clone();
        anyhow::Ok(
            legs.into_iter()
                .map(|leg| {
                    json!([
                        leg["creator_id"],
                        leg["status"],
                        leg["payout"]["gross_minor"],
                        leg["attribution"]["sharing"]["bps"]
                    ])
                })
                .collect::<Vec<_>>(),
        )
    };
    let (creator, fan_id) = (&world.creator, &fan);
    let paid = [json!([creator, "posted", 974, null]), json!([fan_id, "posted", 146, 1_500])];
    assert_eq!(legs(&sales[0]).await?, paid);
    // The creator's part no longer fits; the fan's would, but goes with it.
    let none =
        [json!([creator, "rejected_budget", null, null]), json!([fan_id, "rejected_rule", null, 1_500])];
    assert_eq!(legs(&sales[1]).await?, none);
    // Half of the first order comes back: 8.77 ⁄ 2 → 4.39 (half a cent up), 1.31 ⁄ 2 → 0.66.
    let half =
        json!({ "order_id": "S-1", "refund_id": "1", "value": { "amount_minor": 1_000, "currency": "USD" } });
    world.accepted("/v1/refunds", &half).await?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (405 + 405 + 1_707 + 877 + 877 - 439, 0));
    assert_eq!(fans().await?, 25 + 131 - 66);
    let wallet_before = 405 + 405 + 1_707 + 877 + 877 - 439;
    // 10.00 of the live sale come back: 17.07 × 10.00 ⁄ 19.95 = 8.556 → 8.56.
    let refund = json!({ "payment_id": "L-1", "refund_id": "1",
        "value": { "amount_minor": 1_000, "currency": "USD" } });
    world.accepted("/v1/refunds", &refund).await?;
    stack.settle()?;

    assert_eq!(wallet(&world).await?, (wallet_before - 856, 0));
    stack.reconcile()
}

/// Producers Avenue: sellers pay processor and commission, by their tier at that
/// moment; 7 days of hold, 50.00 at least to withdraw.
#[tokio::test(flavor = "multi_thread")]
async fn producers_avenue_sellers_pay_all_fees() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "avenue").await?;
    world.control("/v1/policy", &json!({ "hold_days": 7, "minimum_withdrawal_minor": 5_000 })).await?;
    let tier = format!("/v1/creators/{}/tier", world.creator);
    assert!(world.control(&tier, &json!({ "tier": "premium" })).await.is_err(), "no such tier yet");
    let commission = json!({ "basic": 4_000, "standard": 3_000, "premium": 2_000, "ultimate": 1_000 });
    let terms = json!({ "commission_bps": commission, "default_tier": "basic" });
    payment_terms(&world, &terms).await?;
    let buy = async |order: &str, processor: &str, amount_minor: i64| {
        let payment = payment(&world.creator, order, "purchase", processor, amount_minor);
        world.accepted("/v1/payments", &payment).await
    };
    // 49.99: 2.9 % is 1.4497 → 1.45, + 0.30; 40 % is 19.996 → 20.00; 28.24 left.
    let basic = buy("A-1", "stripe", 4_999).await?;
    world.control(&tier, &json!({ "tier": "premium" })).await?;
    tokio::time::sleep(std::time::Duration::from_millis(4_500)).await;
    // 49.99: 3.49 % is 1.7447 → 1.74, + 0.49; 20 % is 9.998 → 10.00; 37.76 left.
    let premium = buy("A-2", "paypal", 4_999).await?;
    // From the buyer's wallet: no processor; 0.5 cents of 20 % of 0.03 → 0.01.
    buy("A-3", "wallet", 3).await?;
    let cash = buy("A-4", "cash", 100).await?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (2_824 + 3_776 + 2, 0));
    for (event, tier, payout) in
        [(basic, "basic", [4_999, 2_824, 2_000, 175]), (premium, "premium", [4_999, 3_776, 1_000, 223])]
    {
        let explained = world.report(&format!("/v1/conversions/{event}/explain")).await?;
        let leg = &explained["legs"][0];
        let fields = ["gross_minor", "creator_minor", "fee_minor", "processor_fee_minor"];
        assert_eq!(fields.map(|field| leg["payout"][field].as_i64().unwrap()), payout);
        assert_eq!(leg["attribution"]["payment"]["tier"], tier);
    }
    let refused = world.report(&format!("/v1/conversions/{cash}/explain")).await?;
    assert_eq!(refused["legs"][0]["reason"], "unknown_processor");
    // All of the first sale comes back, out of what is still held.
    world.accepted("/v1/refunds", &json!({ "payment_id": "A-1", "refund_id": "1" })).await?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (3_776 + 2, 0));
    buy("A-5", "wallet", 2_000).await?;
    stack.settle()?;
    processors::wallets::release_due(&stack.pool().await?, runtime::clock::now_ms() + FAR_MS).await?;
    assert_eq!(wallet(&world).await?, (0, 3_776 + 2 + 1_600));
    let withdraw = async |amount_minor: i64| {
        let body = json!({ "creator_id": world.creator, "amount_minor": amount_minor, "method": "stripe",
            "external_id": amount_minor.to_string() });
        world.control("/v1/withdrawals", &body).await
    };
    assert!(withdraw(4_999).await.unwrap_err().to_string().contains("below_minimum"));
    let made = withdraw(5_000).await?;
    let withdrawal = format!("/v1/withdrawals/{}", made["withdrawal"]["id"].as_str().unwrap());
    for step in ["approve", "complete"] {
        world.control(&format!("{withdrawal}/{step}"), &json!({})).await?;
    }
    let lines = statement(&world, &world.creator).await?;
    let line = |kind: &str, minor: i64| (kind.to_owned(), minor);
    let expected = [
        line("clawback", -2_824),
        line("credit", 2),
        line("credit", 1_600),
        line("credit", 2_824),
        line("credit", 3_776),
        line("paid", -5_000),
    ];
    assert_eq!(lines, expected);
    stack.reconcile()
}

/// ZhenGrowth: a reward for whoever brings a customer, once a customer; coupons
/// credit a sale without a click.
#[tokio::test(flavor = "multi_thread")]
async fn zhengrowth_rewards_a_referral_once() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "growth").await?;
    let terms = json!({ "payout_minor": 1_000, "fee_bps": 0, "limits": { "once_per_customer": true } });
    let referral = world.campaign_with("conversion", 10_000, &terms).await?;
    let percent = json!({ "pay": { "kind": "percent_of_order", "bps": 1_500 }, "fee_bps": 0 });
    let shop = world.campaign_with("sale", 10_000, &percent).await?;
    let coupon = json!({ "code": "ANNA10", "campaign_id": shop.id, "creator_id": world.creator });
    world.control("/v1/coupons", &coupon).await?;
    let convert = async |user: &str, device: &str, order: &str| {
        let click = world.click(&referral.code, device).await?;
        let conversion = json!({ "goal": "signup", "order_id": order, "user_id": user, "tcid": click.token });
        world.accepted("/v1/conversions", &conversion).await
    };
    let mut events = Vec::new();
    // The same customer on two devices, and once more; another customer.
    for (user, device, order, reason) in [
        ("bo", "phone-00001", "1", Value::Null),
        ("bo", "laptop-0001", "2", json!("already_rewarded")),
        ("bo", "phone-00001", "3", json!("already_rewarded")),
        ("cy", "phone-00002", "4", Value::Null),
    ] {
        events.push((convert(user, device, order).await?, reason));
        stack.settle()?;
    }
    for (event, reason) in events {
        let explained = world.report(&format!("/v1/conversions/{event}/explain")).await?;
        assert_eq!(explained["legs"][0]["reason"], reason, "{explained}");
    }
    assert_eq!(wallet(&world).await?, (2_000, 0));
    // 15 % of 33.33 is 4.9995 → 5.00; a third of it back is 1.67.
    tokio::time::sleep(std::time::Duration::from_millis(4_500)).await;
    let value = json!({ "amount_minor": 3_333, "currency": "USD" });
    let sale = json!({ "order_id": "S-1", "value": value, "coupon": "anna10" });
    world.accepted("/v1/sales", &sale).await?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (2_500, 0));
    let refund = json!({ "order_id": "S-1", "refund_id": "1",
        "value": { "amount_minor": 1_111, "currency": "USD" } });
    world.accepted("/v1/refunds", &refund).await?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (2_333, 0));
    let line = |kind: &str, minor: i64| (kind.to_owned(), minor);
    let lines = [line("clawback", -167), line("credit", 500), line("credit", 1_000), line("credit", 1_000)];
    assert_eq!(statement(&world, &world.creator).await?, lines);
    stack.reconcile()
}

/// Live Media Kit: brands pay for clicks on the links of a kit, up to so much a
/// day for each creator and in all.
#[tokio::test(flavor = "multi_thread")]
async fn live_media_kit_brands_cap_what_clicks_cost() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "kit").await?;
    let terms = |limits: Value| json!({ "payout_minor": 7, "fee_bps": 1_500, "limits": limits });
    // Two clicks a creator and day, five in all.
    let limits = json!({ "creator_day_minor": 20, "campaign_total_minor": 35 });
    let campaign = world.campaign_with("click", 10_000, &terms(limits)).await?;
    let bad = terms(json!({ "creator_day_minor": -1 }));
    let refused = world.campaign_with("click", 0, &bad).await.err().map(|error| error.to_string());
    assert!(refused.is_some_and(|message| message.contains("limits")));
    let mut codes = vec![campaign.code.clone()];
    let mut creators = vec![world.creator.clone()];
    for name in ["bea", "cleo"] {
        let creator = world.add_creator(name).await?;
        let member = json!({ "creator_id": creator, "status": "accepted" });
        world.control(&format!("/v1/campaigns/{}/creators", campaign.id), &member).await?;
        let link = json!({ "campaign_id": campaign.id, "creator_id": creator, "code": name,
            "destination_url": "https://brand.example/" });
        world.control("/v1/links", &link).await?;
        codes.push(name.to_owned());
        creators.push(creator);
    }
    for code in &codes {
        for visitor in 0..3 {
            world.click(code, &format!("fan-of-{code}-{visitor}")).await?;
        }
        stack.settle()?;
    }
    // 15 % of 0.07 is 1.05 cents → 0.01. Two each, and the fifth is the last.
    for (creator, minor) in creators.iter().zip([12, 12, 6]) {
        let wallet = world.report(&format!("/v1/wallets/{creator}")).await?;
        assert_eq!(wallet["pending_minor"], minor);
    }
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    let mut outcomes: Vec<String> = answer["outcomes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|count| format!("{} {}", count["reason"].as_str().unwrap_or("paid"), count["count"]))
        .collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["campaign_cap_reached 2", "creator_cap_reached 2", "paid 5"]);
    assert_eq!(statement(&world, &creators[2]).await?, [("credit".to_owned(), 6)]);
    stack.reconcile()
}

fn payment(payee: &str, order: &str, purpose: &str, processor: &str, amount_minor: i64) -> Value {
    json!({
        "payment_id": order, "purpose": purpose, "processor": processor, "payee_id": payee,
        "value": { "amount_minor": amount_minor, "currency": "USD" },
    })
}

/// Sets `changes` of the payment terms, and waits until they are in force; gives
/// their version.
async fn payment_terms(world: &World, changes: &Value) -> anyhow::Result<u64> {
    let all = world.report("/v1/payment-terms").await?;
    let mut rates = all["payment_terms"][0]["rates"].clone();
    rates.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let made = world.control("/v1/payment-terms", &rates).await?;
    tokio::time::sleep(std::time::Duration::from_millis(4_500)).await;
    Ok(made["version"].as_u64().unwrap())
}

/// Kinds and amounts of a statement up to now, sorted.
async fn statement(world: &World, creator: &str) -> anyhow::Result<Vec<(String, i64)>> {
    let body = json!({ "creator_id": creator, "before": rfc3339(runtime::clock::now_ms()) });
    let issued = world.control("/v1/statements", &body).await?;
    let line =
        |line: &Value| (line["kind"].as_str().unwrap().to_owned(), line["amount_minor"].as_i64().unwrap());
    let mut lines: Vec<_> = issued["lines"].as_array().unwrap().iter().map(line).collect();
    lines.sort_unstable();
    Ok(lines)
}
