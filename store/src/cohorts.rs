//! Creators who are ranked among themselves.

use serde::Serialize;
use uuid::Uuid;

use crate::{Connection, Pool, StoreError, sql};

/// A cohort as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct CohortRow {
    /// Its id.
    pub id: Uuid,
    /// Its short name, unique within the workspace.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Whose members they are.
    pub creators: Vec<Uuid>,
}

/// Makes a cohort.
///
/// # Errors
/// When the database fails, or the slug is taken.
pub async fn insert(
    connection: &mut Connection,
    workspace: Uuid,
    id: Uuid,
    slug: &str,
    name: &str,
) -> Result<(), StoreError> {
    let query = sqlx::query(sql!("cohorts/insert"));
    query.bind(id).bind(workspace).bind(slug).bind(name).execute(connection).await?;
    Ok(())
}

/// A workspace's cohorts, or the one with this id or slug.
///
/// # Errors
/// When the database fails.
pub async fn list(pool: &Pool, workspace: Uuid, name: Option<&str>) -> Result<Vec<CohortRow>, StoreError> {
    Ok(sqlx::query_as(sql!("cohorts/list")).bind(workspace).bind(name).fetch_all(pool).await?)
}

/// Takes a creator in; `false` if there is no such cohort or creator in the
/// workspace. Once more changes nothing.
///
/// # Errors
/// When the database fails.
pub async fn add(
    connection: &mut Connection,
    workspace: Uuid,
    cohort: Uuid,
    creator: Uuid,
) -> Result<bool, StoreError> {
    let query = sqlx::query_scalar(sql!("cohort_members/add"));
    Ok(query.bind(workspace).bind(cohort).bind(creator).fetch_one(connection).await?)
}

/// Takes a creator out; `false` if they were not in it.
///
/// # Errors
/// When the database fails.
pub async fn remove(
    connection: &mut Connection,
    workspace: Uuid,
    cohort: Uuid,
    creator: Uuid,
) -> Result<bool, StoreError> {
    let query = sqlx::query(sql!("cohort_members/remove"));
    let removed = query.bind(workspace).bind(cohort).bind(creator).execute(connection).await?;
    Ok(removed.rows_affected() == 1)
}
