//! Routes, start and stop.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post, put};
use clickhouse::Client;
use runtime::producer::Publisher;
use runtime::sealed::SealingKey;
use runtime::shutdown::CancellationToken;
use store::Pool;

use crate::control::{
    budgets, campaigns, cohorts, coupons, links, payees, payments, payouts, people, social, sql_access,
    statements, tax, withdrawals, workspaces,
};
use crate::error::ApiError;
use crate::kept_answers::{KeptAnswers, keep};
use crate::me;
use crate::reports::{
    self, breakdowns, experiment, explain, funnel, leaderboards, retention, sessions, timeseries, trending,
    wallet,
};

/// How the API behaves.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// SHA-256 of the admin key; see [`crate::hash_key`].
    pub admin_key_hash: [u8; 32],
    /// The topic that fundings go to.
    pub credits_topic: String,
    /// What the databases of workspaces' views are called; see [`crate::views_prefix`].
    pub views_prefix: String,
    /// What tokens are sealed with; without one none are kept.
    pub secrets_key: Option<Arc<SealingKey>>,
    /// For how long costly answers of reports are kept; not at all, if 0.
    pub answers_kept_for: Duration,
}

/// What every request may use.
pub(crate) struct App {
    pub(crate) settings: ApiSettings,
    pub(crate) pool: Pool,
    pub(crate) clickhouse: Client,
    pub(crate) publisher: Publisher,
    pub(crate) kept_answers: KeptAnswers,
}

/// Serves until `stop` is cancelled.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    settings: ApiSettings,
    pool: Pool,
    clickhouse: Client,
    publisher: Publisher,
    listener: tokio::net::TcpListener,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let kept_answers = KeptAnswers::new(settings.answers_kept_for);
    let app = Arc::new(App { settings, pool, clickhouse: bounded(clickhouse), publisher, kept_answers });
    axum::serve(listener, router(app)).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// The same client; nobody's report takes all there is.
