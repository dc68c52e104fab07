//! Creators' money on its way out.

use hyper::Method;
use serde_json::{Value, json};
use tests::{Stack, World};

const FAR_MS: i64 = 400 * 24 * 60 * 60 * 1_000;

/// Available, in transit, paid, owed.
async fn wallet(world: &World) -> anyhow::Result<[i64; 4]> {
    let wallet = world.report(&format!("/v1/wallets/{}", world.creator)).await?;
    Ok(["available_minor", "in_transit_minor", "paid_minor", "debt_minor"]
        .map(|f| wallet[f].as_i64().unwrap()))
}

fn request(world: &World, number: &str, amount_minor: i64) -> Value {
    json!({ "creator_id": world.creator, "amount_minor": amount_minor, "method": "bank_transfer", "external_id": number })
}

/// The status, and the reason code if it was refused.
async fn ask(world: &World, path: &str, body: &Value) -> anyhow::Result<(u16, String)> {
    let answer = world.control_raw(path, &body.to_string()).await?;
    let body = answer.json()?;
    Ok((answer.status, body["error"]["reason"].as_str().unwrap_or_default().to_owned()))
}

/// A creator with 9.00 available.
async fn earn(stack: &Stack, world: &World) -> anyhow::Result<()> {
    let campaign = world.campaign("sale", 1_000, 10_000).await?;
    let click = world.click(&campaign.code, "visitor-0001").await?;
    let value = json!({ "amount_minor": 5_000, "currency": "USD" });
    let sale = json!({ "order_id": "A-1", "value": value, "tcid": click.token });
    world.accepted("/v1/sales", &sale).await?;
    stack.settle()?;
    let far_ms = runtime::clock::now_ms() + FAR_MS;
    assert_eq!(processors::wallets::release_due(&stack.pool().await?, far_ms).await?, 1);
    assert_eq!(wallet(world).await?, [900, 0, 0, 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn money_leaves_once_and_comes_back_when_it_does_not_arrive() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "withdraw").await?;
    let policy = json!({ "hold_days": 14, "minimum_withdrawal_minor": 200, "required_documents": ["w9"] });
    world.control("/v1/policy", &policy).await?;
    earn(&stack, &world).await?;

    let refused = |reason: &str| (422, reason.to_owned());
    let creator = format!("/v1/creators/{}", world.creator);
    let withdraw = |number: &'static str, amount| {
        let (world, body) = (&world, request(&world, number, amount));
        async move { ask(world, "/v1/withdrawals", &body).await }
    };
    assert_eq!(withdraw("a", 100).await?, refused("below_minimum"));
    assert_eq!(withdraw("a", 300).await?, refused("missing_documents"));
    let w9 = |status: &str| json!({ "kind": "w9", "status": status });
    world.control(&format!("{creator}/documents"), &w9("submitted")).await?;
    assert_eq!(withdraw("a", 300).await?, refused("missing_documents"));
    world.control(&format!("{creator}/documents"), &w9("approved")).await?;
    world
        .control(&format!("{creator}/hold"), &json!({ "on_hold": true, "reason": "asked by the bank" }))
        .await?;
    assert_eq!(withdraw("a", 300).await?, refused("on_hold"));
    world.control(&format!("{creator}/hold"), &json!({ "on_hold": false, "reason": "resolved" })).await?;
    assert_eq!(withdraw("a", 901).await?, refused("insufficient_funds"));
    assert_eq!(withdraw("a", -5).await?, refused("amount_not_positive"));
    let nobody = json!({ "creator_id": uuid::Uuid::now_v7(), "amount_minor": 300, "method": "ach", "external_id": "b" });
    assert_eq!(ask(&world, "/v1/withdrawals", &nobody).await?.0, 422);

    // The same number once, whatever comes at once.
    let answers = futures_util::future::try_join_all((0..8).map(|_| withdraw("a", 300))).await?;
    let made = answers.iter().filter(|(status, _)| *status == 201).count();
    let again = answers.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!((made, again), (1, 7), "{answers:?}");
    assert_eq!(withdraw("a", 301).await?.0, 409);
    assert_eq!(wallet(&world).await?, [600, 300, 0, 0]);

    let made = world.control("/v1/withdrawals", &request(&world, "a", 300)).await?;
    let first = format!("/v1/withdrawals/{}", made["withdrawal"]["id"].as_str().unwrap());
    let nothing = json!({});
    assert_eq!(ask(&world, &format!("{first}/complete"), &nothing).await?.0, 409, "not approved yet");
    assert_eq!(ask(&world, &format!("{first}/approve"), &nothing).await?.0, 200);
    assert_eq!(ask(&world, &format!("{first}/approve"), &nothing).await?.0, 200, "it stands there already");
    assert_eq!(ask(&world, &format!("{first}/cancel"), &nothing).await?.0, 409);
    assert_eq!(ask(&world, &format!("{first}/fail"), &json!({ "reason": "account closed" })).await?.0, 200);
    assert_eq!(wallet(&world).await?, [900, 0, 0, 0]);
    assert_eq!(ask(&world, &format!("{first}/complete"), &nothing).await?.0, 409);

    let made = world.control("/v1/withdrawals", &request(&world, "c", 400)).await?;
    let second = format!("/v1/withdrawals/{}", made["withdrawal"]["id"].as_str().unwrap());
    // What has come up since it was asked for counts.
    world.control(&format!("{creator}/hold"), &json!({ "on_hold": true, "reason": "fraud" })).await?;
    assert_eq!(ask(&world, &format!("{second}/approve"), &nothing).await?, refused("on_hold"));
    world.control(&format!("{creator}/hold"), &json!({ "on_hold": false, "reason": "resolved" })).await?;
    for step in ["approve", "complete"] {
        assert_eq!(ask(&world, &format!("{second}/{step}"), &nothing).await?.0, 200);
    }
    assert_eq!(wallet(&world).await?, [500, 0, 400, 0]);
    let made = world.control("/v1/withdrawals", &request(&world, "d", 500)).await?;
    let third = format!("/v1/withdrawals/{}", made["withdrawal"]["id"].as_str().unwrap());
    assert_eq!(ask(&world, &format!("{third}/cancel"), &nothing).await?.0, 200);
    assert_eq!(wallet(&world).await?, [500, 0, 400, 0]);
    assert_eq!(ask(&world, &format!("{third}/pay"), &nothing).await?.0, 404);

    let list = world.report(&format!("/v1/withdrawals?creator={}", world.creator)).await?;
    let seen: Vec<(&str, &str)> = list["withdrawals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| (w["external_id"].as_str().unwrap(), w["status"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [("d", "cancelled"), ("c", "completed"), ("a", "failed")]);
    let failed = world.report("/v1/withdrawals?status=failed").await?;
    assert_eq!(failed["withdrawals"][0]["reason"], "account closed");
    stack.reconcile()
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_at_once_never_take_more_than_there_is() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "rush").await?;
    earn(&stack, &world).await?;
    let asked = (0..8).map(|number| {
        let (world, body) = (&world, request(&world, &number.to_string(), 200));
        async move { ask(world, "/v1/withdrawals", &body).await }
    });
    let answers = futures_util::future::try_join_all(asked).await?;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 201).count(), 4, "{answers:?}");
    assert_eq!(wallet(&world).await?, [100, 800, 0, 0]);
    // What failed while the creator owes covers that first.
    let refund = json!({ "order_id": "A-1", "refund_id": "1", "user_id": "the-shop" });
    world.accepted("/v1/refunds", &refund).await?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, [0, 800, 0, 800]);
    let body = request(&world, "more", 1);
    assert_eq!(ask(&world, "/v1/withdrawals", &body).await?, (422, "in_debt".to_owned()));
    let list = world.report("/v1/withdrawals").await?;
    for withdrawal in list["withdrawals"].as_array().unwrap() {
        let cancel = format!("/v1/withdrawals/{}/cancel", withdrawal["id"].as_str().unwrap());
        assert_eq!(ask(&world, &cancel, &json!({})).await?.0, 200);
    }
    assert_eq!(wallet(&world).await?, [0, 0, 0, 0]);
    stack.reconcile()
}

