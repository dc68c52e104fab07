//! Creators' accounts on social platforms, and what is reported of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::social::{Figures, Plan, Platform, is_external_id};
use domain::timestamp::{MAX_CLOCK_AHEAD_MS, MIN_EVENT_MS};
use runtime::clock::now_ms;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use store::social::{AccountRow, Change, NewAccount, Reading, Token, Wanted};
use uuid::Uuid;

use crate::access::{InFinance, InWorkspace, Tenant};
use crate::control::{Body, commit, created};
use crate::error::ApiError;
use crate::server::App;

/// Readings of one request.
const MAX_READINGS: usize = 1_000;
const MAX_HANDLE_CHARS: usize = 200;
/// No platform's token is longer.
const MAX_TOKEN_BYTES: usize = 4_096;
/// In the year 2100.
const MAX_EXPIRY_MS: i64 = 4_102_444_800_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountInput {
    creator_id: Uuid,
    platform: Platform,
    external_id: String,
    #[serde(default)]
    handle: String,
    #[serde(default)]
    plan: Plan,
    #[serde(default)]
    is_published: bool,
    token: Option<String>,
    token_expires_at_ms: Option<i64>,
}

/// What is absent stays; a token of null goes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeInput {
    handle: Option<String>,
    plan: Option<Plan>,
    is_published: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    token: Option<Option<String>>,
    token_expires_at_ms: Option<i64>,
}

/// Tells null from absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    // Read by the tenant.
    #[serde(rename = "workspace")]
    _workspace: Option<String>,
    creator: Option<Uuid>,
    #[serde(default)]
    due: bool,
}

/// A reading, as it is reported.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadingInput {
    account_id: Uuid,
    #[serde(default)]
    post_id: String,
    published_at_ms: Option<i64>,
    captured_at_ms: i64,
    figures: BTreeMap<String, Option<u64>>,
}

fn check_handle(handle: &str) -> Result<(), ApiError> {
    if handle.chars().count() > MAX_HANDLE_CHARS {
        return Err(ApiError::invalid("handle", format!("has more than {MAX_HANDLE_CHARS} characters")));
    }
    Ok(())
}

/// A token as it is kept: sealed, for this account only.
fn seal(
    app: &App,
    (id, platform): (Uuid, Platform),
    token: Option<&str>,
    expires_at_ms: Option<i64>,
) -> Result<Token, ApiError> {
    let Some(token) = token else {
        if expires_at_ms.is_some() {
            return Err(ApiError::invalid("token_expires_at_ms", "is said of a token; give it as well"));
        }
        return Ok(Token::default());
    };
    if !platform.is_fetched() {
        let message = format!("is of no use: nothing is fetched from {}; report readings", platform.code());
        return Err(ApiError::invalid("token", message));
    }
    let is_plain = |c: char| c.is_ascii_graphic();
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES || !token.chars().all(is_plain) {
        let message = format!("has 1 to {MAX_TOKEN_BYTES} characters of ASCII, without spaces");
        return Err(ApiError::invalid("token", message));
    }
    if expires_at_ms.is_some_and(|at_ms| !(now_ms()..MAX_EXPIRY_MS).contains(&at_ms)) {
        let message = "is in milliseconds since 1970, later than now, and before the year 2100";
        return Err(ApiError::invalid("token_expires_at_ms", message));
    }
    let key = app.settings.secrets_key.as_ref().ok_or_else(|| {
        let message = "tokens are kept sealed, and there is no key to seal them with: set --secrets-key";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "no_secrets_key", message)
    })?;
    let sealed = key.seal(id.as_bytes(), token.as_bytes());
    let sealed = sealed.map_err(|error| ApiError::invalid("token", error))?;
    Ok(Token { sealed: Some(sealed), expires_at_ms })
}

async fn find(app: &App, workspace: &Tenant, id: Uuid) -> Result<AccountRow, ApiError> {
    let wanted = Wanted { id: Some(id), ..Wanted::default() };
    let found = store::social::list(&app.pool, workspace.id, wanted).await?;
    found.into_iter().next().ok_or_else(|| ApiError::not_found("social account"))
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<AccountInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    if !is_external_id(&input.external_id) {
        return Err(ApiError::invalid("external_id", "has 1 to 200 of A-Z, a-z, 0-9, _ - . @ and :"));
    }
    check_handle(&input.handle)?;
    let (creator, platform) = (input.creator_id, input.platform);
    let removed =
        store::social::find_removed(&app.pool, workspace.id, creator, platform, &input.external_id).await?;
    let id = removed.unwrap_or_else(Uuid::now_v7);
    let account = NewAccount {
        id,
        creator,
        platform,
        external_id: &input.external_id,
        handle: &input.handle,
        plan: input.plan,
        is_published: input.is_published,
        token: seal(&app, (id, platform), input.token.as_deref(), input.token_expires_at_ms)?,
    };
    let has_token = account.token.sealed.is_some();
    let mut transaction = store::begin(&app.pool).await?;
    if !store::social::insert(&mut transaction, workspace.id, &account, now_ms()).await? {
        return Err(match removed {
            Some(_) => ApiError::conflict("somebody else has just made this account again"),
            None => ApiError::not_found("creator"),
        });
    }
    let shown = json!({
        "id": id,
        "creator_id": creator,
        "platform": platform,
        "external_id": input.external_id,
        "handle": input.handle,
        "plan": input.plan,
        "is_published": input.is_published,
        "has_token": has_token,
    });
    commit(&workspace.actor, transaction, "create", "social_account", id, &shown).await?;
    Ok(created(find(&app, &workspace, id).await?))
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let wanted = Wanted { creator: query.creator, id: None, due: query.due };
    let accounts = store::social::list(&app.pool, workspace.id, wanted).await?;
    Ok(Json(json!({ "accounts": accounts })).into_response())
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    Path(id): Path<Uuid>,
) -> Result<Response, ApiError> {
    Ok(Json(find(&app, &workspace, id).await?).into_response())
}

