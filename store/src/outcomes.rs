//! Outcomes: the one final answer to each leg of each action.

use std::collections::HashSet;

use domain::command::Basis;
use domain::settlement::{Known, Outcome, Quarantined};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Connection, Pool, StoreError, narrow, sql};

/// What the database already holds of `ids` (event or funding, leg).
///
/// # Errors
/// When the database fails.
pub async fn known(connection: &mut Connection, ids: &[(Uuid, u16)]) -> Result<Known, StoreError> {
    let (ids, legs) = columns(ids);
    let rows: Vec<(Uuid, i16, String)> =
        sqlx::query_as(sql!("outcomes/known")).bind(ids).bind(legs).fetch_all(connection).await?;
    rows.into_iter().map(|(id, leg, hash)| Ok(((id, narrow("outcomes", leg.into())?), hash))).collect()
}

/// Those of `legs` (event, leg) that were paid.
///
/// # Errors
/// When the database fails.
pub async fn paid(
    connection: &mut Connection,
    legs: &[(Uuid, u16)],
) -> Result<HashSet<(Uuid, u16)>, StoreError> {
    if legs.is_empty() {
        return Ok(HashSet::new());
    }
    let (ids, legs) = columns(legs);
    let rows: Vec<(Uuid, i16)> =
        sqlx::query_as(sql!("outcomes/paid")).bind(ids).bind(legs).fetch_all(connection).await?;
    rows.into_iter().map(|(id, leg)| Ok((id, narrow("outcomes", leg.into())?))).collect()
}

fn columns(legs: &[(Uuid, u16)]) -> (Vec<Uuid>, Vec<i16>) {
    legs.iter().map(|(id, leg)| (*id, i16::try_from(*leg).unwrap_or(i16::MAX))).unzip()
}

/// Writes outcomes down.
///
/// # Errors
/// When the database fails, or has one of them: it came through another
/// partition at this very moment. The caller rolls back and tries again, and
/// knows it then.
pub async fn insert(connection: &mut Connection, batch: i64, outcomes: &[Outcome]) -> Result<(), StoreError> {
    if outcomes.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($outcome:ident => $value:expr) => {
            outcomes.iter().map(|$outcome| $value).collect::<Vec<_>>()
        };
    }
    let basis: Vec<String> = outcomes
        .iter()
        .map(|outcome| serde_json::to_string(&outcome.basis))
        .collect::<Result<_, _>>()
        .map_err(|error| StoreError::Row { table: "outcomes", message: error.to_string() })?;
    sqlx::query(sql!("outcomes/insert"))
        .bind(batch)
        .bind(column!(o => o.event.0))
        .bind(column!(o => i16::try_from(o.leg).unwrap_or(i16::MAX)))
        .bind(column!(o => o.workspace.0))
        .bind(column!(o => o.kind.code()))
        .bind(column!(o => o.status.code()))
        .bind(column!(o => o.reason.map(|reason| reason.code())))
        .bind(column!(o => o.campaign.map(|id| id.0)))
        .bind(column!(o => o.creator.map(|id| id.0)))
        .bind(column!(o => o.link.map(|id| id.0)))
        .bind(column!(o => o.click.map(|id| id.0)))
        .bind(column!(o => &o.visitor.0[..]))
        .bind(column!(o => o.at_ms))
        .bind(column!(o => o.value.map(|value| value.amount_minor)))
        .bind(column!(o => o.value.map(|value| value.currency.to_string())))
        .bind(column!(o => o.payout.map(|payout| payout.paid.split.gross_minor)))
        .bind(column!(o => o.payout.map(|payout| payout.paid.split.creator_minor)))
        .bind(column!(o => o.payout.map(|payout| payout.paid.split.fee_minor)))
        .bind(column!(o => o.payout.map(|payout| i32::from(payout.paid.fee_bps))))
        .bind(column!(o => o.payout.map(|payout| payout.paid.currency.to_string())))
        .bind(column!(o => o.payout.map(|payout| payout.transaction.0)))
        .bind(column!(o => o.payload_hash.as_str()))
        .bind(basis)
        .bind(column!(o => i16::try_from(o.legs).unwrap_or(i16::MAX)))
        .bind(column!(o => o.order))
        .bind(column!(o => o.refund_id.as_deref()))
        .bind(column!(o => o.original.map(|(event, _)| event.0)))
        .bind(column!(o => o.original.map(|(_, leg)| i16::try_from(leg).unwrap_or(i16::MAX))))
        .bind(column!(o => o.payout.map(|payout| payout.paid.split.other_minor).filter(|minor| *minor != 0)))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes clashing messages down; a repeat of one is ignored.