/// Nobody asks for it: the processors release what is due.
#[tokio::test(flavor = "multi_thread")]
async fn earnings_without_a_hold_are_free_within_seconds() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "at-once").await?;
    world.control("/v1/policy", &json!({ "hold_days": 0 })).await?;
    let campaign = world.campaign("sale", 1_000, 10_000).await?;
    let click = world.click(&campaign.code, "visitor-0001").await?;
    let value = json!({ "amount_minor": 5_000, "currency": "USD" });
    world.accepted("/v1/sales", &json!({ "order_id": "A-1", "value": value, "tcid": click.token })).await?;
    stack.settle()?;
    for _ in 0..120 {
        if wallet(&world).await? == [900, 0, 0, 0] {
            return stack.reconcile();
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    anyhow::bail!("nothing is released: {:?}", wallet(&world).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_end_at_midnight_where_the_business_is() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "zones").await?;
    let bad = json!({ "slug": "mars", "name": "Mars", "currency": "USD", "platform_fee_bps": 0, "time_zone": "Mars/Olympus" });
    let admin = world.control_sent(Method::POST, "/v1/workspaces", &bad.to_string()).await?;
    assert_eq!((admin.status, admin.json()?["error"]["reason"].as_str()), (422, Some("invalid_field")));
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    store::migrate::execute(
        &owner,
        "INSERT INTO workspaces (id, slug, name, currency, platform_fee_bps, time_zone) VALUES
            ('00000000-0000-0000-0000-000000000001', 'berlin', 'B', 'EUR', 0, 'Europe/Berlin'),
            ('00000000-0000-0000-0000-000000000002', 'kathmandu', 'K', 'NPR', 0, 'Asia/Kathmandu'),
            ('00000000-0000-0000-0000-000000000003', 'at-once', 'A', 'USD', 0, 'UTC');
         INSERT INTO workspace_policies VALUES
            ('00000000-0000-0000-0000-000000000001', 1, '2026-01-01T00:00Z', 7, 0, '{}'),
            ('00000000-0000-0000-0000-000000000001', 2, '2026-06-01T00:00Z', 1, 0, '{}'),
            ('00000000-0000-0000-0000-000000000002', 1, '2026-01-01T00:00Z', 0, 0, '{}'),
            ('00000000-0000-0000-0000-000000000003', 1, '2026-01-01T00:00Z', 0, 0, '{}')",
    )
    .await?;
    for (workspace, earned, held_until) in [
        // The clock goes forward on 29 March 2026 in Berlin: seven days and a
        // bit, in that zone's days.
        (1, "2026-03-27T23:30:00+01:00", "2026-04-04T00:00:00+02:00"),
        (1, "2026-03-28T00:00:00+01:00", "2026-04-05T00:00:00+02:00"),
        (1, "2026-10-24T12:00:00+02:00", "2026-10-26T00:00:00+01:00"),
        (1, "2026-05-31T23:59:59Z", "2026-06-09T00:00:00+02:00"),
        (1, "2026-06-01T00:00:00Z", "2026-06-03T00:00:00+02:00"),
        // Of before the first policy: seven days.
        (2, "2025-12-31T12:00:00Z", "2026-01-08T00:00:00+05:45"),
        // No hold: free since that day began. 5:45 ahead of UTC.
        (2, "2026-02-01T18:14:00Z", "2026-01-31T18:15:00Z"),
        (2, "2026-02-01T18:15:00Z", "2026-02-01T18:15:00Z"),
        (3, "2026-02-01T18:15:00Z", "2026-02-01T00:00:00Z"),
        // No policy, and no workspace: seven days, UTC.
        (9, "2026-02-01T18:15:00Z", "2026-02-09T00:00:00Z"),
    ] {
        let query = format!(
            "SELECT (wallet_held_until('00000000-0000-0000-0000-00000000000{workspace}', '{earned}')
                = '{held_until}'::timestamptz)::text"
        );
        assert_eq!(store::migrate::strings(&owner, &query).await?, ["true"], "{workspace} {earned}");
    }
    Ok(())
}

