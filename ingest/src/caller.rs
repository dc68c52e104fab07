//! Who is asking: key, address, visitor; and what of it is kept.

use std::borrow::Cow;
use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::event::Client;
use domain::ids::VisitorKey;
use domain::native::MAX_TEXT_BYTES;
use domain::privacy::{AddressPolicy, Privacy, Tenant};
use hmac::{Hmac, Mac as _};
use ipnet::IpNet;
use runtime::random::hex_id;
use sha2::Sha256;

use crate::agent::Agent;
use crate::directory::KeyOwner;
use crate::error::ApiError;
use crate::geo::Place;
use crate::links::Links;

/// The visitor cookie.
pub(crate) const VISITOR_COOKIE: &str = "tvid";
const DAY_S: u32 = 86_400;
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What a browser says that asks not to be known again.
static OPT_OUTS: [HeaderName; 2] = [HeaderName::from_static("dnt"), HeaderName::from_static("sec-gpc")];

/// The key that a request carries: as `Authorization: Bearer`, or, as Segment's
/// clients send it, as the user of `Authorization: Basic`.
pub(crate) fn key_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let key = if scheme.eq_ignore_ascii_case("bearer") {
        rest.trim().to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        decoded.split_once(':').map_or(decoded.as_str(), |(user, _)| user).to_owned()
    } else {
        return None;
    };
    (!key.is_empty()).then_some(key)
}

/// Whose key this is.
pub(crate) async fn authenticate(links: &Links, key: Option<&str>) -> Result<KeyOwner, ApiError> {
    let unauthorized = |reason, message| ApiError::new(StatusCode::UNAUTHORIZED, reason, message);
    let key = key.ok_or_else(|| {
        unauthorized("missing_key", "send the workspace's key as `Authorization: Bearer <key>`")
    })?;
    match links.owner_of_key(key).await {
        Ok(Some(owner)) => Ok(owner),
        Ok(None) => Err(unauthorized("unknown_key", "this key is not known, or was revoked")),
        Err(error) => {
            tracing::error!(%error, "cannot look up a key");
            Err(ApiError::unavailable("directory_unavailable", "keys cannot be checked right now"))
        }
    }
}

/// A header's text, cut to what an event may hold.
pub(crate) fn text_header(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty()).then(|| cut(text, MAX_TEXT_BYTES))
}

fn cut(text: &str, max_bytes: usize) -> &str {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The address that a request came from, found out once for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallerAddress(pub(crate) IpAddr);

/// The address a request came from: the connection's, or, where that is a
/// trusted proxy's, the last in `X-Forwarded-For` that is not one's. What a
/// client writes there itself stands further left and is not believed.
pub(crate) fn caller_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> CallerAddress {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut address = peer.to_canonical();
    if !is_trusted(&address) {
        return CallerAddress(address);
    }
    // From the last hop of the last header backwards.
    let values = headers.get_all(&X_FORWARDED_FOR).iter().rev().filter_map(|value| value.to_str().ok());
    for hop in values.flat_map(|value| value.rsplit(',')) {
        if !is_trusted(&address) {
            break;
        }
        let Ok(hop) = hop.trim().parse::<IpAddr>() else { break };
        address = hop.to_canonical();
    }
    CallerAddress(address)
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

/// Whether the browser asks not to be known again.
pub(crate) fn opts_out(headers: &HeaderMap) -> bool {
    OPT_OUTS.iter().any(|name| headers.get(name).is_some_and(|value| value == "1"))
}

/// The visitor behind a browser's request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Visitor {
    pub(crate) key: VisitorKey,
    /// The cookie to set, if one is.
    pub(crate) cookie: Option<HeaderValue>,
    /// Asked not to be known again, where that is honoured.
    pub(crate) opted_out: bool,
}

/// Finds out who a browser's request is from. `salt` is needed only where the
/// workspace sets no cookie.
pub(crate) fn visitor(tenant: Tenant, headers: &HeaderMap, address: IpAddr, salt: Option<&[u8]>) -> Visitor {
    let Tenant { workspace, privacy } = tenant;
    let known_by = |id: &str| VisitorKey::derive(workspace, id);
    if privacy.honour_opt_out && opts_out(headers) {
        return Visitor { key: known_by(&hex_id()), cookie: None, opted_out: true };
    }
    if privacy.cookie_days == 0 {
        let id = known_for_a_day(headers, address, salt);
        return Visitor { key: known_by(&id), cookie: None, opted_out: false };
    }
    if let Some(id) = visitor_cookie(headers) {
        return Visitor { key: known_by(id), cookie: None, opted_out: false };
    }
    let id = hex_id();
    let cookie = set_cookie(&id, u32::from(privacy.cookie_days) * DAY_S);
    Visitor { key: known_by(&id), cookie: Some(cookie), opted_out: false }
}

/// Joined by hand, as the network below: `format!` took as long as hashing the id.
fn set_cookie(id: &str, max_age_s: u32) -> HeaderValue {
    let max_age_s = max_age_s.to_string();
    let parts = [VISITOR_COOKIE, "=", id, "; Path=/; Max-Age=", &max_age_s, "; HttpOnly; SameSite=Lax"];
    HeaderValue::from_maybe_shared(Bytes::from(parts.concat())).expect("hex digits")
}

/// A name for a browser without a cookie, the same for a day: by its address
/// and user agent. Without a salt nobody is known again, rather than by their
/// address.
pub(crate) fn known_for_a_day(headers: &HeaderMap, address: IpAddr, salt: Option<&[u8]>) -> String {
    let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    salt.map_or_else(hex_id, |salt| salted(salt, &[address.to_string().as_bytes(), agent]))
}

/// Whether a workspace's events need the day's salt.
pub(crate) fn needs_salt(privacy: &Privacy) -> bool {
    privacy.cookie_days == 0 || privacy.address == AddressPolicy::Hash
}

fn salted(salt: &[u8], parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(salt).expect("any length will do");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    hex::encode(&mac.finalize().into_bytes()[..16])
}

/// What is known of a client before it is decided what is kept.
pub(crate) struct Facts<'a> {
    pub(crate) address: IpAddr,
    pub(crate) place: &'a Place,
    pub(crate) user_agent: Option<Cow<'a, str>>,
    pub(crate) agent: &'a Agent,
    pub(crate) referrer: Option<Cow<'a, str>>,
}

