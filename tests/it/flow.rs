//! One click on its way from HTTP to the ledger and the leaderboard.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Stack, World, die_with_test, free_port};

#[tokio::test(flavor = "multi_thread")]
async fn a_click_becomes_a_credit() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "flow").await?;
    let sales = world.campaign("sale", 600, 100_000).await?;
    let clicks = world.campaign("click", 5, 1_000).await?;

    let click = world.click(&sales.code, "visitor-0001").await?;
    world.click(&clicks.code, "visitor-0001").await?;
    let order = json!({
        "order_id": "A-1", "value": { "amount_minor": 9_900, "currency": "USD" }, "tcid": click.token,
    });
    let sale = world.accepted("/v1/sales", &order).await?;
    // The shop was not sure, and says it again; then it says something else.
    assert_eq!(world.accepted("/v1/sales", &order).await?, sale);
    let mut other = order.clone();
    other["value"]["amount_minor"] = 99_900.into();
    assert_eq!(world.send("/v1/sales", &other).await?.status, 409);
    // To another collector, which has not heard of the first.
    let (second, address) = another_collector(&stack)?;
    assert_eq!(world.at(&address).accepted("/v1/sales", &other).await?, sale);
    drop(second);
    let page = json!({ "type": "page", "visitor_id": "visitor-0001", "url": "https://shop.example/" });
    world.accepted("/v1/events", &page).await?;
    stack.settle()?;

    let explained = world.report(&format!("/v1/conversions/{sale}/explain")).await?;
    let leg = &explained["legs"][0];
    assert_eq!(
        (leg["status"].as_str(), leg["click_id"].as_str()),
        (Some("posted"), Some(click.id.to_string().as_str()))
    );
    assert_eq!(
        leg["payout"],
        json!({
            "gross_minor": 600, "creator_minor": 540, "fee_minor": 60, "fee_bps": 1_000, "currency": "USD",
        })
    );
    let entries: Vec<(&str, i64)> = leg["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["account_kind"].as_str().unwrap(), entry["amount_minor"].as_i64().unwrap()))
        .collect();
    assert_eq!(entries, [("campaign_escrow", -600), ("creator_pending", 540), ("platform_fee", 60)]);

    let said = stack.run(&["explain", &sale.to_string(), "--workspace", "flow"])?;
    let said = String::from_utf8(said.stdout)?.replace(&click.id.to_string(), "CLICK");
    assert!(
        said.starts_with(
            "  decision  posted: 6.00 USD of an order of 99.00 USD (fee 1000 bps, terms version 1)\n"
        ),
        "{said}"
    );
    assert!(said.contains("click CLICK 0.") && said.contains("the order brought its token"), "{said}");
    assert!(said.contains("  entry     creator_pending          5.40 USD\n"), "{said}");

    let wallet = world.report(&format!("/v1/wallets/{}", world.creator)).await?;
    // 540 of the sale, and 5 less a fee of 0.5, halves up, of the click.
    assert_eq!((wallet["pending_minor"].as_i64(), wallet["available_minor"].as_i64()), (Some(544), Some(0)));
    leaderboards(&world).await?;
    counts(&stack).await?;
    // The order with the other amount is kept aside, not paid.
    let pool = stack.pool().await?;
    let quarantined = store::outcomes::quarantined_count(&pool, world.workspace).await?;
    assert_eq!(quarantined, 1);
    stack.reconcile()
}

/// A second collector of the same pipeline; stopped when dropped.
struct Collector(Child);

impl Drop for Collector {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn another_collector(stack: &Stack) -> anyhow::Result<(Collector, String)> {
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = stack.command();
    command.arg("ingest").args(["--listen", &address]).arg("--data-dir").arg(stack.data_dir().join("second"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    die_with_test(&mut command);
    let collector = Collector(command.spawn()?);
    let started = Instant::now();
    while std::net::TcpStream::connect(&address).is_err() {
        anyhow::ensure!(started.elapsed() < Duration::from_secs(30), "the second collector does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((collector, format!("http://{address}")))
}

async fn leaderboards(world: &World) -> anyhow::Result<()> {
    for (metric, value) in
        [("clicks", 2), ("unique_clicks", 2), ("conversions", 1), ("revenue", 9_900), ("earnings", 544)]
    {
        let board = world.report(&format!("/v1/leaderboards?metric={metric}")).await?;
        let row = &board["rows"][0];
        assert_eq!(
            (row["rank"].as_i64(), row["value"].as_i64()),
            (Some(1), Some(value)),
            "{metric}: {board}"
        );
        assert_eq!(row["display_name"], "ada");
    }
    Ok(())
}

async fn counts(stack: &Stack) -> anyhow::Result<()> {
    // Two payloads of one order are two rows; a repeat is none.
    let query = "SELECT kind, count() AS n FROM events FINAL GROUP BY kind ORDER BY kind FORMAT JSONCompact";
    let url = format!("{}/?database=tributary", stack.clickhouse_url());
    let answer = tests::Http::default().post(&url, &[], query).await?;
    let rows = answer.json()?["data"].clone();
    assert_eq!(rows, json!([["click", 2], ["page", 1], ["sale", 2]]), "{rows}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn robots_are_answered_recorded_and_never_paid() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "robots").await?;
    let campaign = world.campaign("click", 5, 1_000).await?;
    let url = format!("{}/{}", stack.collector_url(), campaign.code);
    let agents =
        ["Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "curl/8.5.0", ""];
    for agent in agents {
        let answer = world.http.get(&url, &[("user-agent", agent)]).await?;
        assert_eq!(answer.status, 302, "{agent}");
    }
    let prefetch = [("user-agent", "Mozilla/5.0 Firefox/140.0"), ("sec-purpose", "prefetch")];
    assert_eq!(world.http.get(&url, &prefetch).await?.status, 302);
    stack.settle()?;
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    assert_eq!(answer["outcomes"], json!([{ "status": "nonpayable", "reason": "bot", "count": 4 }]));
    assert_eq!(answer["campaign"]["remaining_budget_minor"], 1_000);
    let board = world.report("/v1/leaderboards?metric=clicks").await?;
    assert!(board["rows"].as_array().unwrap().iter().all(|row| row["clicks"] == 0), "{board}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_redirect_keeps_the_contract() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "redirect").await?;
    let campaign = world.campaign("click", 5, 1_000).await?;
    let url = format!("{}/{}", stack.collector_url(), campaign.code);
    let answer = world.http.get(&url, &[("user-agent", "Mozilla/5.0 Firefox/140.0")]).await?;
    assert_eq!(answer.status, 302);
    let location = answer.header("location");
    assert!(location.starts_with("https://shop.example/p?x=1&tcid="), "{location}");
    assert!(location.ends_with("#top"), "{location}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("tvid=") && cookie.contains("HttpOnly"), "{cookie}");
    // A link that has expired leads to its fallback, or is gone.
    for (code, fallback, status) in
        [("gone", Value::Null, 410), ("moved", json!("https://shop.example/late"), 302)]
    {
        let link = json!({
            "campaign_id": campaign.id, "creator_id": world.creator, "code": code, "expires_at_ms": 1_000,
            "destination_url": "https://shop.example/", "fallback_url": fallback,
        });
        world.control("/v1/links", &link).await?;
        let answer = world.http.get(&format!("{}/{code}", stack.collector_url()), &[]).await?;
        assert_eq!(answer.status, status, "{code}");
        if status == 302 {
            assert_eq!(answer.header("location"), "https://shop.example/late");
        }
    }
    Ok(())
}