///
/// # Errors
/// When the database fails.
pub async fn quarantine(
    connection: &mut Connection,
    batch: i64,
    quarantined: &[Quarantined],
) -> Result<(), StoreError> {
    if quarantined.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("quarantined_commands/insert"))
        .bind(batch)
        .bind(quarantined.iter().map(|q| q.id).collect::<Vec<_>>())
        .bind(quarantined.iter().map(|q| i16::try_from(q.leg).unwrap_or(i16::MAX)).collect::<Vec<_>>())
        .bind(quarantined.iter().map(|q| q.payload_hash.as_str()).collect::<Vec<_>>())
        .bind(quarantined.iter().map(|q| q.workspace.0).collect::<Vec<_>>())
        .bind(quarantined.iter().map(|q| q.reason).collect::<Vec<_>>())
        .bind(quarantined.iter().map(|q| Json(&q.command)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// An outcome as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, sqlx::FromRow)]
pub struct OutcomeRow {
    /// The action's event.
    pub event_id: Uuid,
    /// Its leg.
    pub leg: i16,
    /// The batch that settled it.
    pub batch_id: i64,
    /// The tenant.
    pub workspace_id: Uuid,
    /// `click`, `conversion`, `sale`, `tip`, `live_sale`, `purchase` or `refund`.
    pub kind: String,
    /// `posted`, `rejected_budget`, `rejected_rule` or `nonpayable`.
    pub status: String,
    /// Why it was not paid.
    pub reason: Option<String>,
    /// The campaign it is attributed to.
    pub campaign_id: Option<Uuid>,
    /// The creator it is attributed to; of a payment, the payee.
    pub creator_id: Option<Uuid>,
    /// The link of the deciding click.
    pub link_id: Option<Uuid>,
    /// The deciding click.
    pub click_id: Option<Uuid>,
    /// Who acted: 16 bytes.
    pub visitor: Vec<u8>,
    /// The event's own time, milliseconds since 1970.
    pub at_ms: i64,
    /// What it is worth to the business, minor units.
    pub value_minor: Option<i64>,
    /// Their currency.
    pub value_currency: Option<String>,
    /// Paid out of escrow, or by a payer, minor units.
    pub gross_minor: Option<i64>,
    /// To the creator.
    pub creator_minor: Option<i64>,
    /// To the platform.
    pub fee_minor: Option<i64>,
    /// Of a payment, to its processor.
    pub other_minor: Option<i64>,
    /// The platform's share in force.
    pub fee_bps: Option<i32>,
    /// The payout's currency.
    pub currency: Option<String>,
    /// The ledger transaction.
    pub transaction_id: Option<Uuid>,
    /// The event's payload hash.
    pub payload_hash: String,
    /// How attribution came to its decision.
    #[sqlx(json)]
    pub basis: Basis,
    /// Of a refund, its own number.
    pub refund_id: Option<String>,
    /// Of a refund, the sale that it takes from.
    pub original_event_id: Option<Uuid>,
    /// The leg of that.
    pub original_leg: Option<i16>,
    /// Whether it is a reward for sharing, or a refund of one; told of batches
    /// only.
    #[sqlx(default)]
    pub is_reward: bool,
}

/// The outcomes of any of `events` in a workspace.
///
/// # Errors
/// When the database fails.
pub async fn of_events(pool: &Pool, workspace: Uuid, events: &[Uuid]) -> Result<Vec<OutcomeRow>, StoreError> {
    Ok(sqlx::query_as(sql!("outcomes/get")).bind(workspace).bind(events).fetch_all(pool).await?)
}

/// The outcomes of `batches`, in one order for every reading.
///
/// # Errors
/// When the database fails.
pub async fn of_batches(pool: &Pool, batches: &[i64]) -> Result<Vec<OutcomeRow>, StoreError> {
    Ok(sqlx::query_as(sql!("outcomes/of_batch")).bind(batches).fetch_all(pool).await?)
}

/// A click that an action was attributed by, or could have been.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct TouchRow {
    /// The tenant.
    pub workspace_id: Uuid,
    /// When the action happened, milliseconds since 1970.
    pub at_ms: i64,
    /// The action's event.
    pub event_id: Uuid,
    /// `conversion` or `sale`.
    pub kind: String,
    /// When the click happened, milliseconds since 1970.
    pub touched_at_ms: i64,
    /// The click.
    pub click_id: Uuid,
    /// Its link.
    pub link_id: Uuid,
    /// Its campaign.
    pub campaign_id: Uuid,
    /// Its creator.
    pub creator_id: Uuid,
    /// The attribution model.
    pub model: String,
    /// Its part of the action, 0 to 1.
    pub share: f64,
}

/// The clicks behind the conversions and sales of `batches`, in one order for every
/// reading.
///
/// # Errors
/// When the database fails.
pub async fn touches(pool: &Pool, batches: &[i64]) -> Result<Vec<TouchRow>, StoreError> {
    Ok(sqlx::query_as(sql!("outcomes/touches")).bind(batches).fetch_all(pool).await?)
}

/// What a refund took back of a leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct RefundRow {
    /// The refund's event.
    pub event_id: Uuid,
    /// Its leg.
    pub leg: i16,
    /// Its own number.
    pub refund_id: Option<String>,
    /// The event's own time, milliseconds since 1970.
    pub at_ms: i64,
    /// What went back to escrow; below 0.
    pub gross_minor: Option<i64>,
    /// Of it, from the creator.
    pub creator_minor: Option<i64>,
    /// Of it, from the platform.
    pub fee_minor: Option<i64>,
}