/// Form, paid, threshold, whether it is due.
async fn tax(world: &World, year: i64) -> anyhow::Result<Vec<Value>> {
    let report = world.report(&format!("/v1/tax-report?year={year}")).await?;
    let lines = report["lines"].as_array().expect("lines").iter();
    Ok(lines
        .map(|line| json!([line["form"], line["paid_minor"], line["threshold_minor"], line["is_due"]]))
        .collect())
}

/// What counts is what was paid within the workspace's calendar year; thresholds
/// change from year to year.
#[tokio::test(flavor = "multi_thread")]
async fn tax_forms_are_due_from_a_dated_threshold_on() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "tax").await?;
    earn(&stack, &world).await?;
    let threshold = |form: &str, currency: &str, from_year: i64, amount_minor: i64| json!({ "form": form, "currency": currency, "from_year": from_year, "amount_minor": amount_minor });
    for (form, currency, from_year, amount_minor) in [
        ("1099-NEC", "USD", 2_020, 60_000),
        ("1099-NEC", "USD", 2_030, 401),
        ("1099-NEC", "USD", 2_031, 999),
        // Set right the same day.
        ("1099-NEC", "USD", 2_031, 400),
        ("DAC7", "EUR", 2_023, 1),
    ] {
        world.control("/v1/tax-thresholds", &threshold(form, currency, from_year, amount_minor)).await?;
    }
    let listed = world.report("/v1/tax-thresholds").await?;
    let years: Vec<(&str, i64, i64)> = listed["thresholds"]
        .as_array()
        .expect("thresholds")
        .iter()
        .map(|t| {
            (
                t["form"].as_str().unwrap(),
                t["from_year"].as_i64().unwrap(),
                t["amount_minor"].as_i64().unwrap(),
            )
        })
        .collect();
    let nec = "1099-NEC";
    assert_eq!(years, [(nec, 2_020, 60_000), (nec, 2_030, 401), (nec, 2_031, 400), ("DAC7", 2_023, 1)]);

    let made = world.control("/v1/withdrawals", &request(&world, "a", 400)).await?;
    let paid = format!("/v1/withdrawals/{}", made["withdrawal"]["id"].as_str().unwrap());
    for step in ["approve", "complete"] {
        world.control(&format!("{paid}/{step}"), &json!({})).await?;
    }
    let waiting = world.control("/v1/withdrawals", &request(&world, "b", 300)).await?;
    world
        .control(
            &format!("/v1/withdrawals/{}/approve", waiting["withdrawal"]["id"].as_str().unwrap()),
            &json!({}),
        )
        .await?;

    // The books are moved to the last hours of 2030 in New York, which are 2031
    // in Greenwich, then an hour on.
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    store::migrate::execute(
        &owner,
        "UPDATE workspaces SET time_zone = 'America/New_York' WHERE slug = 'tax'",
    )
    .await?;
    let year_of = |moment: &'static str| {
        let owner = &owner;
        async move {
            let sql = format!(
                "ALTER TABLE ledger_transactions DISABLE TRIGGER append_only;
                 UPDATE ledger_transactions SET at = '{moment}' WHERE kind = 'withdrawal_completed'"
            );
            store::migrate::execute(owner, &sql).await
        }
    };
    year_of("2031-01-01T04:30:00Z").await?;
    assert_eq!(tax(&world, 2_029).await?, [json!(null); 0]);
    assert_eq!(tax(&world, 2_030).await?, [json!([nec, 400, 401, false])]);
    assert_eq!(tax(&world, 2_031).await?, [json!(null); 0]);
    year_of("2031-01-01T05:00:00Z").await?;
    assert_eq!(tax(&world, 2_030).await?, [json!(null); 0]);
    assert_eq!(tax(&world, 2_031).await?, [json!([nec, 400, 400, true])]);
    let table = world.text("/v1/tax-report?year=2031&format=csv").await?;
    let (head, line) = table.trim_end().split_once("\r\n").expect("two lines");
    assert_eq!(head, "year,form,creator_id,username,name,email,currency,paid,threshold,due,documents");
    assert!(line.starts_with("2031,\"1099-NEC\",") && line.ends_with(",USD,4.00,4.00,true,"), "{line}");

    for (body, field) in [
        (threshold(" ", "USD", 2_026, 1), "form"),
        (threshold("x", "USD", 26, 1), "from_year"),
        (threshold("x", "USD", 2_026, -1), "amount_minor"),
    ] {
        let answer = world.control_raw("/v1/tax-thresholds", &body.to_string()).await?;
        assert_eq!((answer.status, answer.text().contains(field)), (422, true), "{}", answer.text());
    }
    Ok(())
}
