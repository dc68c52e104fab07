//! Events that a workspace does not keep any longer: they go, and what was counted of
//! them stays.

use axum::http::Method;
use serde_json::{Value, json};
use sinks::EventRow;
use sinks::retention::expire_due;
use store::rollups::{Source, hour_of};
use tests::{Random, Stack, World};
use uuid::Uuid;

use super::day::{HOUR_MS, fill};
use super::rolled::{mark, roll_up};
use super::rows;

const DAY_MS: i64 = 24 * HOUR_MS;
const KEPT_DAYS: i64 = 70;

/// Clicks and pages of 130 days.
fn visits(now_ms: i64, workspace: Uuid, creators: &[Uuid], count: usize, seed: u64) -> Vec<EventRow> {
    let mut random = Random::new(seed);
    let visit = |_| {
        let mut visitor = [0; 16];
        visitor[..4].copy_from_slice(&(random.below(3_000) as u32).to_be_bytes());
        let at = now_ms - 1 - random.below(130 * DAY_MS as usize) as i64;
        let is_click = random.one_in(2);
        EventRow {
            event_id: Uuid::from_u128(random.bits()),
            workspace_id: workspace,
            kind: if is_click { "click" } else { "page" }.to_owned(),
            creator_id: if is_click { random.pick(creators) } else { Uuid::nil() },
            at,
            received_at: at,
            visitor,
            ..EventRow::default()
        }
    };
    (0..count).map(visit).collect()
}

/// What is asked of a workspace of which events expire.
struct Place {
    stack: Stack,
    world: World,
    owner: store::Pool,
    workspace: Uuid,
    /// The last full hour.
    now_ms: i64,
}

impl Place {
    /// Names what has expired, waits as long as readers may take, and deletes it.
    async fn expire(&self) -> anyhow::Result<()> {
        let (client, pool) = (self.stack.clickhouse(), self.stack.pool().await?);
        assert_eq!(expire_due(&client, &pool, self.now_ms).await?, 0, "named, and not deleted");
        assert_eq!(expire_due(&client, &pool, self.now_ms).await?, 0, "somebody may be reading");
        let since = "UPDATE expired_events SET named_at = now() - interval '2 days'";
        store::migrate::execute(&self.owner, since).await?;
        // The running service may be faster.
        expire_due(&client, &pool, self.now_ms).await?;
        Ok(())
    }

    /// Boards and series, which outlive the events.
    async fn lasting(&self) -> anyhow::Result<Vec<Value>> {
        let mut told = Vec::new();
        for path in [
            "leaderboards?metric=clicks&period=all&limit=100",
            "leaderboards?metric=unique_clicks&period=all&limit=100",
            "reports/timeseries?unit=day&period=all",
            "reports/timeseries?unit=week&period=all",
            "reports/timeseries?unit=month&period=all",
        ] {
            let report = self.world.report(&format!("/v1/{path}&as_of_ms={}", self.now_ms)).await?;
            assert!(rows(&report).len() > 3, "{path}");
            told.push(report["rows"].clone());
        }
        Ok(told)
    }

    async fn counted(&self, table: &str) -> anyhow::Result<u64> {
        Ok(self.stack.clickhouse().query(&format!("SELECT count() FROM {table}")).fetch_one().await?)
    }
}

