//! `GET /{code}`: records the click, then sends the browser on.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::event::{Body, Event, payload_hash};
use domain::ids::{EventId, VisitorKey};
use domain::token::{ClickToken, sign};
use runtime::clock::now_ms;
use runtime::random::hex_id;
use uuid::Uuid;

use crate::caller::{VISITOR_COOKIE, client, text_header, visitor_cookie};
use crate::error::ApiError;
use crate::links::Target;
use crate::server::{App, record};

/// A year.
const COOKIE_MAX_AGE_S: u32 = 31_536_000;

pub(crate) async fn follow(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(code): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let target = match app.links.target(&code).await {
        Ok(Some(target)) => target,
        Ok(None) => {
            let message = "no link has this code".to_owned();
            return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_code", message));
        }
        Err(error) => {
            tracing::error!(%error, code, "cannot look up a link");
            return Err(ApiError::unavailable(
                "directory_unavailable",
                "links cannot be looked up right now",
            ));
        }
    };
    let now_ms = now_ms();
    if target.link.expires_at_ms.is_some_and(|expires| now_ms >= expires) {
        return match &target.link.fallback_url {
            Some(fallback) => redirect(fallback),
            None => Err(ApiError::new(StatusCode::GONE, "expired", "this link has expired")),
        };
    }
    let (visitor_id, is_new) = match visitor_cookie(&headers) {
        Some(id) => (id.to_owned(), false),
        None => (hex_id(), true),
    };
    let event = click(&app, &target, &visitor_id, now_ms, peer, &method, &headers);
    let token = ClickToken { click: event.id, link: target.link.id, visitor: event.visitor };
    let tcid = sign(&token, target.link.workspace, app.signing_key());
    if let Err(error) = app.outbox.record(record(&event, &headers)).await {
        // The person behind the link must not pay for our trouble.
        metrics::counter!("tributary_ingest_clicks_lost_total").increment(1);
        tracing::error!(%error, click = %event.id, "a click was answered but not recorded");
    }
    let mut response = redirect(&target.destination(&tcid))?;
    if is_new {
        let cookie = format!(
            "{VISITOR_COOKIE}={visitor_id}; Path=/; Max-Age={COOKIE_MAX_AGE_S}; HttpOnly; SameSite=Lax"
        );
        let cookie = HeaderValue::from_str(&cookie).expect("hex digits");
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn click(
    app: &App,
    target: &Target,
    visitor_id: &str,
    now_ms: i64,
    peer: SocketAddr,
    method: &Method,
    headers: &HeaderMap,
) -> Event {
    let link = &target.link;
    let user_agent = text_header(headers, header::USER_AGENT);
    let bot = app.bots.judge(method, headers, user_agent.as_deref());
    let referrer = text_header(headers, header::REFERER);
    let body = Body::Click {
        link: link.id,
        campaign: link.campaign,
        creator: link.creator,
        supporter: link.supporter,
    };
    let id = EventId(Uuid::now_v7());
    Event {
        id,
        workspace: link.workspace,
        visitor: VisitorKey::derive(link.workspace, visitor_id),
        at_ms: now_ms,
        received_at_ms: now_ms,
        payload_hash: payload_hash(&(&body, id)),
        body,
        client: client(Some(peer.ip()), user_agent, referrer, app.geo.as_ref()),
        bot,
    }
}

fn redirect(location: &str) -> Result<Response, ApiError> {
    let location = HeaderValue::from_str(location).map_err(|_not_a_header| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "bad_destination",
            "this link's destination is broken",
        )
    })?;
    let mut response = StatusCode::FOUND.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
