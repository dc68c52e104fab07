//! Control calls. Each change is written down in the audit log, in the same
//! transaction.
//!
//! | module | controls |
//! |---|---|
//! | [`workspaces`] | workspaces and their keys |
//! | [`people`] | creators and businesses |
//! | [`budgets`] | money for campaigns, and closing them |
//! | [`campaigns`] | campaigns, their terms and who takes part |
//! | [`cohorts`] | creators who are ranked among themselves |
//! | [`coupons`] | codes that credit a creator without a click |
//! | [`payees`] | what creators must meet to be paid, and where it goes |
//! | [`payments`] | what is kept of payments, and sellers' tiers |
//! | [`links`] | tracking links |
//! | [`payouts`] | withdrawals that are sent together |
//! | [`social`] | accounts on social platforms |
//! | [`sql_access`] | workspaces' own users in ClickHouse |
//! | [`statements`] | what creators are told, once and for all |
//! | [`tax`] | from which sum on tax forms are due |
//! | [`withdrawals`] | creators' money on its way out |

pub(crate) mod budgets;
pub(crate) mod campaigns;
pub(crate) mod cohorts;
pub(crate) mod coupons;
pub(crate) mod links;
pub(crate) mod payees;
pub(crate) mod payments;
pub(crate) mod payouts;
pub(crate) mod people;
pub(crate) mod social;
pub(crate) mod sql_access;
pub(crate) mod statements;
pub(crate) mod tax;
pub(crate) mod withdrawals;
pub(crate) mod workspaces;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::money::FULL_BPS;
use serde::Serialize;
use serde_json::Value;
use store::Transaction;
use uuid::Uuid;

use crate::access::Actor;
use crate::error::ApiError;

type Body<T> = Result<Json<T>, JsonRejection>;

fn created(body: impl Serialize) -> Response {
    (StatusCode::CREATED, Json(body)).into_response()
}

fn check_bps(field: &str, bps: u16) -> Result<(), ApiError> {
    if bps > FULL_BPS {
        return Err(ApiError::invalid(field, format!("{bps} basis points are more than 100 % ({FULL_BPS})")));
    }
    Ok(())
}

/// Commits a change, with its entry in the audit log.
async fn commit(
    actor: &Actor,
    mut transaction: Transaction,
    action: &str,
    kind: &str,
    id: Uuid,
    after: &Value,
) -> Result<(), ApiError> {
    store::control::audit(&mut transaction, &actor.name(), action, kind, id, after).await?;
    Ok(store::commit(transaction).await?)
}
