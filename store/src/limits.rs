//! What limited campaigns have spent, and whom they have paid for. All of it is
//! under the lock of the campaign's budget.

use std::collections::{BTreeSet, HashSet};

use domain::command::Command;
use domain::ids::{CampaignId, EventId, UserId, WorkspaceId};
use domain::limits::{Spend, SpendKey, Spending};
use domain::settlement::Moment;
use domain::wallet::quarter_of;
use uuid::Uuid;

use crate::{Connection, StoreError, sql};

/// Those of `campaigns` that have limits; `newly` are those that a batch says
/// have, and need not have had before.
///
/// # Errors
/// When the database fails.
pub async fn limited(
    connection: &mut Connection,
    campaigns: &[CampaignId],
    newly: &[CampaignId],
) -> Result<HashSet<CampaignId>, StoreError> {
    let ids = |campaigns: &[CampaignId]| campaigns.iter().map(|id| id.0).collect::<Vec<Uuid>>();
    if !newly.is_empty() {
        sqlx::query(sql!("campaign_spending/begin")).bind(ids(newly)).execute(&mut *connection).await?;
    }
    if campaigns.is_empty() {
        return Ok(HashSet::new());
    }
    let limited: Vec<Uuid> = sqlx::query_scalar(sql!("campaign_spending/limited"))
        .bind(ids(campaigns))
        .fetch_all(connection)
        .await?;
    Ok(limited.into_iter().map(CampaignId).collect())
}

/// What `campaigns` have spent, as far as payouts at `moments` ask for it, and
/// the customers of `commands` that they have paid for.
///
/// # Errors
/// When the database fails.
pub async fn read(
    connection: &mut Connection,
    campaigns: HashSet<CampaignId>,
    moments: &[Moment],
    commands: &[Command],
) -> Result<Spending, StoreError> {
    let mut spending = Spending { campaigns, ..Spending::default() };
    if spending.campaigns.is_empty() {
        return Ok(spending);
    }
    let quarters: BTreeSet<(WorkspaceId, i64)> =
        moments.iter().map(|(workspace, at_ms, ..)| (*workspace, quarter_of(*at_ms))).collect();
    let days: Vec<i32> = sqlx::query_scalar(sql!("campaign_spending/days"))
        .bind(quarters.iter().map(|(workspace, _)| workspace.0).collect::<Vec<_>>())
        .bind(quarters.iter().map(|(_, quarter_ms)| *quarter_ms).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
    spending.days = quarters.into_iter().zip(days).collect();
    let spends = moments.iter().map(|(workspace, at_ms, campaign, creator)| Spend {
        campaign: *campaign,
        creator: *creator,
        day: spending.day(*workspace, *at_ms),
        gross_minor: 0,
    });
    let keys: BTreeSet<SpendKey> = spends.flat_map(SpendKey::of).collect();
    let rows: Vec<(Uuid, Option<Uuid>, Option<i32>, i64)> = sqlx::query_as(sql!("campaign_spending/read"))
        .bind(keys.iter().map(|key| key.campaign.0).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.creator.map(|id| id.0)).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.day).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
    for (campaign, creator, day, spent_minor) in rows {
        let key = SpendKey { campaign: CampaignId(campaign), creator: creator.map(UserId), day };
        spending.spent_minor.insert(key, spent_minor);
    }
    read_customers(connection, &mut spending, commands).await?;
    Ok(spending)
}

async fn read_customers(
    connection: &mut Connection,
    spending: &mut Spending,
    commands: &[Command],
) -> Result<(), StoreError> {
    let customer = |command: &Command| match command {
        Command::Credit(credit) => {
            let under = credit.limits.filter(|under| under.limits.once_per_customer)?;
            Some((credit.campaign?.0, under.customer))
        }
        _ => None,
    };
    let (campaigns, customers): (Vec<Uuid>, Vec<Uuid>) = commands.iter().filter_map(customer).unzip();
    if campaigns.is_empty() {
        return Ok(());
    }
    let rows: Vec<(Uuid, Uuid, Uuid)> = sqlx::query_as(sql!("rewarded_customers/read"))
        .bind(campaigns)
        .bind(customers)
        .fetch_all(connection)
        .await?;
    for (campaign, customer, event) in rows {
        spending.customers.insert((CampaignId(campaign), customer), EventId(event));
    }
    Ok(())
}

/// Writes down what has changed.
///
/// # Errors
/// When the database fails.
pub async fn save(connection: &mut Connection, batch: i64, spending: &Spending) -> Result<(), StoreError> {
    let changed = &spending.changed;
    if !changed.is_empty() {
        let spent_minor = |key: &SpendKey| spending.spent_minor.get(key).copied().unwrap_or_default();
        sqlx::query(sql!("campaign_spending/save"))
            .bind(changed.iter().map(|key| key.campaign.0).collect::<Vec<_>>())
            .bind(changed.iter().map(|key| key.creator.map(|id| id.0)).collect::<Vec<_>>())
            .bind(changed.iter().map(|key| key.day).collect::<Vec<_>>())
            .bind(changed.iter().map(spent_minor).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
    }
    let new = &spending.new_customers;
    if !new.is_empty() {
        sqlx::query(sql!("rewarded_customers/insert"))
            .bind(batch)
            .bind(new.iter().map(|(campaign, ..)| campaign.0).collect::<Vec<_>>())
            .bind(new.iter().map(|(_, customer, _)| *customer).collect::<Vec<_>>())
            .bind(new.iter().map(|(.., event)| event.0).collect::<Vec<_>>())
            .execute(connection)
            .await?;
    }
    Ok(())
}