/// What is kept of a client: never its whole address. Of somebody who asked not
/// to be known again, only country and what sort of
/// device it is.
pub(crate) fn client<'a>(
    facts: Facts<'a>,
    privacy: &Privacy,
    opted_out: bool,
    salt: Option<&[u8]>,
) -> Client<Cow<'a, str>> {
    let Facts { address, place, user_agent, agent, referrer } = facts;
    let kept = Client {
        country: place.country().map(Cow::Borrowed),
        device: Some(agent.device),
        os: agent.os.as_deref().map(Cow::Borrowed),
        browser: agent.browser.as_deref().map(Cow::Borrowed),
        ..Client::default()
    };
    if opted_out {
        return kept;
    }
    let network = match privacy.address {
        AddressPolicy::Truncate => Some(network(address)),
        AddressPolicy::Hash => salt.map(|salt| salted(salt, &[address.to_string().as_bytes()])),
        AddressPolicy::Drop => None,
    };
    let (network, city) = (network.map(Cow::Owned), place.city().map(Cow::Borrowed));
    Client { network, user_agent, referrer, city, ..kept }
}

/// The /24 of a v4 address, the /48 of a v6 one.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let mut text = String::with_capacity("255.255.255.0".len());
            for octet in &v4.octets()[..3] {
                push_decimal(&mut text, *octet);
                text.push('.');
            }
            text.push('0');
            text
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_string()
        }
    }
}

