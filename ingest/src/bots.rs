//! Which callers are no people. They are answered like everybody else,
//! recorded with the reason, and never paid for.

use axum::http::{HeaderMap, HeaderName, Method};
use domain::event::BotReason;

use crate::agent::Agent;

/// Networks of hosting providers, by autonomous system: people do not browse
/// from there. Networks that people also come through (Cloudflare's and
/// Apple's relays, for example) are not among them.
const DATA_CENTRES: [u32; 24] = [
    14_061,  // DigitalOcean
    14_618,  // Amazon
    15_169,  // Google
    16_276,  // OVH
    16_509,  // Amazon
    8_075,   // Microsoft
    12_876,  // Scaleway
    20_473,  // Vultr
    24_940,  // Hetzner
    28_753,  // Leaseweb
    31_898,  // Oracle
    36_351,  // IBM
    37_963,  // Alibaba
    45_102,  // Alibaba
    45_090,  // Tencent
    51_167,  // Contabo
    60_781,  // Leaseweb
    62_567,  // DigitalOcean
    63_949,  // Akamai (Linode)
    132_203, // Tencent
    197_540, // netcup
    200_019, // Alexhost
    212_238, // Datacamp
    396_982, // Google Cloud
];

/// Where browsers say that they fetch ahead.
static PURPOSES: [HeaderName; 3] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-moz"),
];

/// Why a request is no person's, if so.
pub(crate) fn judge(
    method: &Method,
    headers: &HeaderMap,
    agent: &Agent,
    asn: Option<u32>,
) -> Option<BotReason> {
    if method == Method::HEAD {
        return Some(BotReason::Head);
    }
    if is_prefetch(headers) {
        return Some(BotReason::Prefetch);
    }
    agent.bot.or_else(|| asn.filter(|asn| DATA_CENTRES.contains(asn)).map(|_| BotReason::DataCentre))
}

/// Browsers that fetch a page before anybody has decided to see it say so.
fn is_prefetch(headers: &HeaderMap) -> bool {
    PURPOSES.iter().any(|name| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            value.contains("prefetch") || value.contains("preview")
        })
    })
}

#[cfg(test)]
mod tests {
    use domain::link::Device;

    use super::*;

    #[test]
    fn robots_and_people() {
        let person = Agent { bot: None, device: Device::Desktop, os: None, browser: None };
        let robot = Agent { bot: Some(BotReason::UserAgent), ..person.clone() };
        for (method, header, agent, asn, expected) in [
            (Method::GET, None, &person, None, None),
            (Method::GET, None, &person, Some(3_320), None),
            (Method::GET, None, &person, Some(16_509), Some(BotReason::DataCentre)),
            (Method::GET, None, &robot, Some(16_509), Some(BotReason::UserAgent)),
            (Method::HEAD, None, &person, None, Some(BotReason::Head)),
            (
                Method::GET,
                Some(("sec-purpose", "prefetch;prerender")),
                &person,
                None,
                Some(BotReason::Prefetch),
            ),
            (Method::GET, Some(("purpose", "prefetch")), &person, None, Some(BotReason::Prefetch)),
            (Method::GET, Some(("x-moz", "Prefetch")), &person, None, Some(BotReason::Prefetch)),
            (Method::GET, Some(("sec-purpose", "document")), &person, None, None),
        ] {
            let headers = header.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let headers: HeaderMap = headers.into_iter().collect();
            assert_eq!(judge(&method, &headers, agent, asn), expected, "{method} {header:?} {asn:?}");
        }
    }
}
