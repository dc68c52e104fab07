//! What browsers send without a program of their own: the SDK `/t.js`, and the
//! pixel `/p.gif` for where there is no script.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::native::NativeEvent;

use crate::caller::{CallerAddress, text_header, visitor_cookie};
use crate::error::ApiError;
use crate::intake::record_taken;
use crate::intake::sender::Sender;
use crate::server::App;

const SDK: &str = include_str!("../../data/t.js");
/// One transparent pixel.
const PIXEL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// `GET /t.js`
pub(crate) async fn sdk() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (headers, SDK).into_response()
}

/// `GET /p.gif?key=…`: a page view of the page it stands on, or, with `goal=`,
/// a conversion. The picture is sent whatever becomes of it.
pub(crate) async fn pixel(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<CallerAddress>,
    Query(query): Query<BTreeMap<String, String>>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    if method == Method::GET
        && let Err(error) = see(&app, caller, &query, &headers).await
    {
        metrics::counter!("tributary_ingest_errors_total", "reason" => error.reason).increment(1);
        tracing::debug!(reason = error.reason, "a pixel was not recorded");
    }
    let headers = [(header::CONTENT_TYPE, "image/gif"), (header::CACHE_CONTROL, "no-store")];
    (headers, PIXEL).into_response()
}

async fn see(
    app: &App,
    caller: CallerAddress,
    query: &BTreeMap<String, String>,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    let of = |name: &str| query.get(name).filter(|text| !text.is_empty()).cloned();
    let sender = Sender::with_key(app, caller, headers, of("key").as_deref()).await?;
    let page = of("url").or_else(|| text_header(headers, header::REFERER).map(ToOwned::to_owned));
    let goal = of("goal");
    let visitor_id = match of("visitor_id").or_else(|| visitor_cookie(headers).map(ToOwned::to_owned)) {
        Some(known) => known,
        // A browser that is not known yet is at least itself for a day.
        None => sender.anonymous_id().await,
    };
    let native = NativeEvent {
        kind: if goal.is_some() { "conversion" } else { "page" }.to_owned(),
        id: of("id"),
        visitor_id: Some(visitor_id),
        tcid: of("tcid"),
        order_id: of("order_id"),
        coupon: of("coupon"),
        url: page.filter(|_| goal.is_none()),
        goal,
        ..NativeEvent::default()
    };
    match record_taken(app, headers, &[sender.take(native)]).await.pop() {
        Some(result) if result.reason.is_some() => {
            let reason = result.reason.unwrap_or_default();
            Err(ApiError::new(StatusCode::BAD_REQUEST, reason, result.message.unwrap_or_default()))
        }
        _ => Ok(()),
    }
}

/// Lets pages of any origin read answers: a public key is public.
pub(crate) fn allow_origins(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

/// `OPTIONS` on what browsers send to.
pub(crate) async fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    allow_origins(headers);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    let allowed = HeaderValue::from_static("authorization, content-type, idempotency-key");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pixel_is_a_gif() {
        assert!(PIXEL.starts_with(b"GIF89a") && PIXEL.ends_with(b";"));
        assert_eq!(PIXEL.len(), 43);
    }
}
