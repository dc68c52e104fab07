//! The invariants that a query on Postgres can check. The numbers are those of
//! `docs/INVARIANTS.md`.

use domain::audit::MAX_LISTED;
use sqlx::{AssertSqlSafe, PgExecutor};

use crate::{Connection, StoreError, sql};

/// How much of the books a check needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Each batch by itself: of books that were checked before, the new ones.
    /// Its query says by a mark, such as `:batch(batch_id)`, which rows it looks at.
    Batches,
    /// What stands now, however it came about: cheap.
    Now,
    /// The sums of all that ever happened.
    Ever,
    /// The new batches, on top of what was found when the last were checked.
    Since,
}

/// An invariant and the query that lists what breaks it.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its number.
    pub number: u8,
    /// What must hold.
    pub title: &'static str,
    /// How much it needs.
    pub scope: Scope,
    sql: &'static str,
}

/// Something that breaks an invariant.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, sqlx::FromRow)]
pub struct Offence {
    /// The id of the offending thing.
    pub id: String,
    /// What is wrong with it.
    pub detail: String,
}

/// All checks, in the order of their numbers.
pub const CHECKS: [Check; 18] = [
    Check {
        number: 3,
        title: "every balance has moved by its new entries",
        scope: Scope::Since,
        sql: sql!("reconcile/03_balances_moved"),
    },
    Check {
        number: 4,
        title: "statements follow on from each other, and from the ledger",
        scope: Scope::Ever,
        sql: sql!("reconcile/04_statements_follow_on"),
    },
    Check {
        number: 5,
        title: "no balance is on the wrong side of zero",
        scope: Scope::Now,
        sql: sql!("reconcile/05_no_negative_balance"),
    },
    Check {
        number: 11,
        title: "batch ranges are contiguous and end where settlement stands",
        scope: Scope::Now,
        sql: sql!("reconcile/11_batches_are_contiguous"),
    },
    Check {
        number: 13,
        title: "budgets add up and equal their escrow accounts",
        scope: Scope::Now,
        sql: sql!("reconcile/13_budgets_add_up"),
    },
    Check {
        number: 15,
        title: "every funding and closing is posted once",
        scope: Scope::Ever,
        sql: sql!("reconcile/15_fundings_are_posted_once"),
    },
    Check {
        number: 16,
        title: "nothing is posted outside of its campaign's terms",
        scope: Scope::Batches,
        sql: sql!("reconcile/16_postings_within_terms"),
    },
    Check {
        number: 16,
        title: "no limited campaign spends beyond its caps",
        scope: Scope::Ever,
        sql: sql!("reconcile/16b_spending_within_caps"),
    },
    Check {
        number: 18,
        title: "every fee is its snapshot rate's share",
        scope: Scope::Batches,
        sql: sql!("reconcile/18_fees_follow_the_rate"),
    },
    Check {
        number: 18,
        title: "every reward for sharing is its share of a leg that was paid",
        scope: Scope::Batches,
        sql: sql!("reconcile/18b_rewards_go_with_legs"),
    },
    Check {
        number: 20,
        title: "what is pending is held, and released once, in time",
        scope: Scope::Ever,
        sql: sql!("reconcile/20_pending_is_held"),
    },
    Check {
        number: 21,
        title: "refunds take no more than was paid, and none is lost",
        scope: Scope::Ever,
        sql: sql!("reconcile/21_clawbacks_within_originals"),
    },
    Check {
        number: 22,
        title: "whoever owes has nothing available",
        scope: Scope::Now,
        sql: sql!("reconcile/22_debts_come_first"),
    },
    Check {
        number: 23,
        title: "creators hold, owe or were paid what they were credited",
        scope: Scope::Ever,
        sql: sql!("reconcile/23_creators_got_their_credits"),
    },
    Check {
        number: 24,
        title: "withdrawals move forward, each step posted once",
        scope: Scope::Ever,
        sql: sql!("reconcile/24_withdrawals_move_forward"),
    },
    Check {
        number: 25,
        title: "payouts, their withdrawals and their files add up",
        scope: Scope::Ever,
        sql: sql!("reconcile/25_payouts_add_up"),
    },
    Check {
        number: 26,
        title: "what is in transit is on its way, and not for ever",
        scope: Scope::Now,
        sql: sql!("reconcile/26_in_transit_is_withdrawn"),
    },
    Check {
        number: 29,
        title: "cash covers what is owed",
        scope: Scope::Now,
        sql: sql!("reconcile/29_cash_covers_what_is_owed"),
    },
];

