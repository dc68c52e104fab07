//! Retention by days, weeks and months, counted one visitor after the other: visits of
//! eleven weeks in which clocks go back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::timestamp::rfc3339;
use hyper::Method;
use serde_json::json;
use sinks::EventRow;
use store::rollups::{Hours, hour_of};
use store::sinks::SinkPartition;
use tests::{Random, Stack, World};
use uuid::Uuid;

use super::day::{HOUR_MS, MIDNIGHT_MS, fill};
use super::rolled::roll_up;
use super::{berlin, rows};

const DAY_MS: i64 = 24 * HOUR_MS;
/// Midnight of 1 September 2026 in Berlin.
const FIRST_MS: i64 = MIDNIGHT_MS - 54 * DAY_MS;
/// Noon of 15 November there.
const NOON_MS: i64 = MIDNIGHT_MS + 21 * DAY_MS + 13 * HOUR_MS;

/// The date in Berlin, as days since 1970 (a Thursday).
fn date(at: i64) -> i64 {
    let ahead_ms = if at < MIDNIGHT_MS + 3 * HOUR_MS { 2 * HOUR_MS } else { HOUR_MS };
    (at + ahead_ms).div_euclid(DAY_MS)
}

/// A day, the Monday of its week, or the number of its month.
fn key(unit: &str, date: i64) -> i64 {
    match unit {
        "day" => date,
        "week" => date - (date + 3).rem_euclid(7),
        _ => {
            let text = rfc3339(date * DAY_MS);
            text[..4].parse::<i64>().unwrap() * 12 + text[5..7].parse::<i64>().unwrap()
        }
    }
}

fn visits(workspace: Uuid, count: usize, seed: u64) -> Vec<EventRow> {
    let mut random = Random::new(seed);
    let span = (NOON_MS + DAY_MS - FIRST_MS) as usize;
    let visit = |_| {
        let mut visitor = [0; 16];
        // Some come often.
        let below = random.pick(&[50, 1_000, 8_000]);
        visitor[..4].copy_from_slice(&(random.below(below) as u32).to_be_bytes());
        let at = FIRST_MS + random.below(span) as i64;
        EventRow {
            event_id: Uuid::from_u128(random.bits()),
            workspace_id: workspace,
            kind: random.pick(&["click", "page", "track", "identify"]).to_owned(),
            bot: if random.one_in(10) { "user_agent".to_owned() } else { String::new() },
            at,
            received_at: at,
            visitor,
            ..EventRow::default()
        }
    };
    (0..count).map(visit).collect()
}

/// The report over a time says what these visits say.
async fn check(world: &World, visits: &[EventRow], unit: &str, span: (i64, i64)) -> anyhow::Result<()> {
    let (from_ms, to_ms) = span;
    let mut first: HashMap<[u8; 16], i64> = HashMap::new();
    let mut seen: BTreeSet<([u8; 16], i64)> = BTreeSet::new();
    for visit in visits.iter().filter(|visit| visit.bot.is_empty() && visit.kind != "identify") {
        if visit.at < to_ms {
            let first = first.entry(visit.visitor).or_insert(visit.at);
            *first = visit.at.min(*first);
            if visit.at >= from_ms {
                seen.insert((visit.visitor, key(unit, date(visit.at))));
            }
        }
    }
    let mut counted: BTreeMap<(i64, i64), u64> = BTreeMap::new();
    for (visitor, bucket) in seen {
        if first[&visitor] >= from_ms {
            *counted.entry((key(unit, date(first[&visitor])), bucket)).or_default() += 1;
        }
    }
    let path = format!("/v1/reports/retention?unit={unit}&from_ms={from_ms}&to_ms={to_ms}");
    let report = world.report(&path).await?;
    let moment = |row: &serde_json::Value, name: &str| key(unit, date(row[name].as_i64().expect("a moment")));
    let told: BTreeMap<(i64, i64), u64> = rows(&report)
        .iter()
        .map(|row| {
            ((moment(row, "cohort_ms"), moment(row, "from_ms")), row["visitors"].as_u64().expect("a count"))
        })
        .filter(|(_, visitors)| *visitors > 0)
        .collect();
    assert!(counted.len() >= 3, "{unit} {span:?}");
    assert_eq!(told, counted, "{unit} {span:?}");
    Ok(())
}

