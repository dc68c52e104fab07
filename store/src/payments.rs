//! What processors and platform keep of payments, and sellers' tiers.

use domain::ids::{UserId, WorkspaceId};
use domain::payment::{PaymentRates, PaymentTerms, SellerTier};
use domain::rules::TERMS_LEAD_MS;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Connection, Pool, StoreError, narrow, sql};

#[derive(sqlx::FromRow)]
struct TermsRow {
    workspace_id: Uuid,
    version: i32,
    valid_from_ms: i64,
    #[sqlx(json)]
    rates: PaymentRates,
}

/// All versions of a workspace's terms, or of all workspaces', oldest first.
///
/// # Errors
/// When the database fails.
pub async fn terms(pool: &Pool, workspace: Option<Uuid>) -> Result<Vec<PaymentTerms>, StoreError> {
    let rows: Vec<TermsRow> =
        sqlx::query_as(sql!("payment_terms/list")).bind(workspace).fetch_all(pool).await?;
    rows.into_iter()
        .map(|row| {
            Ok(PaymentTerms {
                workspace: WorkspaceId(row.workspace_id),
                version: narrow("payment_terms", row.version.into())?,
                valid_from_ms: row.valid_from_ms,
                rates: row.rates,
            })
        })
        .collect()
}

/// Adds terms, in force from [`TERMS_LEAD_MS`] ahead; gives their version and
/// that moment.
///
/// # Errors
/// When the database fails.
pub async fn insert_terms(
    connection: &mut Connection,
    workspace: Uuid,
    rates: &PaymentRates,
) -> Result<(i32, i64), StoreError> {
    let inserted = sqlx::query_as(sql!("payment_terms/insert"))
        .bind(workspace)
        .bind(Json(rates))
        .bind(TERMS_LEAD_MS)
        .fetch_one(connection)
        .await?;
    Ok(inserted)
}

/// The tiers of all sellers who have one, with those that were followed by
/// another.
///
/// # Errors
/// When the database fails.
pub async fn tiers(pool: &Pool) -> Result<Vec<SellerTier>, StoreError> {
    let rows: Vec<(Uuid, Uuid, i64, String)> =
        sqlx::query_as(sql!("seller_tiers/list")).fetch_all(pool).await?;
    let tier = |(workspace, seller, valid_from_ms, tier)| SellerTier {
        workspace: WorkspaceId(workspace),
        seller: UserId(seller),
        valid_from_ms,
        tier,
    };
    Ok(rows.into_iter().map(tier).collect())
}

/// Everybody's creators.
///
/// # Errors
/// When the database fails.
pub async fn payees(pool: &Pool) -> Result<Vec<(WorkspaceId, UserId)>, StoreError> {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(sql!("users/payees")).fetch_all(pool).await?;
    Ok(rows.into_iter().map(|(workspace, user)| (WorkspaceId(workspace), UserId(user))).collect())
}

/// Puts a seller into a tier, from [`TERMS_LEAD_MS`] ahead; gives that moment, or
/// nothing if the workspace has no such user.
///
/// # Errors
/// When the database fails.
pub async fn insert_tier(
    connection: &mut Connection,
    workspace: Uuid,
    seller: Uuid,
    tier: &str,
) -> Result<Option<i64>, StoreError> {
    let valid_from_ms = sqlx::query_scalar(sql!("seller_tiers/insert"))
        .bind(workspace)
        .bind(seller)
        .bind(tier)
        .bind(TERMS_LEAD_MS)
        .fetch_optional(connection)
        .await?;
    Ok(valid_from_ms)
}