/// What refunds took back of a leg, in the order of their times.
///
/// # Errors
/// When the database fails.
pub async fn refunds_of(pool: &Pool, event: Uuid, leg: i16) -> Result<Vec<RefundRow>, StoreError> {
    Ok(sqlx::query_as(sql!("outcomes/refunds_of")).bind(event).bind(leg).fetch_all(pool).await?)
}

/// An outcome, for comparing.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SettledOutcome {
    /// The action's event.
    pub event_id: Uuid,
    /// Its leg.
    pub leg: i16,
    /// Its status.
    pub status: String,
    /// Paid out of escrow, 0 unless posted.
    pub gross_minor: i64,
    /// Whether the sink says that it has loaded it.
    pub is_loaded: bool,
}

/// Every outcome, or those of `batches`, and whether `sink` says that it has
/// loaded it.
///
/// # Errors
/// When the database fails.
pub async fn settled(
    pool: &Pool,
    sink: &str,
    batches: Option<&[i64]>,
) -> Result<Vec<SettledOutcome>, StoreError> {
    Ok(sqlx::query_as(sql!("outcomes/settled")).bind(sink).bind(batches).fetch_all(pool).await?)
}

/// What became of a leg of an action.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Decided {
    /// The action's event.
    pub event_id: Uuid,
    /// The tenant.
    pub workspace_id: Uuid,
    /// The campaign it is attributed to.
    pub campaign_id: Option<Uuid>,
    /// Why it was not paid; none if it was.
    pub reason: Option<String>,
    /// Who acted: 16 bytes.
    pub visitor: Vec<u8>,
    /// The event's own time, milliseconds since 1970.
    pub at_ms: i64,
    /// The day of the event's own time (UTC), such as `2026-11-21`.
    pub day: String,
    /// Whether it was settled before the watermark that was asked for.
    pub is_due: bool,
}

impl Decided {
    /// Whether it was paid.
    #[must_use]
    pub fn is_posted(&self) -> bool {
        self.reason.is_none()
    }
}

/// What became of actions from `from_ms` to before `to_ms`, by their own time;
/// robots' are left out.
///
/// # Errors
/// When the database fails.
pub async fn decided(
    pool: &Pool,
    from_ms: i64,
    to_ms: i64,
    watermark_ms: i64,
) -> Result<Vec<Decided>, StoreError> {
    let query = sqlx::query_as(sql!("outcomes/decided"));
    Ok(query.bind(from_ms).bind(to_ms).bind(watermark_ms).fetch_all(pool).await?)
}

/// The actions whose decisions were put aside, with campaign and day (UTC).
///
/// # Errors
/// When the database fails.
pub async fn quarantined_actions(
    pool: &Pool,
    from_ms: i64,
    to_ms: i64,
) -> Result<Vec<(Uuid, Option<Uuid>, String)>, StoreError> {
    let query = sqlx::query_as(sql!("quarantined_commands/actions"));
    Ok(query.bind(from_ms).bind(to_ms).fetch_all(pool).await?)
}

/// A posted sale of the workspace with this slug, the one with the most
/// clicks before it.
///
/// # Errors
/// When the database fails.
pub async fn some_posted_sale(pool: &Pool, slug: &str) -> Result<Option<Uuid>, StoreError> {
    Ok(sqlx::query_scalar(sql!("outcomes/some_posted_sale")).bind(slug).fetch_optional(pool).await?)
}

/// How many messages of a workspace were put aside.
///
/// # Errors
/// When the database fails.
pub async fn quarantined_count(pool: &Pool, workspace: Uuid) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(sql!("quarantined_commands/count")).bind(workspace).fetch_one(pool).await?)
}
