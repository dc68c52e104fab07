//! Leaderboards: figures, ranks, scopes, pages and snapshots, through the API.

use std::time::Duration;

use serde_json::{Value, json};

use tests::{Campaign, Stack, World};

const ROBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// The rows of a board: each creator's name and these figures.
async fn board(world: &World, query: &str, figures: &[&str]) -> anyhow::Result<Vec<(String, Vec<Value>)>> {
    let board = world.report(&format!("/v1/leaderboards?{query}")).await?;
    let rows = board["rows"].as_array().expect("rows").iter().map(|row| {
        let name = row["display_name"].as_str().expect("a name").to_owned();
        (name, figures.iter().map(|figure| rounded(&row[*figure])).collect())
    });
    Ok(rows.collect())
}

/// Ratios, as far as they are compared.
fn rounded(figure: &Value) -> Value {
    match figure.as_f64() {
        Some(ratio) if figure.is_f64() => json!((ratio * 1e9).round() / 1e9),
        _ => figure.clone(),
    }
}

fn row(name: &str, figures: &[Value]) -> (String, Vec<Value>) {
    (name.to_owned(), figures.to_vec())
}

/// A link of another creator's in a campaign.
async fn join(world: &World, campaign: &Campaign, creator: &str, code: &str) -> anyhow::Result<()> {
    world
        .control(
            &format!("/v1/campaigns/{}/creators", campaign.id),
            &json!({ "creator_id": creator, "status": "accepted" }),
        )
        .await?;
    world.link(campaign, code, &json!({ "creator_id": creator })).await?;
    Ok(())
}

/// A funded campaign with a hashtag, and one link of the first creator.
async fn spring_sale(world: &World) -> anyhow::Result<Campaign> {
    let campaign = json!({
        "business_id": world.business, "title": "Spring", "objective": "sale", "hashtags": ["spring"],
        "terms": { "payout_minor": 500 },
    });
    let made = world.control("/v1/campaigns", &campaign).await?;
    let campaign =
        Campaign { id: made["id"].as_str().expect("an id").to_owned(), code: "ada-sells".to_owned() };
    world.fund(&campaign.id, "first", 100_000).await?;
    join(world, &campaign, &world.creator, &campaign.code).await?;
    Ok(campaign)
}

struct Place {
    stack: Stack,
    world: World,
    sales: Campaign,
    clicks: Campaign,
    bea: String,
    cy: String,
}

/// Ada, Bea and Cy: clicks by people, repeated and by robots, and sales, in two
/// campaigns.
async fn place(slug: &str) -> anyhow::Result<Place> {
    let stack = Stack::start()?;
    let world = World::create(&stack, slug).await?;
    let sales = spring_sale(&world).await?;
    let clicks = world.campaign("click", 10, 100_000).await?;
    let (bea, cy) = (world.add_creator("bea").await?, world.add_creator("cy").await?);
    join(&world, &sales, &bea, "bea-sells").await?;
    join(&world, &clicks, &cy, "cy-clicks").await?;
    // Ada: 3 clicks of 2 visitors and a robot's, one sale of 20.00 of which 5.00 are refunded.
    let click = world.click(&sales.code, "visitor-a001").await?;
    world.click(&sales.code, "visitor-a001").await?;
    world.click(&sales.code, "visitor-a002").await?;
    world.click_as(ROBOT, &sales.code, "visitor-a003").await?;
    world.accepted("/v1/sales", &json!({ "order_id": "o-1", "value": { "amount_minor": 2_000, "currency": "USD" }, "tcid": click.token })).await?;
    // Bea: 2 clicks, each a sale of 10.00.
    for number in 1..=2 {
        let click = world.click("bea-sells", &format!("visitor-b00{number}")).await?;
        let sale = json!({ "order_id": format!("o-b{number}"), "value": { "amount_minor": 1_000, "currency": "USD" }, "tcid": click.token });
        world.accepted("/v1/sales", &sale).await?;
    }
    stack.settle()?;
    world
        .accepted(
            "/v1/refunds",
            &json!({ "order_id": "o-1", "refund_id": "r-1", "value": { "amount_minor": 500, "currency": "USD" } }),
        )
        .await?;
    // Cy: 3 clicks of as many visitors, and nothing else.
    for number in 1..=3 {
        world.click("cy-clicks", &format!("visitor-c00{number}")).await?;
    }
    stack.settle()?;
    Ok(Place { stack, world, sales, clicks, bea, cy })
}

