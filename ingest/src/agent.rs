//! What a user agent says of its client: robot or not, device, system,
//! browser. Parsed once for each distinct text.
//!
//! Robots are told by two lists together. `isbot` alone knows 1,865 of the
//! 2,116 user agents in `crawler-user-agents.json` (88.1 %) and tells
//! link-preview fetchers from no others; that list's own patterns
//! (`data/crawler-patterns.txt`) know the rest and say which are previews, but
//! miss what nobody has reported to it, such as most HTTP libraries, which
//! `isbot` has. Of 559 distinct user agents of a real web server's log, `isbot`
//! calls 94 robots. ua-parser was not taken: it needs a data file three times
//! as large, and knows fewer robots. Device, system and browser come from
//! `woothee`, at about 2 µs a text.

use domain::event::BotReason;
use domain::link::Device;
use regex::RegexSet;

use crate::remembered::{Found, Remembered};

/// What a user agent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agent {
    pub(crate) bot: Option<BotReason>,
    pub(crate) device: Device,
    pub(crate) os: Option<String>,
    pub(crate) browser: Option<String>,
}

/// Reads user agents.
pub(crate) struct Agents {
    robots: isbot::Bots,
    crawlers: RegexSet,
    previews: RegexSet,
    parser: woothee::parser::Parser,
    remembered: Remembered<String, Agent>,
}

impl Agents {
    pub(crate) fn new() -> Self {
        let patterns = include_str!("../data/crawler-patterns.txt");
        let of = |sort: &str| {
            let patterns = patterns.lines().filter_map(|line| line.strip_prefix(sort)?.strip_prefix(' '));
            RegexSet::new(patterns).expect("the file's patterns are regular expressions")
        };
        Self {
            robots: isbot::Bots::default(),
            crawlers: of("crawler"),
            previews: of("preview"),
            parser: woothee::parser::Parser::new(),
            remembered: Remembered::default(),
        }
    }

    /// What `text` says.
    pub(crate) fn read(&self, text: Option<&str>) -> Found<String, Agent> {
        let text = text.map(str::trim).unwrap_or_default();
        self.remembered.get(text, || Some(self.parse(text))).expect("any text says something")
    }

    fn parse(&self, text: &str) -> Agent {
        let bot = if text.is_empty() {
            Some(BotReason::NoUserAgent)
        } else if self.previews.is_match(text) {
            Some(BotReason::Preview)
        } else if self.robots.is_bot(text) || self.crawlers.is_match(text) {
            Some(BotReason::UserAgent)
        } else {
            None
        };
        let Some(parsed) = self.parser.parse(text) else {
            return Agent { bot, device: Device::Other, os: None, browser: None };
        };
        let device = match (parsed.os, parsed.category) {
            ("iPhone" | "iPad" | "iPod" | "iOS", _) => Device::Ios,
            ("Android", _) => Device::Android,
            (_, "pc") => Device::Desktop,
            _ => Device::Other,
        };
        let known = |name: &str| (name != "UNKNOWN").then(|| name.to_owned());
        Agent { bot, device, os: known(parsed.os), browser: known(parsed.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36";
    const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";
    const PIXEL: &str = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36";
    const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

    #[test]
    fn robots_and_people() {
        let agents = Agents::new();
        for (text, bot, device, browser) in [
            (Some(FIREFOX), None, Device::Desktop, Some("Firefox")),
            (Some(CHROME), None, Device::Desktop, Some("Chrome")),
            (Some(IPHONE), None, Device::Ios, Some("Safari")),
            (Some(PIXEL), None, Device::Android, Some("Chrome")),
            (Some(GOOGLEBOT), Some(BotReason::UserAgent), Device::Other, Some("Googlebot")),
            (Some("curl/8.5.0"), Some(BotReason::UserAgent), Device::Other, None),
            (
                Some("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"),
                Some(BotReason::Preview),
                Device::Other,
                None,
            ),
            (Some("WhatsApp/2.23.20.0"), Some(BotReason::Preview), Device::Other, None),
            (Some(" "), Some(BotReason::NoUserAgent), Device::Other, None),
            (None, Some(BotReason::NoUserAgent), Device::Other, None),
        ] {
            for _ in 0..2 {
                let agent = agents.read(text);
                assert_eq!((agent.bot, agent.device), (bot, device), "{text:?}");
                if browser.is_some() {
                    assert_eq!(agent.browser.as_deref(), browser, "{text:?}");
                }
            }
        }
    }
}