impl Check {
    /// Whether it is run over all of the books, or over new batches only.
    #[must_use]
    pub fn is_run(&self, over: Extent<'_>) -> bool {
        match self.scope {
            Scope::Batches | Scope::Now => true,
            Scope::Ever => over == Extent::Full,
            Scope::Since => over != Extent::Full,
        }
    }

    /// Lists what breaks it, at most 20.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn run(&self, from: impl PgExecutor<'_>, over: Extent<'_>) -> Result<Vec<Offence>, StoreError> {
        // Told that few rows are wanted, the planner would look for the first of
        // them by the dearest of ways; there are none.
        let sql = within(self.sql, over);
        let sql = format!(
            "WITH offences AS MATERIALIZED (\n{sql}\n) SELECT id, detail FROM offences LIMIT {MAX_LISTED}"
        );
        Ok(sqlx::query_as(AssertSqlSafe(sql)).fetch_all(from).await?)
    }
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent<'a> {
    /// All of the books.
    Full,
    /// These batches, and what is cheap to look at.
    New(&'a [i64]),
}

/// The marks by which a query says which of its rows belong to batches, and what
/// the ids before the parenthesis are then among.
const MARKS: [(&str, &str); 3] = [
    (":batch(", "{batches}"),
    (":transaction(", "SELECT id FROM ledger_transactions WHERE batch_id IN ({batches})"),
    (
        ":account(",
        "SELECT account_id FROM ledger_entries WHERE transaction_id IN \
            (SELECT id FROM ledger_transactions WHERE batch_id IN ({batches}))",
    ),
];

/// Says in `sql` which rows are looked at.
pub(crate) fn within(sql: &str, over: Extent<'_>) -> String {
    let mut sql = sql.to_owned();
    for (mark, among) in MARKS {
        while let Some((before, rest)) = sql.split_once(mark) {
            let (column, after) = rest.split_once(')').expect("a mark is closed");
            let condition = match over {
                Extent::Full => "true".to_owned(),
                Extent::New(batches) => {
                    let ids: Vec<String> = batches.iter().map(i64::to_string).collect();
                    // A list of none is no list to SQL.
                    let ids = if ids.is_empty() { "NULL".to_owned() } else { ids.join(",") };
                    format!("{column} IN ({})", among.replace("{batches}", &ids))
                }
            };
            sql = format!("{before}{condition}{after}");
        }
    }
    sql
}

/// A part of reconcile that keeps its own position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Postgres alone.
    Books,
    /// The outcomes in ClickHouse.
    Clickhouse,
}

impl Part {
    fn code(self) -> &'static str {
        match self {
            Self::Books => "books",
            Self::Clickhouse => "clickhouse",
        }
    }
}

/// Batches that were not checked yet; for ClickHouse, that its sink has loaded.
///
/// # Errors
/// When the database fails.
pub async fn new_batches(from: impl PgExecutor<'_>, part: Part) -> Result<Vec<i64>, StoreError> {
    let sql = sql!("reconciled_positions/new_batches");
    Ok(sqlx::query_scalar(sql).bind(part.code()).fetch_all(from).await?)
}

/// Notes that `batches` were found right, and with them, for the books, every
/// balance as it is seen now.
///
/// # Errors
/// When the database fails.
pub async fn advance(connection: &mut Connection, part: Part, batches: &[i64]) -> Result<(), StoreError> {
    sqlx::query(sql!("reconciled_positions/advance"))
        .bind(part.code())
        .bind(batches)
        .execute(&mut *connection)
        .await?;
    if part == Part::Books {
        sqlx::query(sql!("reconciled_accounts/save")).execute(connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_say_what_they_look_at() {
        let sql = "SELECT x::text FROM t WHERE :batch(t.b) AND :transaction(id)";
        assert_eq!(within(sql, Extent::Full), "SELECT x::text FROM t WHERE true AND true");
        let new = "SELECT x::text FROM t WHERE t.b IN (7,9) \
            AND id IN (SELECT id FROM ledger_transactions WHERE batch_id IN (7,9))";
        assert_eq!(within(sql, Extent::New(&[7, 9])), new);
    }

    #[test]
    fn what_is_looked_at_is_said_where_it_can_be() {
        for check in CHECKS {
            let is_marked = check.sql.contains(":batch(") || check.sql.contains(":transaction(");
            let is_partial = matches!(check.scope, Scope::Batches | Scope::Since);
            assert_eq!(is_marked, is_partial, "{}", check.title);
        }
    }
}
