//! Actions in ClickHouse beside what became of them in the books, by campaign
//! and day: nothing is lost between the collector and the ledger, and nothing
//! was paid for that never happened.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use store::Pool;
use store::outcomes::Decided;
use store::reconcile::Offence;
use uuid::Uuid;

use super::MAX_LISTED;
use crate::{MAX_QUERY_BYTES, SinkError};

/// What may earn something, in ClickHouse.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
struct Payable {
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    /// Of a click; else nil.
    #[serde(with = "clickhouse::serde::uuid")]
    clicked_campaign_id: Uuid,
    day: String,
    received_ms: i64,
}

/// One campaign on one day (UTC, of the actions' own time).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DayRow {
    /// The campaign; none for actions that none earned.
    pub campaign: Option<Uuid>,
    /// Such as `2026-11-21`.
    pub day: String,
    /// Actions in ClickHouse that may be paid.
    pub payable: u64,
    /// Actions that were paid.
    pub posted: u64,
    /// Actions that were not, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Decisions that were put aside: an id that came again as something else.
    pub quarantined: u64,
    /// Actions in ClickHouse without an outcome in the books: they wait, for so
    /// many seconds now.
    pub undecided: BTreeMap<Uuid, i64>,
    /// Outcomes in the books whose action is not in ClickHouse.
    pub unknown: BTreeSet<Uuid>,
}

/// The table, and what it is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByDay {
    /// What was settled before is compared, milliseconds since 1970.
    pub watermark_ms: i64,
    /// By day, then campaign.
    pub rows: Vec<DayRow>,
}

impl DayRow {
    /// For how long the oldest action has waited, in seconds.
    #[must_use]
    pub fn oldest_undecided_s(&self) -> Option<i64> {
        self.undecided.values().copied().max()
    }
}

impl ByDay {
    /// Outcomes without an action, and actions that have waited too long.
    #[must_use]
    pub fn offences(&self, overdue_s: i64) -> Vec<Offence> {
        let unknown = self.rows.iter().flat_map(|row| &row.unknown).map(|id| Offence {
            id: id.to_string(),
            detail: "an outcome in the books, no event in ClickHouse".to_owned(),
        });
        let undecided = self.rows.iter().flat_map(|row| &row.undecided);
        let overdue = undecided
            .filter(|(_, age_s)| **age_s > overdue_s)
            .map(|(id, age_s)| Offence { id: id.to_string(), detail: format!("no outcome after {age_s} s") });
        unknown.chain(overdue).take(MAX_LISTED).collect()
    }
}

/// Compares actions from `from_ms` to before `to_ms`, by their own time, as of
/// `now_ms`. Outcomes need an event in ClickHouse if they were settled before
/// `settled_before_ms`, and before what ClickHouse's loaders have yet to load.
///
/// # Errors
/// When either database fails.
pub async fn by_day(
    client: &Client,
    pool: &Pool,
    (from_ms, to_ms): (i64, i64),
    settled_before_ms: i64,
    now_ms: i64,
) -> Result<ByDay, SinkError> {
    // Before anything is compared: what is loaded meanwhile is no difference.
    let behind_since_ms = store::sinks::watermark(pool, "outcomes").await?;
    let loaded_until_ms: i64 =
        client.query(include_str!("../../queries/loaded_until.sql")).fetch_one().await?;
    let watermark_ms = behind_since_ms.unwrap_or(i64::MAX).min(loaded_until_ms).min(settled_before_ms);
    let paying_clicks = store::campaigns::paying_clicks(pool).await?;
    let payable: Vec<Payable> = client
        .query(include_str!("../../queries/payable_events.sql"))
        .with_setting("max_query_size", MAX_QUERY_BYTES)
        .param("from_ms", from_ms)
        .param("to_ms", to_ms)
        .bind(texts(&paying_clicks))
        .fetch_all()
        .await?;
    let decided = store::outcomes::decided(pool, from_ms, to_ms, watermark_ms).await?;
    let quarantined = store::outcomes::quarantined_actions(pool, from_ms, to_ms).await?;

    // Repeats may stand on another day than the first; ids tell.
    let outcomes: HashSet<Uuid> = decided.iter().map(|outcome| outcome.event_id).collect();
    let without: Vec<(Uuid, u16)> = payable
        .iter()
        .filter(|event| !outcomes.contains(&event.event_id))
        .map(|event| (event.event_id, 0))
        .collect();
    let elsewhere = store::outcomes::known(&mut *store::begin(pool).await?, &without).await?;
    let elsewhere: HashSet<Uuid> = elsewhere.into_keys().map(|(id, _leg)| id).collect();
    let unknown = unknown(client, pool, &payable, &decided).await?;
    Ok(ByDay { watermark_ms, rows: tally(payable, &decided, quarantined, &elsewhere, &unknown, now_ms) })
}

