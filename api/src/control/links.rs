//! Tracking links.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::ids::{LinkId, WorkspaceId};
use domain::link::{Link, RESERVED_CODES, Rule, Variant, is_code};
use serde::Deserialize;
use serde_json::{Value, json};
use store::links::{LinkSettings, NewLink};
use uuid::Uuid;

use crate::access::InWorkspace;
use crate::control::{Body, commit, created};
use crate::error::ApiError;
use crate::server::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkInput {
    campaign_id: Uuid,
    creator_id: Uuid,
    /// Who shares the link, and is rewarded for it by the campaign's terms.
    supporter_id: Option<Uuid>,
    code: String,
    #[serde(flatten)]
    settings: SettingsInput,
}

/// What of a link may be changed later.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsInput {
    destination_url: String,
    fallback_url: Option<String>,
    expires_at_ms: Option<i64>,
    click_limit: Option<i64>,
    #[serde(default)]
    pass_query: bool,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    variants: Vec<Variant>,
    #[serde(default)]
    leaves_exhausted: bool,
}

impl SettingsInput {
    fn check(self) -> Result<LinkSettings, ApiError> {
        check_url("destination_url", &self.destination_url)?;
        if let Some(url) = &self.fallback_url {
            check_url("fallback_url", url)?;
        }
        if self.leaves_exhausted && self.fallback_url.is_none() {
            return Err(ApiError::invalid("leaves_exhausted", "needs a fallback_url to lead to"));
        }
        if self.click_limit.is_some_and(|limit| limit <= 0) {
            return Err(ApiError::invalid("click_limit", "must be above 0"));
        }
        Link::check_choices(&self.rules, &self.variants)
            .map_err(|(field, error)| ApiError::invalid(field, error))?;
        for rule in &self.rules {
            check_url("rules", &rule.destination_url)?;
        }
        for variant in &self.variants {
            check_url("variants", &variant.destination_url)?;
        }
        Ok(LinkSettings {
            destination_url: self.destination_url,
            fallback_url: self.fallback_url,
            expires_at_ms: self.expires_at_ms,
            click_limit: self.click_limit,
            pass_query: self.pass_query,
            rules: self.rules,
            variants: self.variants,
            leaves_exhausted: self.leaves_exhausted,
        })
    }
}

fn shown(id: Uuid, code: &str, settings: &LinkSettings) -> Value {
    json!({
        "id": id, "code": code, "destination_url": settings.destination_url,
        "fallback_url": settings.fallback_url, "expires_at_ms": settings.expires_at_ms,
        "click_limit": settings.click_limit, "pass_query": settings.pass_query,
        "rules": settings.rules, "variants": settings.variants,
        "leaves_exhausted": settings.leaves_exhausted,
    })
}

pub(crate) async fn create_link(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    body: Body<LinkInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    check_code(&input.code)?;
    if input.supporter_id == Some(input.creator_id) {
        return Err(ApiError::invalid("supporter_id", "is the creator, who is paid for the link already"));
    }
    let link = NewLink {
        id: LinkId(Uuid::now_v7()),
        workspace: WorkspaceId(workspace.id),
        campaign: input.campaign_id,
        creator: input.creator_id,
        supporter: input.supporter_id,
        code: input.code,
        settings: input.settings.check()?,
    };
    if let Some(supporter) = link.supporter
        && !store::control::is_user(&app.pool, workspace.id, supporter).await?
    {
        return Err(ApiError::not_found("supporter"));
    }
    let mut transaction = store::begin(&app.pool).await?;
    if !store::links::insert(&mut transaction, &link).await? {
        let message = "the creator has not accepted this campaign, or one of them is not of this workspace";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "not_a_member", message));
    }
    let mut shown = shown(link.id.0, &link.code, &link.settings);
    shown["campaign_id"] = json!(link.campaign);
    shown["creator_id"] = json!(link.creator);
    shown["supporter_id"] = json!(link.supporter);
    commit(&workspace.actor, transaction, "create", "link", link.id.0, &shown).await?;
    Ok(created(shown))
}

/// Replaces a link's settings; collectors hear of it within a second.
pub(crate) async fn change_link(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
    Path(id): Path<Uuid>,
    body: Body<SettingsInput>,
) -> Result<Response, ApiError> {
    let Json(input) = body?;
    let settings = input.check()?;
    let mut transaction = store::begin(&app.pool).await?;
    let code = store::links::update(&mut transaction, workspace.id, id, &settings).await?;
    let code = code.ok_or_else(|| ApiError::not_found("link"))?;
    let shown = shown(id, &code, &settings);
    commit(&workspace.actor, transaction, "change", "link", id, &shown).await?;
    Ok(Json(shown).into_response())
}

pub(crate) async fn list_links(
    State(app): State<Arc<App>>,
    InWorkspace(workspace): InWorkspace,
) -> Result<Response, ApiError> {
    let links = store::links::list(&app.pool, workspace.id).await?;
    Ok(Json(json!({ "links": links })).into_response())
}

fn check_code(code: &str) -> Result<(), ApiError> {
    if !is_code(code) {
        return Err(ApiError::invalid("code", "must be 1 to 20 letters, digits, - or _"));
    }
    if RESERVED_CODES.contains(&code) {
        return Err(ApiError::invalid("code", "is a path of the collector itself"));
    }
    Ok(())
}

fn check_url(field: &str, text: &str) -> Result<(), ApiError> {
    let url = url::Url::parse(text).map_err(|error| ApiError::invalid(field, error))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(ApiError::invalid(field, "must be an http or https address"));
    }
    if text.len() > 2_048 || text.chars().any(char::is_control) {
        return Err(ApiError::invalid(field, "is too long or has control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_addresses_are_checked() {
        for code in ["a", "summer-24_X", "01234567890123456789"] {
            assert!(check_code(code).is_ok(), "{code}");
        }
        for code in ["", "a b", "a/b", "ü", "012345678901234567890", "metrics"] {
            assert!(check_code(code).is_err(), "{code}");
        }
        for url in ["https://shop.example/p?x=1#f", "http://localhost:3000"] {
            assert!(check_url("u", url).is_ok(), "{url}");
        }
        for url in
            ["javascript:alert(1)", "ftp://a.example", "/relative", "https://", "https://a.example/\r\nX: 1"]
        {
            assert!(check_url("u", url).is_err(), "{url}");
        }
    }
}
