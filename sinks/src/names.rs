//! What campaigns, links and users are called → table `names`.

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use store::Pool;
use store::names::DueName;
use uuid::Uuid;

use crate::{SinkError, insert};

/// A row of `names`.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
struct NameRow {
    #[serde(with = "clickhouse::serde::uuid")]
    workspace_id: Uuid,
    kind: String,
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
    name: String,
    code: String,
    version: u64,
}

/// Loads what waits, up to `limit` of it; says how much that was.
///
/// # Errors
/// When either database fails; what was taken then waits on.
pub(crate) async fn load_waiting(client: &Client, pool: &Pool, limit: i64) -> Result<usize, SinkError> {
    let mut transaction = store::begin(pool).await?;
    let (names, version) = store::names::take(&mut transaction, limit).await?;
    if names.is_empty() {
        return Ok(0);
    }
    let version = version.unsigned_abs();
    let row = |DueName { workspace_id, kind, id, name, code }| NameRow {
        workspace_id,
        kind,
        id,
        name,
        code,
        version,
    };
    let rows: Vec<NameRow> = names.into_iter().map(row).collect();
    // A try of its own each time: a repeat may come with other names.
    insert(client, "names", &runtime::random::hex_id(), &rows).await?;
    store::commit(transaction).await?;
    metrics::counter!("tributary_sink_rows_total", "table" => "names").increment(rows.len() as u64);
    Ok(rows.len())
}
