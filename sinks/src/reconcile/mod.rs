//! Compares ClickHouse with the books.

pub mod by_day;

use std::collections::BTreeMap;

use clickhouse::{Client, Row};
use serde::Deserialize;
use store::Pool;
use store::reconcile::Offence;
use uuid::Uuid;

use crate::SinkError;

/// At most this many offending ids are listed.
const MAX_LISTED: usize = 20;

#[derive(Row, Deserialize)]
struct LoadedOutcome {
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    leg: u16,
    status: String,
    gross_minor: i64,
    copies: u64,
}

/// Invariant 27: below the watermark, outcomes in ClickHouse and in Postgres
/// are the same: all, or those of `batches`. The watermark is what the sink has
/// loaded.
///
/// # Errors
/// When either database fails.
pub async fn outcomes_match(
    client: &Client,
    pool: &Pool,
    batches: Option<&[i64]>,
) -> Result<Vec<Offence>, SinkError> {
    // ClickHouse first: what is loaded in between is then in Postgres already.
    let loaded: Vec<LoadedOutcome> = client
        .query(include_str!("../../queries/loaded_outcomes.sql"))
        .param("is_full", batches.is_none())
        .param("batches", batches.unwrap_or_default())
        .fetch_all()
        .await?;
    let mut settled: BTreeMap<(Uuid, i16), (String, i64, bool)> =
        store::outcomes::settled(pool, "outcomes", batches)
            .await?
            .into_iter()
            .map(|row| ((row.event_id, row.leg), (row.status, row.gross_minor, row.is_loaded)))
            .collect();
    let mut offences = Vec::new();
    let mut seen = Vec::with_capacity(loaded.len());
    for row in &loaded {
        let key = (row.event_id, i16::try_from(row.leg).unwrap_or(i16::MAX));
        let offence = match settled.get(&key) {
            None => Some("in ClickHouse, not in the books".to_owned()),
            Some((status, gross, _)) if *status != row.status || *gross != row.gross_minor => Some(format!(
                "{} of {} in ClickHouse, {status} of {gross} in the books",
                row.status, row.gross_minor
            )),
            Some(_) if row.copies != 1 => Some(format!("{} times in ClickHouse", row.copies)),
            Some(_) => None,
        };
        offences.extend(offence.map(|detail| Offence { id: row.event_id.to_string(), detail }));
        seen.push(key);
    }
    for key in seen {
        settled.remove(&key);
    }
    let missing = settled.into_iter().filter(|(_, (_, _, is_loaded))| *is_loaded);
    offences.extend(missing.map(|((event, _), (status, gross, _))| Offence {
        id: event.to_string(),
        detail: format!("{status} of {gross} in the books, not in ClickHouse"),
    }));
    offences.truncate(MAX_LISTED);
    Ok(offences)
}

#[derive(Row, Deserialize)]
struct RepeatedEvent {
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    copies: u64,
}

/// Invariant 28, ClickHouse's half: no message of Kafka was loaded twice.
///
/// # Errors
/// When ClickHouse fails.
pub async fn events_once(client: &Client) -> Result<Vec<Offence>, SinkError> {
    let repeated: Vec<RepeatedEvent> =
        client.query(include_str!("../../queries/repeated_events.sql")).fetch_all().await?;
    Ok(repeated
        .into_iter()
        .map(|row| Offence { id: row.event_id.to_string(), detail: format!("loaded {} times", row.copies) })
        .collect())
}
