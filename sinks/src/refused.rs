//! Rows that ClickHouse refuses for what is in them: found by halving, kept in
//! `refused_rows`, and no reason to hold up the rest.

use clickhouse::{Client, Row};
use runtime::clock::now_ms;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::block::Block;
use crate::{EventRow, SinkError, insert, insert_block};

/// More of a range than this is no matter of rows: nothing is put aside then.
const MOST: usize = 100;

/// ClickHouse's codes for what is wrong with a value, not with the server: cannot parse or
/// convert; out of bounds; incorrect; too large; a constraint. From `ErrorCodes.cpp`.
const OF_VALUES: [u32; 9] = [6, 26, 27, 41, 69, 70, 117, 131, 469];

/// A row of `refused_rows`.
#[derive(Clone, Debug, Row, Serialize, Deserialize)]
struct RefusedRow {
    table: String,
    topic: String,
    partition: u16,
    offset: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    workspace_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    kind: String,
    visitor: [u8; 16],
    received_at: i64,
    row: String,
    error: String,
    refused_at: i64,
}

/// Whether ClickHouse refuses a value.
fn is_of_value(error: &SinkError) -> bool {
    let SinkError::ClickHouse(clickhouse::error::Error::BadResponse(text)) = error else { return false };
    let code = text.split("Code: ").nth(1).and_then(|rest| rest.split('.').next()?.parse().ok());
    code.is_some_and(|code: u32| OF_VALUES.contains(&code))
}

/// Inserts events as [`insert_block`] does, but those that are refused for what is in them,
/// which are put aside. A try that is repeated halves in the same way, under the same
/// tokens.
pub(crate) async fn insert_events(
    client: &Client,
    topic: &str,
    token: &str,
    rows: &Block,
) -> Result<(), SinkError> {
    let Err(error) = insert_block(client, "events", token, rows).await else { return Ok(()) };
    if !is_of_value(&error) {
        return Err(error);
    }
    tracing::warn!(%error, rows = rows.rows(), "ClickHouse refuses some of these; looking for them");
    let mut refused = Vec::new();
    // The ranges that are to be inserted; the first comes last.
    let mut left = vec![(0, rows.rows(), Some(error))];
    while let Some((from, to, error)) = left.pop() {
        let error = match error {
            Some(error) => error,
            None => {
                let token = format!("{token}/{from}-{to}");
                match insert_block(client, "events", &token, &rows.slice(from..to)).await {
                    Ok(()) => continue,
                    Err(error) if is_of_value(&error) => error,
                    Err(error) => return Err(error),
                }
            }
        };
        if to - from == 1 {
            refused.push((rows.row(from), error));
            if refused.len() > MOST {
                let (_, error) = refused.swap_remove(0);
                return Err(error);
            }
            continue;
        }
        let middle = from + (to - from) / 2;
        left.push((middle, to, None));
        left.push((from, middle, None));
    }
    // Where none is good, the table is not what it should be.
    if refused.len() == rows.rows() && rows.rows() > 1 {
        let (_, error) = refused.swap_remove(0);
        return Err(error);
    }
    put_aside(client, topic, token, refused).await
}

async fn put_aside(
    client: &Client,
    topic: &str,
    token: &str,
    refused: Vec<(EventRow, SinkError)>,
) -> Result<(), SinkError> {
    let rows: Vec<RefusedRow> = refused
        .into_iter()
        .map(|(row, error)| {
            tracing::error!(
                topic, partition = row.partition, offset = row.offset, event = %row.event_id, %error,
                "ClickHouse refuses this event; it is kept in refused_rows, and in no figure"
            );
            RefusedRow {
                table: "events".to_owned(),
                topic: topic.to_owned(),
                partition: row.partition,
                offset: row.offset,
                workspace_id: row.workspace_id,
                event_id: row.event_id,
                kind: row.kind.clone(),
                visitor: row.visitor,
                received_at: row.received_at,
                row: serde_json::to_string(&row).unwrap_or_default(),
                error: error.to_string(),
                refused_at: now_ms(),
            }
        })
        .collect();
    insert(client, "refused_rows", &format!("{token}/refused"), &rows).await?;
    metrics::counter!("tributary_sink_refused_rows_total", "table" => "events").increment(rows.len() as u64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_refused_and_servers_fail() {
        let said = |text: &str| {
            is_of_value(&SinkError::ClickHouse(clickhouse::error::Error::BadResponse(text.to_owned())))
        };
        assert!(said("Code: 469. DB::Exception: Constraint `c` is violated"));
        assert!(!said("Code: 241. DB::Exception: Memory limit exceeded"));
        assert!(!said("Code: 252. DB::Exception: Too many parts"));
        assert!(!said("Code: 60. DB::Exception: Table does not exist"));
        assert!(!said("Bad gateway"));
        assert!(!is_of_value(&SinkError::Fenced("x".to_owned())));
    }
}