fn bounded(clickhouse: Client) -> Client {
    clickhouse
        .with_setting("max_execution_time", "30")
        .with_setting("max_memory_usage", "4000000000")
        .with_setting("max_bytes_before_external_group_by", "1000000000")
        .with_setting("max_bytes_before_external_sort", "1000000000")
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/workspaces", post(workspaces::create_workspace).get(workspaces::list_workspaces))
        .route("/v1/privacy", put(workspaces::set_privacy))
        .route("/v1/retention", put(workspaces::set_retention).get(workspaces::retention))
        .route("/v1/webhooks", put(workspaces::set_webhook))
        .route("/v1/signing-keys", post(workspaces::rotate_signing_key))
        .route("/v1/sql-access", put(sql_access::set).delete(sql_access::remove))
        .route("/v1/keys", post(workspaces::create_key))
        .route("/v1/creators", post(people::create_creator).get(people::list_creators))
        .route("/v1/businesses", post(people::create_business).get(people::list_businesses))
        .route("/v1/staff", post(people::create_staff))
        .route("/v1/users/{id}/keys", post(people::create_key))
        .route("/v1/user-keys/{id}", delete(people::revoke_key))
        .route("/v1/me", get(me::who))
        .route("/v1/me/wallet", get(me::wallet))
        .route("/v1/me/campaigns", get(me::campaigns))
        .route("/v1/me/outcomes", get(me::outcomes))
        .route("/v1/me/withdrawals", get(me::withdrawals).post(me::request_withdrawal))
        .route("/v1/me/statements", get(me::statements))
        .route("/v1/me/statements/{id}", get(me::statement))
        .route("/v1/campaigns", post(campaigns::create_campaign).get(campaigns::list_campaigns))
        .route("/v1/campaigns/{id}", get(campaigns::get_campaign))
        .route("/v1/campaigns/{id}/terms", post(campaigns::add_terms))
        .route("/v1/campaigns/{id}/fundings", post(budgets::fund))
        .route("/v1/campaigns/{id}/boosts", post(budgets::boost))
        .route("/v1/campaigns/{id}/close", post(budgets::close))
        .route("/v1/campaigns/{id}/status", put(campaigns::set_status))
        .route("/v1/campaigns/{id}/creators", post(campaigns::set_member))
        .route("/v1/creators/{id}/documents", post(payees::set_document))
        .route("/v1/creators/{id}/hold", post(payees::set_hold))
        .route("/v1/creators/{id}/tier", post(payments::set_tier))
        .route("/v1/payment-terms", post(payments::set_terms).get(payments::list_terms))
        .route("/v1/policy", post(payees::set_policy))
        .route("/v1/statements", post(statements::issue).get(statements::list))
        .route("/v1/statements/{id}", get(statements::get))
        .route("/v1/creators/{id}/payout-account", post(payees::set_account))
        .route("/v1/tax-thresholds", post(tax::set_threshold).get(tax::list_thresholds))
        .route("/v1/tax-report", get(tax::report))
        .route("/v1/payout-origin", post(payees::set_origin))
        .route("/v1/payouts", post(payouts::propose).get(payouts::list))
        .route("/v1/payouts/{id}", get(payouts::get))
        .route("/v1/payouts/{id}/file", get(payouts::file))
        .route("/v1/payouts/{id}/settle", post(payouts::settle))
        .route("/v1/payouts/{id}/{step}", post(payouts::step))
        .route("/v1/withdrawals", post(withdrawals::request).get(withdrawals::list))
        .route("/v1/withdrawals/{id}/{step}", post(withdrawals::step))
        .route("/v1/coupons", post(coupons::create_coupon).get(coupons::list_coupons))
        .route("/v1/links", post(links::create_link).get(links::list_links))
        .route("/v1/links/{id}", put(links::change_link))
        .route("/v1/wallets/{user}", get(wallet::wallet))
        .route("/v1/cohorts", post(cohorts::create).get(cohorts::list))
        .route("/v1/cohorts/{id}/creators/{creator}", put(cohorts::add).delete(cohorts::remove))
        .route("/v1/social-accounts", post(social::create).get(social::list))
        .route("/v1/social-accounts/{id}", get(social::get).put(social::change).delete(social::remove))
        .route("/v1/social-readings", post(social::report))
        .route("/v1/media-kits/{creator}", get(social::media_kit))
        .merge(reports(&app))
        .route("/v1/conversions/{id}/explain", get(explain::explain))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(|| async { runtime::telemetry::render_metrics() }))
        .fallback(|| async {
            ApiError::new(StatusCode::NOT_FOUND, "unknown_path", "there is nothing at this path")
        })
        .method_not_allowed_fallback(|| async {
            let message = "this path does not take this method; see its Allow header";
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message)
        })
        .layer(map_response(in_our_form))
        .with_state(app)
}

/// What is told from ClickHouse.
fn reports(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/v1/leaderboards", get(leaderboards::leaderboard))
        .route("/v1/reports/timeseries", get(timeseries::timeseries))
        .route("/v1/reports/breakdown", get(breakdowns::breakdown))
        .route("/v1/reports/trending", get(trending::trending))
        .route("/v1/reports/social", get(reports::social::social))
        .route("/v1/reports/social-growth", get(reports::social::growth))
        .route("/v1/reports/pages", get(breakdowns::pages))
        .route("/v1/reports/sessions", get(sessions::sessions))
        .route("/v1/reports/funnel", get(funnel::funnel))
        .route("/v1/reports/experiment", get(experiment::experiment))
        .route("/v1/reports/retention", get(retention::retention))
        .layer(from_fn_with_state(Arc::clone(app), keep))
}

/// What the router itself refuses, told as we tell everything else.
async fn in_our_form(response: Response) -> Response {
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if is_json || response.status() != StatusCode::BAD_REQUEST {
        return response;
    }
    let message = "the address cannot be read: an id in it is a UUID, and what is escaped must be UTF-8";
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_address", message).into_response()
}
