//! `reconcile --days`: actions in ClickHouse beside what became of them.

use serde_json::{Value, json};
use tests::{Stack, World};

const ROBOT: &str = "Googlebot/2.1 (+http://www.google.com/bot.html)";

async fn report(stack: &Stack, arguments: &[&str]) -> anyhow::Result<(Option<i32>, Value)> {
    let fixed = ["reconcile", "--json", "--days", "2", "--grace-minutes", "0"];
    let output = stack.run(&[&fixed, arguments].concat())?;
    Ok((output.status.code(), serde_json::from_slice(&output.stdout)?))
}

/// The rows of the table, without their days.
fn rows(report: &Value) -> Vec<Value> {
    let rows = report["days"]["rows"].as_array().expect("a table").iter();
    rows.map(|row| {
        json!([
            row["campaign"],
            row["payable"],
            row["posted"],
            row["rejected"],
            row["undecided"].as_object().map(serde_json::Map::len),
            row["unknown"].as_array().map(Vec::len),
        ])
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clickhouse_has_is_laid_beside_the_books() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "days").await?;
    // Money for two clicks.
    let campaign = world.campaign("click", 5, 10).await?;
    let first = world.click(&campaign.code, "visitor-1").await?;
    world.click(&campaign.code, "visitor-1").await?;
    for visitor in ["visitor-2", "visitor-3"] {
        world.click(&campaign.code, visitor).await?;
    }
    world.click_as(ROBOT, &campaign.code, "visitor-4").await?;
    // Nobody has clicked before: it waits.
    let sale = json!({ "order_id": "1", "visitor_id": "visitor-9", "value": { "amount_minor": 100, "currency": "USD" } });
    let waiting = world.accepted("/v1/sales", &sale).await?;
    stack.settle()?;
    // ClickHouse is known to have what was taken before the newest it has.
    let page = json!({ "type": "page", "visitor_id": "visitor-9", "url": "https://site.example/" });
    world.accepted("/v1/events", &page).await?;
    stack.settle()?;

    let clicks = |unknown: u64| {
        let rejected = json!({ "budget_exhausted": 1, "duplicate_click": 1 });
        json!([campaign.id, 4 - unknown, 2, rejected, 0, unknown])
    };
    let waits = json!([null, 1, 0, {}, 1, 0]);
    let (status, found) = report(&stack, &[]).await?;
    assert_eq!((status, rows(&found)), (Some(0), vec![waits.clone(), clicks(0)]), "{found:#}");
    // It may not wait for ever.
    let (status, found) = report(&stack, &["--overdue-hours", "0"]).await?;
    assert_eq!(status, Some(1));
    let overdue = found["checks"].as_array().expect("checks").last().expect("a check");
    assert_eq!(overdue["offences"][0]["id"], waiting.to_string(), "{found:#}");

    // What was paid for, ClickHouse has never heard of.
    let delete =
        format!("ALTER TABLE events DELETE WHERE event_id = '{}' SETTINGS mutations_sync = 1", first.id);
    stack.clickhouse().query(&delete).execute().await?;
    let (status, found) = report(&stack, &[]).await?;
    assert_eq!((status, rows(&found)), (Some(1), vec![waits, clicks(1)]), "{found:#}");
    assert!(found["checks"].to_string().contains(&first.id.to_string()), "{found:#}");
    // That nobody could look is something else.
    let mut nowhere = stack.command();
    let nowhere =
        nowhere.args(["reconcile", "--database-url", "postgres://nobody@127.0.0.1:9/none"]).output()?;
    assert_eq!(nowhere.status.code(), Some(3), "{}", String::from_utf8_lossy(&nowhere.stderr));
    let shown = String::from_utf8(stack.run(&["reconcile", "--days", "2", "--grace-minutes", "0"])?.stdout)?;
    assert!(shown.contains("budget_exhausted 1, duplicate_click 1"), "{shown}");
    assert!(shown.contains("an outcome in the books, no event in ClickHouse"), "{shown}");
    Ok(())
}

/// Whoever has their events erased leaves outcomes without events, rightly.
#[tokio::test(flavor = "multi_thread")]
async fn erased_visitors_are_no_difference() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "erased").await?;
    let campaign = world.campaign("click", 5, 100).await?;
    world.click(&campaign.code, "visitor-1").await?;
    stack.settle()?;
    let (_, found) = report(&stack, &[]).await?;
    assert_eq!(rows(&found), [json!([campaign.id, 1, 1, {}, 0, 0])]);
    let (url, authorization) =
        (format!("{}/v1/visitors/visitor-1", stack.collector_url()), format!("Bearer {}", world.key));
    let erased =
        world.http.send(hyper::Method::DELETE, &url, &[("authorization", &authorization)], "").await?;
    assert_eq!(erased.status, 202);
    stack.settle()?;
    let (status, found) = report(&stack, &[]).await?;
    assert_eq!((status, rows(&found)), (Some(0), vec![json!([campaign.id, 0, 1, {}, 0, 0])]), "{found:#}");
    Ok(())
}