pub(crate) async fn change(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path(id): Path<Uuid>,
    body: Body<ChangeInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    check_handle(input.handle.as_deref().unwrap_or_default())?;
    let found = find(&app, &workspace, id).await?;
    let platform = Platform::of_code(&found.platform).unwrap_or(Platform::Other);
    let given = input.token.as_ref().and_then(Option::as_deref);
    let sealed = seal(&app, (id, platform), given, input.token_expires_at_ms)?;
    let token = input.token.is_some().then_some(sealed);
    let change =
        Change { handle: input.handle.as_deref(), plan: input.plan, is_published: input.is_published, token };
    let shown = json!({
        "id": id,
        "handle": change.handle,
        "plan": change.plan,
        "is_published": change.is_published,
        "token": change.token.as_ref().map(|token| if token.sealed.is_some() { "changed" } else { "removed" }),
    });
    let mut transaction = store::begin(&app.pool).await?;
    if !store::social::change(&mut transaction, workspace.id, id, platform, &change).await? {
        return Err(ApiError::not_found("social account"));
    }
    commit(&workspace.actor, transaction, "change", "social_account", id, &shown).await?;
    Ok(Json(find(&app, &workspace, id).await?).into_response())
}

pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path(id): Path<Uuid>,
) -> Result<Response, ApiError> {
    let mut transaction = store::begin(&app.pool).await?;
    if !store::social::remove(&mut transaction, workspace.id, id).await? {
        return Err(ApiError::not_found("social account"));
    }
    commit(&workspace.actor, transaction, "remove", "social_account", id, &Value::Null).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Takes what somebody else has read: all of it, or nothing.
pub(crate) async fn report(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<Vec<ReadingInput>>,
) -> Result<Response, ApiError> {
    let Json(inputs) = body?;
    if !(1..=MAX_READINGS).contains(&inputs.len()) {
        let message = format!("has 1 to {MAX_READINGS} readings, not {}", inputs.len());
        return Err(ApiError::invalid("the list", message));
    }
    let now_ms = now_ms();
    let readings: Vec<Reading> = inputs
        .into_iter()
        .enumerate()
        .map(|(index, input)| {
            reading(input, now_ms).map_err(|error| error.about(&format!("reading {index}")))
        })
        .collect::<Result<_, _>>()?;
    let accounts: BTreeSet<Uuid> = readings.iter().map(|reading| reading.account).collect();
    let accounts: Vec<Uuid> = accounts.into_iter().collect();
    let mut transaction = store::begin(&app.pool).await?;
    let unknown = store::social::unknown(&mut transaction, workspace.id, &accounts).await?;
    if let Some(index) = readings.iter().position(|reading| unknown.contains(&reading.account)) {
        return Err(ApiError::not_found("social account").about(&format!("reading {index}")));
    }
    store::social::add_readings(&mut transaction, &readings).await?;
    store::commit(transaction).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "readings": readings.len() }))).into_response())
}

fn reading(input: ReadingInput, now_ms: i64) -> Result<Reading, ApiError> {
    let moments = MIN_EVENT_MS..=now_ms + MAX_CLOCK_AHEAD_MS;
    for (name, moment) in
        [("captured_at_ms", Some(input.captured_at_ms)), ("published_at_ms", input.published_at_ms)]
    {
        if moment.is_some_and(|moment| !moments.contains(&moment)) {
            return Err(ApiError::invalid(
                name,
                "is in milliseconds since 1970, after 1999, and not to come",
            ));
        }
    }
    if !input.post_id.is_empty() && !is_external_id(&input.post_id) {
        return Err(ApiError::invalid("post_id", "has at most 200 of A-Z, a-z, 0-9, _ - . @ and :"));
    }
    if input.post_id.is_empty() && input.published_at_ms.is_some() {
        return Err(ApiError::invalid("published_at_ms", "is said of a post; give its post_id"));
    }
    if input.published_at_ms.is_some_and(|published_ms| published_ms > input.captured_at_ms) {
        return Err(ApiError::invalid("published_at_ms", "is after captured_at_ms"));
    }
    let figures = Figures::named(&input.figures).map_err(|problem| ApiError::invalid("figures", problem))?;
    if !input.post_id.is_empty()
        && (figures.followers, figures.following, figures.posts) != (None, None, None)
    {
        return Err(ApiError::invalid(
            "figures",
            "has followers, following or posts, which are an account's",
        ));
    }
    Ok(Reading {
        account: input.account_id,
        post: input.post_id,
        published_at_ms: input.published_at_ms,
        captured_at_ms: input.captured_at_ms,
        figures,
    })
}

/// What a creator shows everybody: without a key.
pub(crate) async fn media_kit(
    State(app): State<Arc<App>>,
    Path(creator): Path<Uuid>,
) -> Result<Response, ApiError> {
    let accounts = store::social::media_kit(&app.pool, creator).await?;
    if accounts.is_empty() {
        let message = "this creator has published nothing";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "not_found", message));
    }
    Ok(Json(json!({ "creator_id": creator, "accounts": accounts })).into_response())
}
