//! The invariants that a query on Postgres can check. The numbers are those of
//! `docs/INVARIANTS.md`.

use crate::{Pool, StoreError, sql};

/// An invariant and the query that lists what breaks it.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its number.
    pub number: u8,
    /// What must hold.
    pub title: &'static str,
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
pub const CHECKS: [Check; 21] = [
    Check {
        number: 1,
        title: "every transaction balances, per currency",
        sql: sql!("reconcile/01_transactions_balance"),
    },
    Check {
        number: 3,
        title: "every balance is the sum of its entries",
        sql: sql!("reconcile/03_balances_are_sums"),
    },
    Check {
        number: 4,
        title: "statements follow on from each other, and from the ledger",
        sql: sql!("reconcile/04_statements_follow_on"),
    },
    Check {
        number: 5,
        title: "no balance is on the wrong side of zero",
        sql: sql!("reconcile/05_no_negative_balance"),
    },
    Check {
        number: 9,
        title: "posted outcomes and campaign postings match one to one",
        sql: sql!("reconcile/09_one_outcome_one_posting"),
    },
    Check {
        number: 11,
        title: "batch ranges are contiguous and end where settlement stands",
        sql: sql!("reconcile/11_batches_are_contiguous"),
    },
    Check {
        number: 13,
        title: "budgets add up and equal their escrow accounts",
        sql: sql!("reconcile/13_budgets_add_up"),
    },
    Check {
        number: 14,
        title: "budget spent is what was posted out of escrow",
        sql: sql!("reconcile/14_spent_is_posted"),
    },
    Check {
        number: 15,
        title: "every funding and closing is posted once",
        sql: sql!("reconcile/15_fundings_are_posted_once"),
    },
    Check {
        number: 16,
        title: "nothing is posted outside of its campaign's terms",
        sql: sql!("reconcile/16_postings_within_terms"),
    },
    Check {
        number: 16,
        title: "no limited campaign spends beyond its caps",
        sql: sql!("reconcile/16b_spending_within_caps"),
    },
    Check {
        number: 17,
        title: "creator's part and fee sum to the gross",
        sql: sql!("reconcile/17_splits_are_exact"),
    },
    Check {
        number: 18,
        title: "every fee is its snapshot rate's share",
        sql: sql!("reconcile/18_fees_follow_the_rate"),
    },
    Check {
        number: 20,
        title: "what is pending is held, and released once, in time",
        sql: sql!("reconcile/20_pending_is_held"),
    },
    Check {
        number: 21,
        title: "refunds take no more than was paid, and none is lost",
        sql: sql!("reconcile/21_clawbacks_within_originals"),
    },
    Check {
        number: 22,
        title: "whoever owes has nothing available",
        sql: sql!("reconcile/22_debts_come_first"),
    },
    Check {
        number: 23,
        title: "creators hold, owe or were paid what they were credited",
        sql: sql!("reconcile/23_creators_got_their_credits"),
    },
    Check {
        number: 24,
        title: "withdrawals move forward, each step posted once",
        sql: sql!("reconcile/24_withdrawals_move_forward"),
    },
    Check {
        number: 25,
        title: "payouts, their withdrawals and their files add up",
        sql: sql!("reconcile/25_payouts_add_up"),
    },
    Check {
        number: 26,
        title: "what is in transit is on its way, and not for ever",
        sql: sql!("reconcile/26_in_transit_is_withdrawn"),
    },
    Check {
        number: 29,
        title: "cash covers what is owed",
        sql: sql!("reconcile/29_cash_covers_what_is_owed"),
    },
];

impl Check {
    /// Lists what breaks it, at most 20.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn run(&self, pool: &Pool) -> Result<Vec<Offence>, StoreError> {
        Ok(sqlx::query_as(self.sql).fetch_all(pool).await?)
    }
}
