//! Visitors who ask to be forgotten: what is known of them is taken out of ClickHouse.

use std::time::Duration;

use clickhouse::{Client, Row};
use domain::ids::VisitorKey;
use serde::Deserialize;
use store::Pool;
use store::rollups::Hours;
use uuid::Uuid;

use crate::loading::{Fact, Rows};
use crate::{SinkError, cluster_of, delete};

/// The kind of event that asks for a visitor to be forgotten.
pub(crate) const ERASE: &str = "erase";

/// What is erased, as conditions: of whom, and which events of theirs.
pub(crate) struct Erasure {
    visitors: String,
    events: String,
}

impl Erasure {
    /// Of visitors who asked for being erased in `rows`, what came before that; nothing, if
    /// none did.
    pub(crate) fn asked_in(rows: &Rows) -> Option<Self> {
        let asked = || rows.facts().iter().filter_map(|fact| Some((fact, fact.forgets?)));
        asked().next()?;
        let of_visitor = |(fact, visitor): (&Fact, [u8; 16])| {
            format!("workspace_id = '{}' AND visitor = unhex('{}')", fact.workspace_id, VisitorKey(visitor))
        };
        let before = |(fact, visitor): (&Fact, [u8; 16])| {
            let until_ms = fact.received_at_ms;
            format!("{} AND received_at <= fromUnixTimestamp64Milli({until_ms})", of_visitor((fact, visitor)))
        };
        let any_of = |conditions: Vec<String>| format!("({})", conditions.join(") OR ("));
        let visitors = any_of(asked().map(of_visitor).collect());
        let events = any_of(asked().map(before).collect());
        // The request itself stays: it says that there was one, and nothing else.
        Some(Self { visitors, events: format!("kind != '{ERASE}' AND ({events})") })
    }

    /// Erases what is known of visitors; gives the hours in which they were seen, which
    /// tell of them what remains. Once more changes nothing.
    pub(crate) async fn carry_out(&self, client: &Client, pool: &Pool) -> Result<Hours, SinkError> {
        let Self { visitors, events } = self;
        let mut hours = seen_in(client, visitors).await?;
        // If this is cut off after the deletion, nobody knows the hours any more.
        store::rollups::hold(pool, &hours).await?;
        delete(client, "events", events).await?;
        delete(client, "refused_rows", events).await?;
        let _alone = store::rollups::alone_with_visitors(pool).await?;
        wait_for_visitors(client).await?;
        // What came since: of these nothing remains, whenever it was.
        hours.extend(seen_in(client, visitors).await?);
        store::rollups::hold(pool, &hours).await?;
        delete(client, "visitor_months", visitors).await?;
        delete(client, "visitor_acts", visitors).await?;
        delete(client, "visitor_sessions", visitors).await?;
        Ok(hours)
    }
}

/// The hours in which visitors were seen.
async fn seen_in(client: &Client, visitors: &str) -> Result<Hours, SinkError> {
    let hours = format!(
        "SELECT DISTINCT workspace_id, toInt64(toUnixTimestamp(toStartOfHour(at))) * 1000 AS hour_ms
         FROM events WHERE kind != '{ERASE}' AND ({visitors})"
    );
    let hours: Vec<SeenHour> = client.query_raw(&hours).fetch_all().await?;
    Ok(hours.into_iter().map(|hour| (hour.workspace_id, hour.hour_ms)).collect())
}

/// Until ClickHouse adds nothing to what is kept by visitor any more: whoever asked for
/// it may have died, and let go of the lock.
async fn wait_for_visitors(client: &Client) -> Result<(), SinkError> {
    let processes = match cluster_of(client).await? {
        None => "system.processes".to_owned(),
        Some(cluster) => format!("clusterAllReplicas('{cluster}', system.processes)"),
    };
    // Into such a table, in whatever database: a shard is told its own.
    let into_visitors = "match(query, '^INSERT INTO [^ \n]*visitor_')";
    let running = format!("SELECT count() FROM {processes} WHERE {into_visitors}");
    while client.query_raw(&running).fetch_one::<u64>().await? > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// An hour in which a visitor was seen who is erased.
#[derive(Row, Deserialize)]
struct SeenHour {
    #[serde(with = "clickhouse::serde::uuid")]
    workspace_id: Uuid,
    hour_ms: i64,
}
