//! Refunds on their way: to their sale, and from there to its campaign.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::ids::{CampaignId, EventId, LinkId, UserId};
use domain::ledger::Split;
use domain::money::Money;
use domain::refund::{Clawback, Order, Paid, Refund, Sold};
use domain::settlement::Orders;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Connection, Pool, StoreError, currency, narrow, sql};

/// Orders share this many locks.
const SLOTS: u8 = 64;

/// Locks the orders of a batch until the end of the transaction, so that a
/// refund and its sale, settled side by side, cannot miss each other.
///
/// # Errors
/// When the database fails.
pub async fn lock_orders(connection: &mut Connection, orders: &Orders) -> Result<(), StoreError> {
    let slot = |order: &Uuid| i32::from(order.as_bytes()[0] % SLOTS);
    let mut slots: BTreeMap<i32, bool> = orders.sold.iter().map(|order| (slot(order), false)).collect();
    slots.extend(orders.sought.iter().map(|order| (slot(order), true)));
    if slots.is_empty() {
        return Ok(());
    }
    let (slots, is_sought): (Vec<i32>, Vec<bool>) = slots.into_iter().unzip();
    sqlx::query(sql!("refunds/lock_orders")).bind(slots).bind(is_sought).execute(connection).await?;
    Ok(())
}

/// The refunds that wait for the sales of `orders`.
///
/// # Errors
/// When the database fails.
pub async fn waiting(
    connection: &mut Connection,
    orders: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Refund>>, StoreError> {
    let mut waiting: HashMap<Uuid, Vec<Refund>> = HashMap::new();
    if orders.is_empty() {
        return Ok(waiting);
    }
    let refunds: Vec<Json<Refund>> =
        sqlx::query_scalar(sql!("refunds/waiting")).bind(orders).fetch_all(connection).await?;
    for Json(refund) in refunds {
        waiting.entry(refund.order).or_default().push(refund);
    }
    Ok(waiting)
}

#[derive(sqlx::FromRow)]
struct OrderRow {
    order_key: Uuid,
    event_id: Uuid,
    leg: i16,
    legs: i16,
    kind: String,
    at_ms: i64,
    campaign_id: Option<Uuid>,
    creator_id: Option<Uuid>,
    link_id: Option<Uuid>,
    click_id: Option<Uuid>,
    value_minor: Option<i64>,
    value_currency: Option<String>,
    gross_minor: Option<i64>,
    creator_minor: Option<i64>,
    fee_minor: Option<i64>,
    other_minor: Option<i64>,
    fee_bps: Option<i32>,
    currency: Option<String>,
    refund_id: Option<String>,
    original_event_id: Option<Uuid>,
    original_leg: Option<i16>,
}

/// What is settled of `orders`; of each there is an entry.
///
/// # Errors
/// When the database fails.
pub async fn orders(
    connection: &mut Connection,
    orders: Vec<Uuid>,
) -> Result<HashMap<Uuid, Order>, StoreError> {
    let mut found: HashMap<Uuid, Order> = orders.iter().map(|key| (*key, Order::default())).collect();
    if orders.is_empty() {
        return Ok(found);
    }
    let rows: Vec<OrderRow> =
        sqlx::query_as(sql!("refunds/orders")).bind(orders).fetch_all(connection).await?;
    for row in rows {
        let order = found.entry(row.order_key).or_default();
        if row.kind == "refund" {
            add_refund(order, row);
        } else {
            order.sold.push(sold(&row)?);
        }
    }
    Ok(found)
}

fn money(minor: Option<i64>, code: Option<&str>) -> Result<Option<Money>, StoreError> {
    let Some((amount_minor, code)) = minor.zip(code) else { return Ok(None) };
    Ok(Some(Money { amount_minor, currency: currency("outcomes", code)? }))
}

fn split(row: &OrderRow) -> Split {
    let amount = |minor: Option<i64>| minor.unwrap_or_default();
    Split {
        gross_minor: amount(row.gross_minor),
        creator_minor: amount(row.creator_minor),
        fee_minor: amount(row.fee_minor),
        other_minor: amount(row.other_minor),
    }
}

fn sold(row: &OrderRow) -> Result<Sold, StoreError> {
    let paid = match money(row.gross_minor, row.currency.as_deref())? {
        None => None,
        Some(gross) => Some(Paid {
            split: split(row),
            currency: gross.currency,
            fee_bps: narrow("outcomes", row.fee_bps.unwrap_or_default().into())?,
        }),
    };
    Ok(Sold {
        event: EventId(row.event_id),
        leg: narrow("outcomes", row.leg.into())?,
        legs: narrow("outcomes", row.legs.into())?,
        at_ms: row.at_ms,
        campaign: row.campaign_id.map(CampaignId),
        creator: row.creator_id.map(UserId),
        link: row.link_id.map(LinkId),
        click: row.click_id.map(EventId),
        value: money(row.value_minor, row.value_currency.as_deref())?,
        paid,
        taken: Split::default(),
    })
}

/// Counts a settled refund in, unless it took from no leg.
fn add_refund(order: &mut Order, row: OrderRow) {
    let Some(original) = row.original_event_id.zip(row.original_leg) else { return };
    let is_of =
        |sold: &&mut Sold| (sold.event.0, i16::try_from(sold.leg).ok()) == (original.0, Some(original.1));
    if let Some(sold) = order.sold.iter_mut().find(is_of) {
        sold.taken = sold.taken.plus(split(&row).negated());
    }
    let refunded_minor = order.refunded_minor.entry(EventId(original.0)).or_default();
    *refunded_minor = refunded_minor.saturating_sub(row.value_minor.unwrap_or_default());
    order.refund_ids.extend(row.refund_id);
}

/// Writes down where refunds stand.
///
/// # Errors
/// When the database fails.
pub async fn save(
    connection: &mut Connection,
    resolved: &[Clawback],
    parked: &[Refund],
) -> Result<(), StoreError> {
    let resolved = resolved.iter().map(|clawback| (&clawback.refund, Some(clawback)));
    let mut all: Vec<_> = parked.iter().map(|refund| (refund, None)).chain(resolved).collect();
    // One that came twice in a batch is one.
    let mut seen = HashSet::new();
    all.retain(|(refund, _)| seen.insert((refund.event, refund.payload_hash.as_str())));
    if all.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($state:ident => $value:expr) => {
            all.iter().map(|$state| $value).collect::<Vec<_>>()
        };
    }
    sqlx::query(sql!("refunds/save"))
        .bind(column!(s => s.0.event.0))
        .bind(column!(s => s.0.payload_hash.as_str()))
        .bind(column!(s => s.0.workspace.0))
        .bind(column!(s => s.0.order))
        .bind(column!(s => Json(s.0)))
        .bind(column!(s => s.1.and_then(|clawback| clawback.campaign).map(|campaign| campaign.0)))
        .bind(column!(s => s.1.is_some()))
        .execute(connection)
        .await?;
    Ok(())
}

