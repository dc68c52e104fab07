//! Who is asking: key, address, user agent, visitor cookie.

use std::net::IpAddr;

use axum::http::{HeaderMap, StatusCode, header};
use domain::event::Client;
use domain::ids::WorkspaceId;
use domain::native::MAX_TEXT_BYTES;

use crate::error::ApiError;
use crate::geo::GeoReader;
use crate::links::Links;

/// The visitor cookie.
pub(crate) const VISITOR_COOKIE: &str = "tvid";

/// The workspace whose key the request carries as `Authorization: Bearer`.
pub(crate) async fn authenticate(links: &Links, headers: &HeaderMap) -> Result<WorkspaceId, ApiError> {
    let unauthorized = |reason, message| ApiError::new(StatusCode::UNAUTHORIZED, reason, message);
    let key = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(str::trim)
        .filter(|key| !key.is_empty())
        .ok_or_else(|| {
            unauthorized("missing_key", "send the workspace's key as `Authorization: Bearer <key>`")
        })?;
    match links.workspace_of_key(key).await {
        Ok(Some(workspace)) => Ok(workspace),
        Ok(None) => Err(unauthorized("unknown_key", "this key is not known, or was revoked")),
        Err(error) => {
            tracing::error!(%error, "cannot look up a key");
            Err(ApiError::unavailable("directory_unavailable", "keys cannot be checked right now"))
        }
    }
}

/// A header's text, cut to what an event may hold.
pub(crate) fn text_header(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty()).then(|| cut(text, MAX_TEXT_BYTES))
}

fn cut(text: &str, max_bytes: usize) -> String {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// The visitor cookie's value, if it is one of ours by its looks.
pub(crate) fn visitor_cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, value)| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            *name == VISITOR_COOKIE && (8..=64).contains(&value.len()) && value.chars().all(plain)
        })
        .map(|(_, value)| value)
}

/// What is kept of a client: its network, never its whole address.
pub(crate) fn client(
    address: Option<IpAddr>,
    user_agent: Option<String>,
    referrer: Option<String>,
    geo: Option<&GeoReader>,
) -> Client {
    let place = address.zip(geo).map(|(address, geo)| geo.place(address)).unwrap_or_default();
    Client { network: address.map(network), user_agent, referrer, country: place.country, city: place.city }
}

/// The /24 of a v4 address, the /48 of a v6 one.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_cut_to_their_network() {
        for (address, expected) in [
            ("203.0.113.77", "203.0.113.0"),
            ("::ffff:203.0.113.77", "203.0.113.0"),
            ("2001:db8:1234:5678::1", "2001:db8:1234::"),
        ] {
            assert_eq!(network(address.parse().unwrap()), expected);
        }
    }

    #[test]
    fn cookies_of_other_looks_are_not_ours() {
        let read = |cookies: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, cookies.parse().unwrap());
            visitor_cookie(&headers).map(ToOwned::to_owned)
        };
        assert_eq!(read("a=1; tvid=0123456789abcdef").as_deref(), Some("0123456789abcdef"));
        for cookies in ["tvid=", "tvid=short", "xtvid=0123456789", "tvid=0123456789<script>", "tvid"] {
            assert_eq!(read(cookies), None, "{cookies}");
        }
    }

    #[test]
    fn texts_are_cut_between_letters() {
        assert_eq!(cut("aéb", 2), "a");
        assert_eq!(cut("aéb", 3), "aé");
    }
}
