//! From which sum on a tax form is due, and who was paid that much.

use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{Connection, Pool, StoreError, sql};

/// A threshold, from a calendar year on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct TaxThreshold {
    /// The form, such as `1099-NEC`.
    pub form: String,
    /// The currency that is paid in.
    pub currency: String,
    /// The first year that it holds for.
    pub from_year: i16,
    /// The form is due from this sum on, minor units.
    pub amount_minor: i64,
}

/// What a creator was paid within a year, beside a form's threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct TaxLine {
    /// The form.
    pub form: String,
    /// The creator.
    pub creator_id: Uuid,
    /// The creator's user name.
    pub username: String,
    /// The creator's name.
    pub display_name: String,
    /// The creator's address for mail.
    pub email: String,
    /// The currency.
    pub currency: String,
    /// Paid out within the year, minor units.
    pub paid_minor: i64,
    /// The threshold, minor units.
    pub threshold_minor: i64,
    /// Whether the form is due.
    pub is_due: bool,
    /// Which of the creator's documents are approved.
    pub documents: Vec<String>,
}

/// Notes a threshold.
///
/// # Errors
/// When the database fails.
pub async fn set_threshold(
    connection: &mut Connection,
    workspace: Uuid,
    threshold: &TaxThreshold,
    actor: &str,
) -> Result<(), StoreError> {
    sqlx::query(sql!("tax_thresholds/insert"))
        .bind(workspace)
        .bind(&threshold.form)
        .bind(&threshold.currency)
        .bind(threshold.from_year)
        .bind(threshold.amount_minor)
        .bind(actor)
        .execute(connection)
        .await?;
    Ok(())
}

/// The thresholds, by form, currency and year.
///
/// # Errors
/// When the database fails.
pub async fn thresholds(from: impl PgExecutor<'_>, workspace: Uuid) -> Result<Vec<TaxThreshold>, StoreError> {
    Ok(sqlx::query_as(sql!("tax_thresholds/list")).bind(workspace).fetch_all(from).await?)
}

/// Who was paid how much within a calendar year of the workspace's time zone, in
/// each currency that a form has a threshold for.
///
/// # Errors
/// When the database fails.
pub async fn report(pool: &Pool, workspace: Uuid, year: i16) -> Result<Vec<TaxLine>, StoreError> {
    let query = sqlx::query_as(sql!("tax_thresholds/report"));
    Ok(query.bind(workspace).bind(i32::from(year)).fetch_all(pool).await?)
}
