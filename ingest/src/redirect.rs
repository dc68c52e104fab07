//! `GET /{code}`: records the click, then sends the browser on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::event::{Body, BotReason, Client, Event};
use domain::ids::{EventId, VisitorKey, WorkspaceId};
use domain::link::{Choice, RESERVED_CODES, is_code};
use domain::native::MAX_NAME_BYTES;
use domain::privacy::Tenant;
use domain::token::{ClickToken, sign};
use runtime::clock::now_ms;
use runtime::random::uuid_v7;

use crate::bots::judge;
use crate::caller::{CallerAddress, Facts, client, needs_salt, text_header, visitor};
use crate::error::ApiError;
use crate::server::{App, record};
use crate::spool::Record;
use crate::target::{Query, Target};

/// The code of a request for a short address, as it almost always stands there:
/// without escapes.
pub(crate) fn code_of<'a>(method: &Method, path: &'a str) -> Option<&'a str> {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    path.strip_prefix('/').filter(|code| is_read && !RESERVED_CODES.contains(code) && is_code(code))
}

/// What a request for a short address says of who asks, and how.
pub(crate) struct Request<'a> {
    pub(crate) caller: CallerAddress,
    pub(crate) query: Option<&'a str>,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
}

/// Leads and answers, for any other spelling of a code.
pub(crate) async fn follow(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<CallerAddress>,
    Path(code): Path<String>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let request = Request { caller, query: uri.query(), method: &method, headers: &headers };
    let led = lead(&app, &code, &request).await;
    record_led(&app, &led).await;
    answer(led)
}

/// Where a request is led.
pub(crate) enum Lead {
    On(Click),
    Elsewhere(HeaderValue),
}

/// A click, written out: nothing of it is left to be done but to wait. What is
/// kept while waiting is little, for there are thousands who wait, and what they
/// keep is cold by then.
pub(crate) struct Click {
    id: EventId,
    /// For Kafka.
    record: Record,
    location: HeaderValue,
    cookie: Option<HeaderValue>,
}

/// Makes the click durable, if it is one; to be waited for before the answer.
pub(crate) async fn record_led(app: &App, led: &Result<Lead, ApiError>) {
    let Ok(Lead::On(click)) = led else { return };
    if let Err(error) = app.outbox.record(&click.record).await {
        // The person behind the link must not pay for our trouble.
        metrics::counter!("tributary_ingest_clicks_lost_total").increment(1);
        tracing::error!(%error, click = %click.id, "a click was answered but not recorded");
    }
}

/// Leads on.
pub(crate) fn answer(led: Result<Lead, ApiError>) -> Response {
    match led {
        Ok(Lead::On(Click { location, cookie, .. })) => {
            let mut response = redirect(location);
            if let Some(cookie) = cookie {
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            response
        }
        Ok(Lead::Elsewhere(location)) => redirect(location),
        Err(error) => error.into_response(),
    }
}

/// Finds out where a request is led; all that needs the request itself.
pub(crate) async fn lead(app: &App, code: &str, request: &Request<'_>) -> Result<Lead, ApiError> {
    let target = find(app, code).await?;
    let now_ms = now_ms();
    if target.link.expires_at_ms.is_some_and(|expires| now_ms >= expires) {
        return elsewhere(&target, "expired", "this link has expired");
    }
    if target.link.is_exhausted {
        return elsewhere(&target, "budget_exhausted", "its campaign has no money left");
    }
    let salt = match needs_salt(&target.privacy) {
        true => app.salt(now_ms).await,
        false => None,
    };
    let (click, is_human) = request.click(app, &target, now_ms, salt.as_deref())?;
    if is_human && !app.links.take_click(&target).await {
        return elsewhere(&target, "used_up", "this link has been used as often as it may be");
    }
    Ok(Lead::On(click))
}

async fn find(app: &App, code: &str) -> Result<Arc<Target>, ApiError> {
    match app.links.target(code).await {
        Ok(Some(target)) => Ok(target),
        Ok(None) => Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_code", "no link has this code")),
        Err(error) => {
            tracing::error!(%error, code, "cannot look up a link");
            Err(ApiError::unavailable("directory_unavailable", "links cannot be looked up right now"))
        }
    }
}

/// Where a link leads that leads nowhere any more.
fn elsewhere(target: &Target, reason: &'static str, message: &str) -> Result<Lead, ApiError> {
    match &target.fallback {
        Some(fallback) => header_of(fallback.clone()).map(Lead::Elsewhere),
        None => Err(ApiError::new(StatusCode::GONE, reason, message)),
    }
}

impl Request<'_> {
    /// Who clicks, what they are led to, and what is kept of it; and whether it is a
    /// person.
    fn click(
        &self,
        app: &App,
        target: &Target,
        now_ms: i64,
        salt: Option<&[u8]>,
    ) -> Result<(Click, bool), ApiError> {
        let address = self.caller.0;
        let tenant = Tenant { workspace: target.link.workspace, privacy: target.privacy };
        let visitor = visitor(tenant, self.headers, address, salt);
        let user_agent = text_header(self.headers, header::USER_AGENT);
        let agent = app.agents.read(user_agent);
        let place = app.geo.place(address);
        let bot = judge(self.method, self.headers, &agent, place.asn);
        let choice = target.choose(visitor.key, place.country(), agent.device);
        let facts = Facts {
            address,
            place: &place,
            user_agent: user_agent.map(Cow::Borrowed),
            agent: &agent,
            referrer: text_header(self.headers, header::REFERER).map(Cow::Borrowed),
        };
        let client = client(facts, &target.privacy, visitor.opted_out, salt);
        let query = Query::read(self.query);
        let body = body(target, choice, &query);
        let event = event(target.link.workspace, visitor.key, now_ms, body, client, bot);
        let token = ClickToken { click: event.id, link: target.link.id, visitor: event.visitor };
        let tcid = sign(&token, target.link.workspace, &app.links.signing_keys()[0]);
        let location = header_of(target.address(choice, &query, &tcid))?;
        let record = record(&event, self.headers);
        Ok((Click { id: event.id, record, location, cookie: visitor.cookie }, bot.is_none()))
    }
}

fn body(target: &Target, choice: Choice, query: &Query) -> Body {
    let link = &target.link;
    let short = |text: &&str| text.len() <= MAX_NAME_BYTES;
    let utm: BTreeMap<String, String> = query
        .utm()
        .filter(|(_, value)| short(value))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Body::Click {
        link: link.id,
        campaign: link.campaign,
        creator: link.creator,
        supporter: link.supporter,
        variant: target.variant_name(choice).map(ToOwned::to_owned),
        utm,
        cookieless: target.privacy.cookie_days == 0,
    }
}

fn event<'a>(
    workspace: WorkspaceId,
    visitor: VisitorKey,
    now_ms: i64,
    body: Body,
    client: Client<Cow<'a, str>>,
    bot: Option<BotReason>,
) -> Event<Client<Cow<'a, str>>> {
    Event {
        id: EventId(uuid_v7(now_ms)),
        workspace,
        visitor,
        user: None,
        at_ms: now_ms,
        received_at_ms: now_ms,
        // The id is drawn here, so it alone tells this click from any other.
        payload_hash: String::new(),
        body,
        client,
        bot,
    }
}

fn header_of(address: String) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_maybe_shared(Bytes::from(address)).map_err(|_not_a_header| {
        let message = "this link's destination is broken";
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "bad_destination", message)
    })
}

fn redirect(location: HeaderValue) -> Response {
    let mut response = StatusCode::FOUND.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
