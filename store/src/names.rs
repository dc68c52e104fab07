//! What campaigns, links and users are called, on its way to ClickHouse.

use uuid::Uuid;

use crate::{Connection, StoreError, sql};

/// A name that ClickHouse does not know yet.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct DueName {
    /// The tenant.
    pub workspace_id: Uuid,
    /// `campaign`, `link` or `user`.
    pub kind: String,
    /// The id of what is called so.
    pub id: Uuid,
    /// A campaign's title, where a link leads, a user's name as shown.
    pub name: String,
    /// A link's code, a user's name; of campaigns empty.
    pub code: String,
}

/// Takes up to `limit` names that are not in ClickHouse yet, with a version above all that
/// were given out before: they are gone when the transaction is committed. Until then other takers wait, so
/// that of two names of one thing the later has the higher version.
///
/// # Errors
/// When the database fails.
pub async fn take(connection: &mut Connection, limit: i64) -> Result<(Vec<DueName>, i64), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock(7305, 0)").execute(&mut *connection).await?;
    let names: Vec<DueName> =
        sqlx::query_as(sql!("names_due/take")).bind(limit).fetch_all(&mut *connection).await?;
    if names.is_empty() {
        return Ok((names, 0));
    }
    Ok((names, sqlx::query_scalar(sql!("rollups/next_version")).fetch_one(connection).await?))
}