async fn begin() -> anyhow::Result<Place> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "keeps").await?;
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 2).await?;
    let workspace = world.workspace;
    let now_ms = hour_of(runtime::clock::now_ms());
    let place = Place { stack, world, owner, workspace, now_ms };
    let creators = [place.world.creator.parse()?, Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3)];
    let events = visits(now_ms, workspace, &creators, 40_000, 1);
    fill(&place.stack.clickhouse(), "events", &events).await?;
    mark(&place.owner, workspace, "events", events.iter().map(|event| event.at)).await?;
    roll_up(&place.owner).await?;
    Ok(place)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_outlives_its_events() -> anyhow::Result<()> {
    let place = begin().await?;
    let before = place.lasting().await?;
    let of_visitors = place.counted("visitor_sessions").await?;

    for (days, status) in [(json!(64), 422), (json!(40_000), 422), (json!(KEPT_DAYS), 200)] {
        let body = json!({ "days": days }).to_string();
        let answer = place.world.control_sent(Method::PUT, "/v1/retention", &body).await?;
        assert_eq!(answer.status, status, "{days}: {}", answer.text());
    }
    let horizon_ms = place.now_ms / DAY_MS * DAY_MS - KEPT_DAYS * DAY_MS;
    let named = json!({ "days": KEPT_DAYS, "expired_before_ms": horizon_ms });
    expire_due(&place.stack.clickhouse(), &place.stack.pool().await?, place.now_ms).await?;
    assert_eq!(place.world.report("/v1/retention").await?, named);
    // What is only named can be taken back.
    place.world.replace("/v1/retention", &json!({ "days": null })).await?;
    let shown = place.world.report("/v1/retention").await?;
    assert_eq!(shown, json!({ "days": null, "expired_before_ms": null }));
    place.world.replace("/v1/retention", &json!({ "days": KEPT_DAYS })).await?;
    place.expire().await?;
    assert_eq!(place.world.report("/v1/retention").await?, named);
    let first_ms: i64 = place
        .stack
        .clickhouse()
        .query("SELECT toUnixTimestamp64Milli(min(at)) FROM events")
        .fetch_one()
        .await?;
    assert!((horizon_ms..horizon_ms + HOUR_MS).contains(&first_ms), "{first_ms}");
    assert!(place.counted("visitor_sessions").await? < of_visitors);
    assert_eq!(place.lasting().await?, before);

    // What comes in late for a time that is gone is counted nowhere, and takes nothing away.
    let late = visits(place.now_ms, place.workspace, &[Uuid::from_u128(1)], 4_000, 2);
    let late: Vec<EventRow> = late.into_iter().filter(|event| event.at < horizon_ms).collect();
    fill(&place.stack.clickhouse(), "events", &late).await?;
    mark(&place.owner, place.workspace, "events", late.iter().map(|event| event.at)).await?;
    assert_eq!(place.lasting().await?, before);
    roll_up(&place.owner).await?;
    assert_eq!(place.lasting().await?, before);

    // Nor do roll-ups that begin anew.
    store::migrate::execute(&place.owner, "DELETE FROM rollups").await?;
    assert_eq!(place.lasting().await?, before);
    let pool = place.stack.pool().await?;
    while store::rollups::marks(&pool, place.workspace, Source::Events, (0, i64::MAX), 0)
        .await?
        .is_none_or(|m| !m.is_empty())
    {
        store::migrate::execute(&place.owner, "UPDATE rollup_marks SET due_at = now()").await?;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(place.lasting().await?, before);
    refusals(&place, horizon_ms).await?;
    books(&place).await
}

/// What is told from events begins where these do, or says why not.
async fn refusals(place: &Place, horizon_ms: i64) -> anyhow::Result<()> {
    let now_ms = place.now_ms;
    for path in
        ["breakdown?by=creator", "pages?", "sessions?", "retention?unit=day", "funnel?steps=click%3Epage"]
    {
        let early = format!("/v1/reports/{path}&from_ms={}&to_ms={now_ms}", horizon_ms - 10 * DAY_MS);
        let report = place.world.report(&early).await?;
        assert_eq!(report["from_ms"], json!(horizon_ms), "{path}");
        assert!(!rows(&report).is_empty(), "{path}");
    }
    let (early_ms, until_ms) = (horizon_ms - 10 * DAY_MS, horizon_ms - DAY_MS);
    for path in [
        format!("/v1/reports/breakdown?by=creator&from_ms={early_ms}&to_ms={until_ms}"),
        format!("/v1/reports/timeseries?unit=day&from_ms={}&to_ms={now_ms}", early_ms + 1),
        format!("/v1/leaderboards?metric=clicks&from_ms={early_ms}&to_ms={}", until_ms + 1),
    ] {
        let answer = place.world.report_raw(&path).await?;
        assert_eq!(
            (answer.status, answer.json()?["error"]["reason"].as_str()),
            (400, Some("events_expired")),
            "{path}"
        );
    }
    // What is gone as a whole is told from its hours.
    let path = format!("/v1/reports/timeseries?unit=day&from_ms={early_ms}&to_ms={until_ms}");
    let series = place.world.report(&path).await?;
    assert_eq!(rows(&series).len(), 9);
    assert!(rows(&series).iter().all(|row| row["visitors"].as_u64() > Some(0)), "{series}");
    let creator = &place.world.creator;
    let path = format!("/v1/reports/timeseries?unit=month&period=all&as_of_ms={now_ms}&creator={creator}");
    let series = place.world.report(&path).await?;
    let first = &rows(&series)[0];
    assert!(first["clicks"].as_u64() > Some(0) && first["visitors"].is_null(), "{first}");
    Ok(())
}

/// Outcomes of events that are gone are no differences.
async fn books(place: &Place) -> anyhow::Result<()> {
    let campaign = place.world.campaign("click", 5, 1_000).await?;
    place.world.click(&campaign.code, "somebody").await?;
    place.stack.settle()?;
    let tomorrow_ms = runtime::clock::now_ms() / DAY_MS * DAY_MS + DAY_MS;
    store::retention::name(&place.stack.pool().await?, place.workspace, tomorrow_ms).await?;
    let since = "UPDATE expired_events SET named_at = now() - interval '2 days'";
    store::migrate::execute(&place.owner, since).await?;
    expire_due(&place.stack.clickhouse(), &place.stack.pool().await?, place.now_ms).await?;
    assert_eq!(place.counted("events").await?, 0);
    let by_day = place.stack.run(&["reconcile", "--days", "2"])?;
    assert!(by_day.status.success(), "{}", String::from_utf8_lossy(&by_day.stdout));
    place.stack.reconcile()
}