#[tokio::test(flavor = "multi_thread")]
async fn creators_are_ranked_by_every_metric_and_in_every_scope() -> anyhow::Result<()> {
    let begun_ms = runtime::clock::now_ms();
    let place = place("ranks").await?;
    let world = &place.world;
    let figures =
        ["rank", "clicks", "unique_clicks", "repeated_clicks", "bot_clicks", "conversions", "revenue_minor"];
    let n = |numbers: [i64; 7]| numbers.map(Value::from).to_vec();
    let ada = row("ada", &n([1, 3, 2, 1, 1, 1, 1_500]));
    let cy = row("cy", &n([1, 3, 3, 0, 0, 0, 0]));
    let bea = row("bea", &n([3, 2, 2, 0, 0, 2, 2_000]));
    // Ada and Cy share the first rank; the older id stands first.
    assert_eq!(board(world, "metric=clicks", &figures).await?, [ada.clone(), cy.clone(), bea.clone()]);
    for (query, expected) in [
        ("metric=unique_clicks", vec![("cy", 1, json!(3)), ("ada", 2, json!(2)), ("bea", 2, json!(2))]),
        ("metric=conversions", vec![("bea", 1, json!(2)), ("ada", 2, json!(1)), ("cy", 3, json!(0))]),
        (
            "metric=conversion_rate",
            vec![("bea", 1, json!(1.0)), ("ada", 2, json!(1.0 / 3.0)), ("cy", 3, json!(0.0))],
        ),
        ("metric=revenue", vec![("bea", 1, json!(2_000)), ("ada", 2, json!(1_500)), ("cy", 3, json!(0))]),
        // 4.50 each sale, less a quarter of Ada's, half a cent up; 9 cents each of Cy's clicks.
        ("metric=earnings", vec![("bea", 1, json!(900)), ("ada", 2, json!(337)), ("cy", 3, json!(27))]),
        (
            "metric=earnings_per_click",
            vec![("bea", 1, json!(450.0)), ("ada", 2, json!(337.0 / 3.0)), ("cy", 3, json!(9.0))],
        ),
        ("metric=revenue&hashtag=spring", vec![("bea", 1, json!(2_000)), ("ada", 2, json!(1_500))]),
        ("metric=revenue&hashtag=%23Spring", vec![("bea", 1, json!(2_000)), ("ada", 2, json!(1_500))]),
        ("metric=revenue&hashtag=autumn", vec![]),
        (&format!("metric=clicks&campaign={}", place.clicks.id), vec![("cy", 1, json!(3))]),
        (
            &format!("metric=clicks&campaign={}", place.sales.id),
            vec![("ada", 1, json!(3)), ("bea", 2, json!(2))],
        ),
        ("metric=clicks&limit=1&offset=2", vec![("bea", 3, json!(2))]),
        ("metric=clicks&limit=1&offset=3", vec![]),
        ("metric=clicks&period=hour&as_of_ms=1000000000000", vec![]),
        ("metric=clicks&from_ms=1&to_ms=2", vec![]),
    ] {
        let rows = board(world, query, &["rank", "value"]).await?;
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, rank, value)| row(name, &[json!(rank), rounded(&value)]))
            .collect();
        assert_eq!(rows, expected, "{query}");
    }
    // Unless an hour has just begun, all of it was in this one.
    if runtime::clock::now_ms() / 3_600_000 == begun_ms / 3_600_000 {
        for period in ["hour", "day", "7d", "30d", "month", "all"] {
            let rows = board(world, &format!("metric=revenue&period={period}"), &["value"]).await?;
            assert_eq!(rows.len(), 3, "{period}");
        }
    }
    let csv = world.text("/v1/leaderboards?metric=revenue&format=csv&limit=1").await?;
    let mut lines = csv.lines();
    assert!(lines.next().unwrap().starts_with("rank,previous_rank,creator_id,display_name,value,"), "{csv}");
    let first = lines.next().unwrap();
    assert_eq!(first, format!("1,,\"{}\",\"bea\",2000,2,2,0,0,2,1.0,2000,900,450.0", place.bea), "{csv}");
    let lines = world.text("/v1/leaderboards?metric=revenue&format=ndjson").await?;
    let first: Value = serde_json::from_str(lines.lines().next().unwrap())?;
    assert_eq!((lines.lines().count(), &first["display_name"]), (3, &json!("bea")));
    place.stack.reconcile()
}

