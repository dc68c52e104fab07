//! Which callers are robots. They are answered like everybody else, recorded
//! with the reason, and never paid for.

use axum::http::{HeaderMap, Method};
use dashmap::DashMap;
use domain::event::BotReason;

/// Distinct user agents remembered; beyond it the memory starts anew.
const MAX_REMEMBERED: usize = 50_000;

/// Tells robots from people.
pub(crate) struct BotDetector {
    patterns: isbot::Bots,
    remembered: DashMap<String, bool>,
}

impl BotDetector {
    pub(crate) fn new() -> Self {
        Self { patterns: isbot::Bots::default(), remembered: DashMap::new() }
    }

    /// Why the request is no person's, if so.
    pub(crate) fn judge(
        &self,
        method: &Method,
        headers: &HeaderMap,
        user_agent: Option<&str>,
    ) -> Option<BotReason> {
        if method == Method::HEAD {
            return Some(BotReason::Head);
        }
        if is_prefetch(headers) {
            return Some(BotReason::Prefetch);
        }
        self.judge_user_agent(user_agent)
    }

    /// As [`BotDetector::judge`], for an event that a server passes on.
    pub(crate) fn judge_user_agent(&self, user_agent: Option<&str>) -> Option<BotReason> {
        match user_agent.map(str::trim) {
            None | Some("") => Some(BotReason::NoUserAgent),
            Some(agent) => self.is_robot(agent).then_some(BotReason::UserAgent),
        }
    }

    fn is_robot(&self, user_agent: &str) -> bool {
        if let Some(known) = self.remembered.get(user_agent) {
            return *known;
        }
        let robot = self.patterns.is_bot(user_agent);
        if self.remembered.len() >= MAX_REMEMBERED {
            self.remembered.clear();
        }
        self.remembered.insert(user_agent.to_owned(), robot);
        robot
    }
}

/// Browsers that fetch a page before anybody has decided to see it say so.
fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-moz"].iter().any(|name| {
        headers.get(*name).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            value.contains("prefetch") || value.contains("preview")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

    #[test]
    fn robots_and_people() {
        let detector = BotDetector::new();
        let none = HeaderMap::new();
        let mut prefetch = HeaderMap::new();
        prefetch.insert("sec-purpose", "prefetch;prerender".parse().unwrap());
        let googlebot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        for (method, headers, agent, expected) in [
            (Method::GET, &none, Some(FIREFOX), None),
            (Method::GET, &none, Some(googlebot), Some(BotReason::UserAgent)),
            (Method::GET, &none, Some("curl/8.5.0"), Some(BotReason::UserAgent)),
            (Method::GET, &none, Some(" "), Some(BotReason::NoUserAgent)),
            (Method::GET, &none, None, Some(BotReason::NoUserAgent)),
            (Method::HEAD, &none, Some(FIREFOX), Some(BotReason::Head)),
            (Method::GET, &prefetch, Some(FIREFOX), Some(BotReason::Prefetch)),
        ] {
            for _ in 0..2 {
                assert_eq!(detector.judge(&method, headers, agent), expected, "{agent:?}");
            }
        }
    }
}