/// How many were there in each bucket is what these visits say.
async fn check_visitors(
    world: &World,
    visits: &[EventRow],
    unit: &str,
    span: (i64, i64),
) -> anyhow::Result<()> {
    let (from_ms, to_ms) = span;
    let mut counted: BTreeMap<i64, BTreeSet<[u8; 16]>> = BTreeMap::new();
    for visit in visits.iter().filter(|visit| visit.bot.is_empty() && visit.kind != "identify") {
        if (from_ms..to_ms).contains(&visit.at) {
            counted.entry(key(unit, date(visit.at))).or_default().insert(visit.visitor);
        }
    }
    let path = format!("/v1/reports/timeseries?unit={unit}&from_ms={from_ms}&to_ms={to_ms}");
    let report = world.report(&path).await?;
    for row in rows(&report) {
        let bucket = key(unit, date(row["from_ms"].as_i64().expect("a moment")));
        let count = counted.remove(&bucket).unwrap_or_default().len();
        assert_eq!(row["visitors"], json!(count), "{unit} {span:?} {row}");
    }
    assert_eq!(counted.len(), 0);
    Ok(())
}

async fn check_all(world: &World, visits: &[EventRow]) -> anyhow::Result<()> {
    // 28 September is a Monday.
    let (monday_ms, october_ms) = (FIRST_MS + 27 * DAY_MS, FIRST_MS + 30 * DAY_MS);
    for (unit, from_ms) in
        [("day", october_ms), ("week", monday_ms), ("month", october_ms), ("month", FIRST_MS)]
    {
        // Up to a noon, and up to a midnight.
        check(world, visits, unit, (from_ms, NOON_MS)).await?;
        check(world, visits, unit, (from_ms, NOON_MS - 12 * HOUR_MS)).await?;
        // From within a day: days do not tell that.
        check(world, visits, unit, (from_ms + 5 * HOUR_MS, NOON_MS)).await?;
        for (from_ms, to_ms) in
            [(from_ms, NOON_MS), (from_ms, NOON_MS + 1_234_567), (from_ms + 5 * HOUR_MS, NOON_MS + 1_234_567)]
        {
            check_visitors(world, visits, unit, (from_ms, to_ms)).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_who_come_again_are_counted_by_the_day() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let other = World::create(&stack, "other").await?;
    let (world, workspace) = berlin(&other).await?;
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 2).await?;
    let client = stack.clickhouse();
    let mut all = visits(workspace, 60_000, 1);
    let strangers = all.iter().map(|visit| EventRow { workspace_id: other.workspace, ..visit.clone() });
    fill(&client, "events", &strangers.collect::<Vec<_>>()).await?;

    let (mut offset, topic) = (0, "visits".to_owned());
    let at = SinkPartition { sink: "events", topic, partition: 0 };
    store::sinks::position(&owner, &at).await?;
    let mut late = visits(workspace, 2_000, 2);
    for load in [all.split_off(0), late.split_off(0)] {
        // While the range is open that loads them, once it is closed, and rolled up, twice.
        let hours: Hours = load.iter().map(|visit| (workspace, hour_of(visit.at))).collect();
        assert!(store::sinks::open(&owner, &at, offset, offset, &hours).await?);
        fill(&client, "events", &load).await?;
        all.extend(load);
        check_all(&world, &all).await?;
        assert!(store::sinks::close(&owner, &at, offset, offset, &hours).await?);
        check_all(&world, &all).await?;
        roll_up(&owner).await?;
        check_all(&world, &all).await?;
        let again =
            store::rollups::marks(&owner, workspace, store::rollups::Source::Events, (0, i64::MAX), 0)
                .await?;
        assert_eq!(again, Some(vec![]), "all is told from roll-ups");
        offset += 1;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_forgotten_is_in_no_month() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "forget").await?;
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 2).await?;
    let page = async |visitor: &str| {
        let page = json!({ "type": "page", "visitor_id": visitor, "url": "https://site.example/" });
        world.accepted("/v1/events", &page).await
    };
    let known = async || -> anyhow::Result<u64> {
        stack.settle()?;
        roll_up(&owner).await?;
        let mut counts = Vec::new();
        for table in ["visitor_months", "visitor_acts", "visitor_sessions"] {
            let query = format!("SELECT uniqExact(visitor) FROM {table}");
            counts.push(stack.clickhouse().query(&query).fetch_one().await?);
        }
        assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
        Ok(counts[0])
    };
    page("visitor-gone").await?;
    page("visitor-kept").await?;
    assert_eq!(known().await?, 2);
    let authorization = format!("Bearer {}", world.key);
    let url = format!("{}/v1/visitors/visitor-gone", stack.collector_url());
    let headers = [("authorization", authorization.as_str())];
    assert_eq!(world.http.send(Method::DELETE, &url, &headers, "").await?.status, 202);
    assert_eq!(known().await?, 1);
    // Whoever comes again is seen again.
    page("visitor-gone").await?;
    assert_eq!(known().await?, 2);
    Ok(())
}