#[tokio::test(flavor = "multi_thread")]
async fn cohorts_are_ranked_among_themselves_and_against_the_last_snapshot() -> anyhow::Result<()> {
    let place = place("cohorts").await?;
    let Place { stack, world, .. } = &place;
    let cohort = world.control("/v1/cohorts", &json!({ "slug": "first", "name": "The first" })).await?;
    let cohort = cohort["id"].as_str().unwrap();
    for creator in [&world.creator, &place.cy] {
        let path = format!("/v1/cohorts/{cohort}/creators/{creator}");
        for _ in 0..2 {
            world.replace(&path, &json!({})).await?;
        }
    }
    let ranks = async |query: &str| board(world, query, &["rank", "previous_rank"]).await;
    let ranked = |name: &str, rank: i64, previous: Option<i64>| row(name, &[json!(rank), json!(previous)]);
    let query = "metric=unique_clicks&cohort=first";
    assert_eq!(ranks(query).await?, [ranked("cy", 1, None), ranked("ada", 2, None)]);

    // As on schedule, with the clock put on.
    let pool = stack.pool().await?;
    let client = sinks::client(&stack.clickhouse_url(), "tributary");
    let hour = Duration::from_secs(3_600);
    let now_s = runtime::clock::now_ms() / 1_000;
    let next_s = now_s - now_s % 3_600 + 3_600;
    let kept = async || -> anyhow::Result<u64> {
        Ok(client
            .query("SELECT count() FROM leaderboard_snapshots WHERE metric = 'unique_clicks'")
            .fetch_one()
            .await?)
    };
    sinks::snapshots::capture_due(hour, &client, &pool, next_s + 60).await?;
    let count = kept().await?;
    // Three creators in all and two in the cohort, over all time and over whatever
    // windows do not begin at that very moment.
    assert!(count >= 15, "{count}");
    sinks::snapshots::capture_due(hour, &client, &pool, next_s + 120).await?;
    assert_eq!(kept().await?, count, "done is done");
    // Cut off between insert and close: done again, and kept once.
    sqlx_reopen(stack, next_s).await?;
    sinks::snapshots::capture_due(hour, &client, &pool, next_s + 180).await?;
    assert_eq!(kept().await?, count, "the same token");

    for number in 3..=5 {
        world.click(&place.sales.code, &format!("visitor-a00{number}")).await?;
    }
    stack.settle()?;
    let later_ms = (next_s + 600) * 1_000;
    let query = format!("metric=unique_clicks&as_of_ms={later_ms}");
    assert_eq!(
        ranks(&query).await?,
        [ranked("ada", 1, Some(2)), ranked("cy", 2, Some(1)), ranked("bea", 3, Some(2))]
    );
    let among = format!("{query}&cohort=first");
    assert_eq!(ranks(&among).await?, [ranked("ada", 1, Some(2)), ranked("cy", 2, Some(1))]);
    let answer = world.report(&format!("/v1/leaderboards?{query}")).await?;
    assert_eq!(answer["compared_with_ms"], next_s * 1_000);
    Ok(())
}

/// As if a capturer had been cut off before it could close its capture.
async fn sqlx_reopen(stack: &Stack, captured_s: i64) -> anyhow::Result<()> {
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    let sql = format!(
        "UPDATE sink_positions SET next_offset = 0, open_last_offset = {captured_s} WHERE sink = 'leaderboards'"
    );
    Ok(store::migrate::execute(&owner, &sql).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_cannot_be_is_refused_with_the_reason() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "refused").await?;
    let other = World::create(&stack, "other").await?;
    let theirs = other.campaign("click", 1, 100).await?;
    for (query, status, part) in [
        ("metric=height", 400, "unknown variant"),
        ("", 400, "missing field `metric`"),
        ("metric=clicks&perod=day", 400, "no parameter"),
        ("metric=clicks&period=year", 400, "is none of hour, day"),
        ("metric=clicks&from_ms=2&to_ms=1", 400, "must be before"),
        ("metric=clicks&from_ms=-1", 400, "from_ms is in milliseconds since 1970"),
        ("metric=clicks&as_of_ms=99999999999999999", 400, "milliseconds since 1970"),
        ("metric=clicks&period=day&from_ms=1", 400, "not for both"),
        ("metric=clicks&limit=0", 400, "limit must be 1 to 1000"),
        ("metric=clicks&limit=1000000000", 400, "limit must be 1 to 1000"),
        ("metric=clicks&limit=ten", 400, "limit is a whole number"),
        ("metric=clicks&offset=-1", 400, "offset is a whole number"),
        ("metric=clicks&format=xml", 400, "format is json, csv or ndjson"),
        ("metric=clicks&campaign=x", 400, "UUID"),
        ("metric=clicks&cohort=nobody", 404, "cohort"),
        ("metric=clicks&cohort=a'%20OR%20'1'='1", 404, "cohort"),
        ("metric=clicks&cohort=a&hashtag=b", 400, "not for several"),
        (&format!("metric=clicks&campaign={}", theirs.id), 404, "campaign"),
    ] {
        let error = world.report(&format!("/v1/leaderboards?{query}")).await.unwrap_err().to_string();
        assert!(error.contains(&status.to_string()) && error.contains(part), "{query}: {error}");
    }
    // What looks like SQL is a text like any other.
    let rows = board(&world, "metric=clicks&hashtag=%27)%20OR%20(%271%27=%271", &["rank"]).await?;
    assert_eq!(rows, []);
    for (slug, part) in [("", "slug"), ("-a", "slug"), ("A b", "slug")] {
        let error = world.control("/v1/cohorts", &json!({ "slug": slug, "name": "x" })).await.unwrap_err();
        assert!(error.to_string().contains(part), "{slug}: {error}");
    }
    world.control("/v1/cohorts", &json!({ "slug": "a", "name": "x" })).await?;
    let again = world.control("/v1/cohorts", &json!({ "slug": "a", "name": "x" })).await.unwrap_err();
    assert!(again.to_string().contains("another cohort"), "{again}");
    Ok(())
}
