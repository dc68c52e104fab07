//! A workspace's own user in ClickHouse, who reads the workspace's views with SQL.
//! What keeps workspaces apart stands in `docs/SQL.md`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use clickhouse::Client;
use runtime::cluster::{Cluster, ENGINE_OF_EVENTS};
use serde_json::{Value, json};
use store::Transaction;
use store::control::WorkspaceRow;
use uuid::Uuid;

use crate::access::{InWorkspace, Tenant, hash_key};
use crate::control::created;
use crate::error::ApiError;
use crate::server::App;

/// A query of theirs may take this long, in seconds; and so long if they say so, as
/// Grafana's driver does.
const QUERY_S: u32 = 30;
const MAX_QUERY_S: u32 = 60;
/// A query of theirs may take this much memory, in bytes.
const MAX_QUERY_BYTES: u64 = 2_000_000_000;
/// Of an hour: how many queries, and how many seconds of them.
const HOURLY_QUERIES: u32 = 5_000;
const HOURLY_S: u32 = 600;

const VIEWS: &str = include_str!("../../../clickhouse/views.sql");

/// How the names of workspaces' databases of views begin.
#[must_use]
pub fn views_prefix(database: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    format!("{}_bi_", database.chars().map(plain).collect::<String>())
}

/// What the database of a workspace's views is called, and its user, too: no other
/// program's user is called so, nor another Tributary's on the same server. It says nothing of
/// the workspace, for readers of the embedded engine see the names of all.
fn name_of(prefix: &str, workspace: &WorkspaceRow) -> String {
    format!("{prefix}{}", workspace.id.simple())
}

/// Makes the user, or gives it another password.
pub(crate) async fn set(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
) -> Result<Response, ApiError> {
    let name = name_of(&app.settings.views_prefix, &workspace);
    let password = runtime::random::hex_id();
    let shown = json!({
        "user": name, "database": name,
        "limits": {
            "query_seconds": QUERY_S, "query_memory_bytes": MAX_QUERY_BYTES,
            "hourly_queries": HOURLY_QUERIES, "hourly_seconds": HOURLY_S,
        },
    });
    let mut transaction = store::begin(&app.pool).await?;
    audit(&mut transaction, &workspace, "set_sql_access", &shown).await?;
    let server = Server::of(&app.clickhouse).await?;
    server.execute(&format!("CREATE DATABASE IF NOT EXISTS {name}")).await.map_err(told)?;
    server.make_views(&name, workspace.id).await.map_err(told)?;
    let create = format!(
        "CREATE USER OR REPLACE {name} IDENTIFIED WITH sha256_hash BY '{}' DEFAULT DATABASE {name} SETTINGS \
         log_comment = '{}', max_execution_time = {QUERY_S} MIN 1 MAX {MAX_QUERY_S} CHANGEABLE_IN_READONLY, \
         max_memory_usage = {MAX_QUERY_BYTES}, optimize_skip_unused_shards = 1, distributed_product_mode = 'local', \
         readonly = 1",
        hex::encode(hash_key(&password)),
        workspace.id
    );
    let quota = format!(
        "CREATE QUOTA OR REPLACE {name} FOR INTERVAL 1 HOUR \
         MAX queries = {HOURLY_QUERIES}, execution_time = {HOURLY_S} TO {name}"
    );
    server.execute(&create).await.map_err(told)?;
    server.execute(&quota).await.map_err(told)?;
    // Last: nothing is read before the limits are there.
    server.execute(&format!("GRANT SELECT ON {name}.* TO {name}")).await.map_err(told)?;
    store::commit(transaction).await?;
    let mut answer = shown;
    // The password is shown here and never again.
    answer["password"] = json!(password);
    Ok(created(answer))
}

/// Takes the user and the views away.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
) -> Result<Response, ApiError> {
    let name = name_of(&app.settings.views_prefix, &workspace);
    let shown = json!({ "user": name });
    let mut transaction = store::begin(&app.pool).await?;
    audit(&mut transaction, &workspace, "remove_sql_access", &shown).await?;
    let server = Server::of(&app.clickhouse).await?;
    server.execute(&format!("DROP USER IF EXISTS {name}")).await.map_err(told)?;
    server.execute(&format!("DROP QUOTA IF EXISTS {name}")).await.map_err(told)?;
    server.execute(&format!("DROP DATABASE IF EXISTS {name} SYNC")).await.map_err(told)?;
    store::commit(transaction).await?;
    Ok(Json(shown).into_response())
}

/// Before anything is done: what is done and not written down is worse than the reverse.
async fn audit(
    transaction: &mut Transaction,
    workspace: &Tenant,
    action: &str,
    shown: &Value,
) -> Result<(), ApiError> {
    let (actor, id) = (workspace.actor.name(), workspace.id);
    Ok(store::control::audit(transaction, &actor, action, "workspace", id, shown).await?)
}

/// Makes the views of those workspaces anew that have any, as this program knows them.
///
/// # Errors
/// When ClickHouse fails.
pub async fn renew_views(
    clickhouse: &Client,
    prefix: &str,
    workspaces: &[WorkspaceRow],
) -> Result<(), clickhouse::error::Error> {
    let server = Server::of(clickhouse).await?;
    let databases: Vec<String> = clickhouse.query("SELECT name FROM system.databases").fetch_all().await?;
    for workspace in workspaces {
        let name = name_of(prefix, workspace);
        if databases.contains(&name) {
            server.make_views(&name, workspace.id).await?;
        }
    }
    Ok(())
}

/// ClickHouse, where users and views are made: one server, or each of a cluster.
struct Server<'a> {
    clickhouse: &'a Client,
    cluster: Option<Cluster>,
}

impl<'a> Server<'a> {
    async fn of(clickhouse: &'a Client) -> Result<Self, clickhouse::error::Error> {
        let engine: Option<String> = clickhouse.query(ENGINE_OF_EVENTS).fetch_optional().await?;
        Ok(Self { clickhouse, cluster: engine.as_deref().and_then(Cluster::of_engine) })
    }

    async fn execute(&self, statement: &str) -> Result<(), clickhouse::error::Error> {
        let Some(cluster) = &self.cluster else {
            return self.clickhouse.query_raw(statement).execute().await;
        };
        let everywhere = cluster.everywhere(statement).expect("statements are known to clusters");
        self.clickhouse.query_raw(&everywhere).execute().await
    }

    async fn make_views(&self, database: &str, workspace: Uuid) -> Result<(), clickhouse::error::Error> {
        let text = VIEWS.replace("{views}", database).replace("{workspace}", &workspace.to_string());
        for statement in text.split(";\n").filter(|statement| !statement.trim().is_empty()) {
            self.execute(statement).await?;
        }
        Ok(())
    }
}

/// What went wrong with users and views, for whoever asked for them.
fn told(error: clickhouse::error::Error) -> ApiError {
    // ACCESS_DENIED; no storage for users that can be written.
    let text = error.to_string();
    if ["Code: 497.", "Code: 514."].iter().any(|code| text.contains(code)) {
        let message = "ClickHouse lets this program make no users: give --clickhouse-user ACCESS MANAGEMENT";
        tracing::error!(%error, "{message}");
        return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "clickhouse_forbids", message);
    }
    ApiError::from(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_made_on_every_server_of_a_cluster() {
        let cluster: Cluster = "main".parse().expect("a name");
        for statement in VIEWS.split(";\n") {
            let everywhere = cluster.everywhere(statement).expect(statement);
            assert!(everywhere.contains(" ON CLUSTER `main` DEFINER = CURRENT_USER"), "{everywhere}");
        }
    }
}