fn push_decimal(text: &mut String, octet: u8) {
    for (power, from) in [(100, 100), (10, 10), (1, 0)] {
        if octet >= from {
            text.push(char::from(b'0' + octet / power % 10));
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::WorkspaceId;
    use domain::link::Device;
    use uuid::Uuid;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn tenant(privacy: Privacy) -> Tenant {
        Tenant { workspace: WorkspaceId(Uuid::from_u128(1)), privacy }
    }

    #[test]
    fn keys_are_read_as_bearer_and_basic() {
        for (value, expected) in [
            ("Bearer trib_1", Some("trib_1")),
            ("bearer  trib_1 ", Some("trib_1")),
            ("Basic dHJpYl8xOg==", Some("trib_1")),
            ("Basic dHJpYl8x", Some("trib_1")),
            ("Basic ???", None),
            ("Digest x", None),
            ("Bearer ", None),
            ("Bearer", None),
        ] {
            assert_eq!(key_of(&headers(&[("authorization", value)])).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn addresses_are_cut_to_their_network() {
        for (address, expected) in [
            ("203.0.113.77", "203.0.113.0"),
            ("0.9.10.99", "0.9.10.0"),
            ("100.109.255.1", "100.109.255.0"),
            ("::ffff:203.0.113.77", "203.0.113.0"),
            ("2001:db8:1234:5678::1", "2001:db8:1234::"),
        ] {
            assert_eq!(network(address.parse().unwrap()), expected);
        }
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        for (peer, forwarded, expected) in [
            ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
            ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
            // The client wrote the first itself.
            ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "1.2.3.4, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
            ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
            ("2001:db8::1", "2a00::1", "2a00::1"),
            ("10.0.0.1", "nonsense", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
        ] {
            let headers = headers(&[("x-forwarded-for", forwarded)]);
            let CallerAddress(address) = caller_address(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(address, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded}");
        }
    }

    #[test]
    fn cookies_of_other_looks_are_not_ours() {
        let read = |cookies: &str| visitor_cookie(&headers(&[("cookie", cookies)])).map(ToOwned::to_owned);
        assert_eq!(read("a=1; tvid=0123456789abcdef").as_deref(), Some("0123456789abcdef"));
        for cookies in ["tvid=", "tvid=short", "xtvid=0123456789", "tvid=0123456789<script>", "tvid"] {
            assert_eq!(read(cookies), None, "{cookies}");
        }
    }

    #[test]
    fn visitors_are_known_as_the_workspace_wants() {
        let address = "203.0.113.9".parse().unwrap();
        let see = |privacy: Privacy, pairs: &[(&'static str, &str)], salt: Option<&[u8]>| {
            visitor(tenant(privacy), &headers(pairs), address, salt)
        };
        let usual = Privacy::default();
        let cookie = ("cookie", "tvid=0123456789abcdef");
        let known = see(usual, &[cookie], None);
        assert_eq!(
            (known.key, known.cookie.is_some()),
            (VisitorKey::derive(tenant(usual).workspace, "0123456789abcdef"), false)
        );
        let new = see(Privacy { cookie_days: 30, ..usual }, &[], None).cookie.unwrap();
        let (id, rest) = new.to_str().unwrap().strip_prefix("tvid=").unwrap().split_at(32);
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert_eq!(rest, "; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax");
        // Without cookies: the same for a day, by address and user agent.
        let none = Privacy { cookie_days: 0, ..usual };
        let agent = ("user-agent", "A");
        let by_hash = see(none, &[cookie, agent], Some(b"monday"));
        assert_eq!(by_hash.cookie, None);
        assert_eq!(by_hash.key, see(none, &[agent], Some(b"monday")).key);
        assert_ne!(by_hash.key, see(none, &[agent], Some(b"tuesday")).key);
        assert_ne!(by_hash.key, see(none, &[("user-agent", "B")], Some(b"monday")).key);
        assert_ne!(see(none, &[agent], None).key, see(none, &[agent], None).key);
        // Who opts out is nobody, each time anew.
        for signal in [("dnt", "1"), ("sec-gpc", "1")] {
            let out = see(usual, &[cookie, signal], None);
            assert!(out.opted_out && out.cookie.is_none() && out.key != known.key);
            let ignored = see(Privacy { honour_opt_out: false, ..usual }, &[cookie, signal], None);
            assert_eq!(ignored.key, known.key);
        }
        assert!(!see(usual, &[cookie, ("dnt", "0")], None).opted_out);
    }

    #[test]
    fn what_is_kept_of_a_client() {
        let agent = Agent { bot: None, device: Device::Ios, os: Some("iPhone".to_owned()), browser: None };
        let keep = |address: AddressPolicy, opted_out: bool, salt: Option<&[u8]>| {
            let facts = Facts {
                address: "203.0.113.9".parse().unwrap(),
                place: &Place::of("GB", "London"),
                user_agent: Some("A".into()),
                agent: &agent,
                referrer: Some("https://r.example/".into()),
            };
            client(facts, &Privacy { address, ..Privacy::default() }, opted_out, salt).into_owned()
        };
        assert_eq!(keep(AddressPolicy::Truncate, false, None).network.as_deref(), Some("203.0.113.0"));
        let hashed = keep(AddressPolicy::Hash, false, Some(b"monday")).network.unwrap();
        assert_eq!(hashed.len(), 32);
        assert_ne!(Some(hashed), keep(AddressPolicy::Hash, false, Some(b"tuesday")).network);
        assert_eq!(keep(AddressPolicy::Hash, false, None).network, None);
        assert_eq!(keep(AddressPolicy::Drop, false, None).network, None);
        let out = keep(AddressPolicy::Truncate, true, None);
        assert_eq!((out.network, out.user_agent, out.referrer, out.city), (None, None, None, None));
        assert_eq!(out.country.as_deref(), Some("GB"));
    }

    #[test]
    fn texts_are_cut_between_letters() {
        assert_eq!(cut("aéb", 2), "a");
        assert_eq!(cut("aéb", 3), "aé");
    }
}
