//! Reports over fifty million events, through the API, beside the same figures told from
//! the events on every request.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;
use store::rollups::HOUR_MS;
use tests::{Stack, World};
use uuid::Uuid;

use crate::table::Table;

const EVENTS: u64 = 50_000_000;
const AT_ONCE: u64 = 5_000_000;
const DAYS: i64 = 90;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Each report is asked for as often.
const ROUNDS: usize = 20;

const METRICS: [&str; 7] = [
    "clicks",
    "unique_clicks",
    "conversions",
    "conversion_rate",
    "revenue",
    "earnings",
    "earnings_per_click",
];

/// What a client would ask without any of it.
const BOARD_OF_EVENTS: &str = "
    SELECT creator_id, uniqExactIf(event_id, bot = ''), uniqExactIf((visitor, link_id), bot = ''),
        uniqExactIf(event_id, bot != '')
    FROM events WHERE kind = 'click' AND at < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY creator_id FORMAT Null";
const SERIES_OF_EVENTS: &str = "
    SELECT toStartOfDay(at) AS day, uniqExactIf(event_id, kind = 'click' AND bot = ''),
        uniqExactIf((visitor, link_id), kind = 'click' AND bot = ''), uniqExactIf(visitor, bot = ''),
        uniqExactIf(event_id, kind = 'page' AND bot = '')
    FROM events WHERE at >= fromUnixTimestamp64Milli({to_ms:Int64} - 30 * 86400000) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY day FORMAT Null";
const FUNNEL_OF_EVENTS: &str = "
    SELECT visitor, windowFunnel(604800000)(toUInt64(toUnixTimestamp64Milli(at)), kind = 'click', kind = 'page', kind = 'track')
    FROM events WHERE bot = '' AND at >= fromUnixTimestamp64Milli({to_ms:Int64} - 30 * 86400000) AND at < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY visitor FORMAT Null";

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "setup").await?;
    let made = world
        .control(
            "/v1/workspaces",
            &json!({
                "slug": "large", "name": "Large", "currency": "EUR", "platform_fee_bps": 0, "time_zone": "Europe/Berlin",
            }),
        )
        .await?;
    let workspace: Uuid = made["workspace"]["id"].as_str().unwrap_or_default().parse()?;
    let world = world.at_workspace("large");
    let now_ms = runtime::clock::now_ms();
    // Up to a little after the last full hour, so that there is one to be counted.
    let to_ms = now_ms - now_ms.rem_euclid(HOUR_MS) + 20 * 60_000 - 2 * HOUR_MS;
    let from_ms = to_ms - DAYS * DAY_MS;
    fill(&stack, workspace, from_ms).await?;
    roll_up(&stack, workspace, (from_ms, to_ms)).await?;
    boards(&stack, &world, table, to_ms).await?;
    series(&stack, &world, table, to_ms).await?;
    paths(&stack, &world, table, to_ms).await
}

async fn fill(stack: &Stack, workspace: Uuid, from_ms: i64) -> anyhow::Result<()> {
    let client = stack.clickhouse();
    for first in (0..EVENTS).step_by(usize::try_from(AT_ONCE)?) {
        println!("analytics: {first} of {EVENTS} events …");
        client
            .query(include_str!("events.sql"))
            .param("workspace", workspace.to_string())
            .param("from_ms", from_ms)
            .param("first", first)
            .execute()
            .await?;
    }
    client.query(include_str!("outcomes.sql")).execute().await?;
    let (bytes, rows): (u64, u64) = client
        .query(
            "SELECT sum(data_compressed_bytes), sum(rows) FROM system.parts
             WHERE database = 'tributary' AND table = 'events' AND active",
        )
        .fetch_one()
        .await?;
    println!("analytics: {:.0} bytes on disk an event", bytes as f64 / rows as f64);
    Ok(())
}