/// The first `limit` refunds that are to be sent to their campaigns.
///
/// # Errors
/// When the database fails.
pub async fn unsent(pool: &Pool, limit: i64) -> Result<Vec<Clawback>, StoreError> {
    let rows: Vec<(Json<Refund>, Option<Uuid>)> =
        sqlx::query_as(sql!("refunds/unsent")).bind(limit).fetch_all(pool).await?;
    let clawback = |(Json(refund), campaign): (Json<Refund>, Option<Uuid>)| Clawback {
        refund,
        campaign: campaign.map(CampaignId),
    };
    Ok(rows.into_iter().map(clawback).collect())
}

/// Notes that Kafka has them.
///
/// # Errors
/// When the database fails.
pub async fn sent(pool: &Pool, clawbacks: &[Clawback]) -> Result<(), StoreError> {
    sqlx::query(sql!("refunds/sent"))
        .bind(clawbacks.iter().map(|c| c.refund.event.0).collect::<Vec<_>>())
        .bind(clawbacks.iter().map(|c| c.refund.payload_hash.as_str()).collect::<Vec<_>>())
        .execute(pool)
        .await?;
    Ok(())
}

/// How many refunds wait for their sale, and how many for Kafka.
///
/// # Errors
/// When the database fails.
pub async fn counts(pool: &Pool) -> Result<(i64, i64), StoreError> {
    Ok(sqlx::query_as(sql!("refunds/counts")).fetch_one(pool).await?)
}