/// Outcomes that are due and have no event in ClickHouse, nor had one that was
/// erased or has expired.
async fn unknown(
    client: &Client,
    pool: &Pool,
    payable: &[Payable],
    decided: &[Decided],
) -> Result<HashSet<Uuid>, SinkError> {
    let events: HashSet<Uuid> = payable.iter().map(|event| event.event_id).collect();
    let mut missing: HashMap<Uuid, &Decided> = decided
        .iter()
        .filter(|outcome| outcome.is_due && !events.contains(&outcome.event_id))
        .map(|outcome| (outcome.event_id, outcome))
        .collect();
    let ids: Vec<Uuid> = missing.keys().copied().collect();
    for ids in ids.chunks(10_000) {
        let known: Vec<Id> = client
            .query(include_str!("../../queries/known_events.sql"))
            .with_setting("max_query_size", MAX_QUERY_BYTES)
            .bind(texts(ids))
            .fetch_all()
            .await?;
        for Id { event_id } in known {
            missing.remove(&event_id);
        }
    }
    if !missing.is_empty() {
        let erased: Vec<Erased> =
            client.query(include_str!("../../queries/erased_visitors.sql")).fetch_all().await?;
        let erased: HashMap<(Uuid, &[u8]), i64> =
            erased.iter().map(|one| ((one.workspace_id, &one.visitor[..]), one.until_ms)).collect();
        missing.retain(|_, outcome| {
            let until_ms = erased.get(&(outcome.workspace_id, &outcome.visitor[..]));
            until_ms.is_none_or(|until_ms| outcome.at_ms > *until_ms)
        });
    }
    if !missing.is_empty() {
        let expired = store::control::list_workspaces(pool).await?;
        let expired: HashMap<Uuid, i64> = expired.iter().map(|row| (row.id, row.expired_before_ms)).collect();
        missing.retain(|_, outcome| {
            expired.get(&outcome.workspace_id).is_none_or(|before_ms| outcome.at_ms >= *before_ms)
        });
    }
    Ok(missing.into_keys().collect())
}

#[derive(Row, Deserialize)]
struct Id {
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
}

#[derive(Row, Deserialize)]
struct Erased {
    #[serde(with = "clickhouse::serde::uuid")]
    workspace_id: Uuid,
    visitor: [u8; 16],
    until_ms: i64,
}

fn texts(ids: &[Uuid]) -> Vec<String> {
    ids.iter().map(Uuid::to_string).collect()
}

type Rows = BTreeMap<(String, Option<Uuid>), DayRow>;

fn row<'a>(rows: &'a mut Rows, day: &str, campaign: Option<Uuid>) -> &'a mut DayRow {
    let new = || DayRow { campaign, day: day.to_owned(), ..DayRow::default() };
    rows.entry((day.to_owned(), campaign)).or_insert_with(new)
}