/// Says that all of it came just now, and waits until it is rolled up.
async fn roll_up(stack: &Stack, workspace: Uuid, (from_ms, to_ms): (i64, i64)) -> anyhow::Result<()> {
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    let first_ms = store::rollups::hour_of(from_ms);
    let mark = format!(
        "INSERT INTO rollup_marks (workspace_id, source, hour_ms, due_at)
         SELECT '{workspace}', s.source, h.hour_ms, now()
         FROM generate_series({first_ms}, {to_ms}, {HOUR_MS}) AS h (hour_ms),
             (VALUES ('events'), ('outcomes')) AS s (source)
         ON CONFLICT (workspace_id, source, hour_ms) DO UPDATE SET mark = excluded.mark, due_at = now()"
    );
    store::migrate::execute(&owner, &mark).await?;
    let since = Instant::now();
    while !store::rollups::due(&owner, 1).await?.is_empty() {
        ensure!(since.elapsed() < Duration::from_secs(900), "hours are not rolled up\n{}", stack.log_tail());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!("analytics: rolled up in {:.0} s", since.elapsed().as_secs_f64());
    // What is merged in the background of a question is none of the question's.
    let merges = stack.clickhouse().query("SELECT count() FROM system.merges");
    while merges.clone().fetch_one::<u64>().await? > 0 {
        ensure!(since.elapsed() < Duration::from_secs(1_200), "ClickHouse does not end merging");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!("analytics: merged after {:.0} s", since.elapsed().as_secs_f64());
    // One hour has something that came since.
    let late_ms = store::rollups::hour_of(to_ms);
    let mark = format!(
        "INSERT INTO rollup_marks (workspace_id, source, hour_ms, due_at) VALUES ('{workspace}', 'events', {late_ms}, 'infinity')"
    );
    Ok(store::migrate::execute(&owner, &mark).await?)
}

/// How long the slowest of these took in 95 of 100 cases, in seconds.
async fn p95(world: &World, paths: &[String]) -> anyhow::Result<f64> {
    let mut worst: f64 = 0.0;
    for path in paths {
        let mut took = Vec::new();
        world.report(path).await?;
        for _ in 0..ROUNDS {
            let since = Instant::now();
            world.report(path).await?;
            took.push(since.elapsed().as_secs_f64());
        }
        took.sort_by(f64::total_cmp);
        let p95 = took[(ROUNDS * 95).div_ceil(100) - 1];
        println!("analytics: p95 {:.0} ms of {path}", p95 * 1_000.0);
        worst = worst.max(p95);
    }
    Ok(worst)
}

/// How long a statement takes, in seconds; the second time.
async fn plainly(stack: &Stack, statement: &str, to_ms: i64) -> anyhow::Result<f64> {
    let mut took = 0.0;
    for _ in 0..2 {
        let since = Instant::now();
        stack.clickhouse().query(statement).param("to_ms", to_ms).execute().await?;
        took = since.elapsed().as_secs_f64();
    }
    Ok(took)
}

fn line(table: &mut Table, what: &str, p95: f64, plainly: f64, note: &str) {
    let note = format!("p95 {:.0} ms, not {:.0} ms; {note}", p95 * 1_000.0, plainly * 1_000.0);
    table.figure(what, 1.0 / p95, 1.0 / plainly, note);
}

async fn boards(stack: &Stack, world: &World, table: &mut Table, to_ms: i64) -> anyhow::Result<()> {
    let plain = plainly(stack, BOARD_OF_EVENTS, to_ms).await?;
    table.limit(
        "a board of all time, told from fifty million events",
        1.0 / plain,
        "distinct ids, on every request",
    );
    for window in ["hour", "day", "7d", "30d", "month", "all"] {
        let path =
            |metric: &&str| format!("/v1/leaderboards?metric={metric}&period={window}&as_of_ms={to_ms}");
        let p95 = p95(world, &METRICS.iter().map(path).collect::<Vec<_>>()).await?;
        line(table, &format!("leaderboards: {window}"), p95, plain, "the slowest of seven metrics");
    }
    Ok(())
}

async fn series(stack: &Stack, world: &World, table: &mut Table, to_ms: i64) -> anyhow::Result<()> {
    let plain = plainly(stack, SERIES_OF_EVENTS, to_ms).await?;
    table.limit("30 days by day, told from their events", 1.0 / plain, "distinct ids, on every request");
    for (window, unit) in
        [("day", "hour"), ("30d", "hour"), ("30d", "day"), ("all", "day"), ("all", "week"), ("all", "month")]
    {
        let path = format!("/v1/reports/timeseries?period={window}&unit={unit}&as_of_ms={to_ms}");
        let p95 = p95(world, &[path]).await?;
        line(table, &format!("series: {window} by {unit}"), p95, plain, "");
    }
    Ok(())
}

async fn paths(stack: &Stack, world: &World, table: &mut Table, to_ms: i64) -> anyhow::Result<()> {
    let plain = plainly(stack, FUNNEL_OF_EVENTS, to_ms).await?;
    table.limit("windowFunnel over 30 days, click > page > track", 1.0 / plain, "no times between steps");
    for (what, path) in [
        ("funnel: 30 days, click > page > track", "funnel?steps=click%3Epage%3Etrack"),
        ("funnel: 30 days, page:/7 > track", "funnel?steps=page:/7%3Etrack:signup"),
        ("retention: 30 days by day", "retention?unit=day"),
        ("retention: 30 days by week", "retention?unit=week"),
        ("sessions: 30 days by entry", "sessions?by=entry"),
    ] {
        let path = format!("/v1/reports/{path}&period=30d&as_of_ms={to_ms}");
        line(table, what, p95(world, &[path]).await?, plain, "");
    }
    Ok(())
}