/// The table. An action that several campaigns share counts in each of them;
/// one that was paid in part is posted.
fn tally(
    payable: Vec<Payable>,
    decided: &[Decided],
    quarantined: Vec<(Uuid, Option<Uuid>, String)>,
    elsewhere: &HashSet<Uuid>,
    unknown: &HashSet<Uuid>,
    now_ms: i64,
) -> Vec<DayRow> {
    let mut rows = Rows::new();
    // Per action and campaign, the leg that was paid, else the first.
    let mut actions: HashMap<(Uuid, Option<Uuid>), &Decided> = HashMap::new();
    for outcome in decided {
        let action = actions.entry((outcome.event_id, outcome.campaign_id)).or_insert(outcome);
        if outcome.is_posted() {
            *action = outcome;
        }
    }
    let events: HashSet<Uuid> = payable.iter().map(|event| event.event_id).collect();
    for ((event, campaign), outcome) in actions {
        let row = row(&mut rows, &outcome.day, campaign);
        row.payable += u64::from(events.contains(&event));
        match &outcome.reason {
            None => row.posted += 1,
            Some(reason) => *row.rejected.entry(reason.clone()).or_default() += 1,
        }
        if unknown.contains(&event) {
            row.unknown.insert(event);
        }
    }
    let put_aside = quarantined.iter().map(|(id, ..)| *id);
    let outcomes: HashSet<Uuid> = decided.iter().map(|outcome| outcome.event_id).chain(put_aside).collect();
    for event in payable {
        if outcomes.contains(&event.event_id) || elsewhere.contains(&event.event_id) {
            continue;
        }
        let row = row(&mut rows, &event.day, Some(event.clicked_campaign_id).filter(|id| !id.is_nil()));
        row.payable += 1;
        row.undecided.insert(event.event_id, now_ms.saturating_sub(event.received_ms) / 1_000);
    }
    for (_, campaign, day) in quarantined {
        row(&mut rows, &day, campaign).quarantined += 1;
    }
    rows.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;
    const CAMPAIGN: Option<Uuid> = Some(Uuid::from_u128(7));

    fn event(id: u128, campaign: u128) -> Payable {
        Payable {
            event_id: Uuid::from_u128(id),
            clicked_campaign_id: Uuid::from_u128(campaign),
            day: "2027-01-15".to_owned(),
            received_ms: NOW_MS - 60_000,
        }
    }

    fn outcome(id: u128, reason: Option<&str>) -> Decided {
        Decided {
            event_id: Uuid::from_u128(id),
            workspace_id: Uuid::nil(),
            campaign_id: CAMPAIGN,
            reason: reason.map(str::to_owned),
            visitor: vec![0; 16],
            at_ms: NOW_MS,
            day: "2027-01-15".to_owned(),
            is_due: true,
        }
    }

    #[test]
    fn every_action_is_paid_rejected_or_waits() {
        let payable = vec![event(1, 7), event(2, 0), event(3, 0), event(4, 7), event(5, 0), event(6, 7)];
        let decided = [
            outcome(1, None),
            // Two legs, of which one is paid.
            outcome(2, Some("budget_exhausted")),
            outcome(2, None),
            outcome(3, Some("duplicate_click")),
            outcome(9, None),
        ];
        let quarantined =
            [6, 6, 7].map(|id| (Uuid::from_u128(id), CAMPAIGN, "2027-01-15".to_owned())).to_vec();
        let (elsewhere, unknown) = ([Uuid::from_u128(5)].into(), [Uuid::from_u128(9)].into());
        let rows = tally(payable, &decided, quarantined, &elsewhere, &unknown, NOW_MS);
        let row = DayRow {
            campaign: CAMPAIGN,
            day: "2027-01-15".to_owned(),
            payable: 4,
            posted: 3,
            rejected: [("duplicate_click".to_owned(), 1)].into(),
            quarantined: 3,
            undecided: [(Uuid::from_u128(4), 60)].into(),
            unknown: [Uuid::from_u128(9)].into(),
        };
        assert_eq!(rows, [row]);
        let table = ByDay { watermark_ms: NOW_MS, rows };
        let ids = |overdue_s| -> Vec<String> {
            table.offences(overdue_s).into_iter().map(|offence| offence.id).collect()
        };
        let (unknown, undecided) = (Uuid::from_u128(9).to_string(), Uuid::from_u128(4).to_string());
        assert_eq!(ids(59), [unknown.clone(), undecided]);
        assert_eq!(ids(60), [unknown]);
    }

    #[test]
    fn an_action_that_nobody_decided_has_no_campaign() {
        let rows = tally(vec![event(1, 0)], &[], Vec::new(), &HashSet::new(), &HashSet::new(), NOW_MS);
        assert_eq!((rows.len(), rows[0].campaign, rows[0].undecided.len()), (1, None, 1));
    }
}
