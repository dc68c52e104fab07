//! Apache's and nginx's combined log format:
//! `address ident user [time] "request" status bytes "referrer" "user agent"`.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const TIME: &[BorrowedFormatItem<'_>] = format_description!(
    "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);

/// A line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) address: String,
    pub(super) at_ms: i64,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) referrer: Option<String>,
    pub(super) user_agent: Option<String>,
}

impl Line {
    /// Somebody, as well as a log can tell: address and agent.
    pub(super) fn visitor_id(&self) -> String {
        let agent = self.user_agent.as_deref().unwrap_or_default();
        domain::ids::hash_uuid("log-visitor", &[self.address.as_bytes(), agent.as_bytes()])
            .simple()
            .to_string()
    }
}

/// Why a line cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadLine {
    Missing(&'static str),
    Invalid(&'static str),
}

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "ends before its {what}"),
            Self::Invalid(what) => write!(f, "its {what} cannot be read"),
        }
    }
}

/// Reads a line.
pub(super) fn parse(text: &str) -> Result<Line, BadLine> {
    let text = text.trim_end_matches(['\r', '\n']);
    let (address, rest) = text.split_once(' ').ok_or(BadLine::Missing("address"))?;
    if address.parse::<std::net::IpAddr>().is_err() {
        return Err(BadLine::Invalid("address"));
    }
    let (_, rest) = rest.split_once('[').ok_or(BadLine::Missing("time"))?;
    let (time, rest) = rest.split_once(']').ok_or(BadLine::Missing("time"))?;
    let time = OffsetDateTime::parse(time, TIME).map_err(|_unreadable| BadLine::Invalid("time"))?;
    let (request, rest) = quoted(rest).ok_or(BadLine::Missing("request"))?;
    let mut words = request.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(BadLine::Invalid("request"));
    };
    let mut numbers = rest.split_whitespace();
    let status = numbers.next().ok_or(BadLine::Missing("status"))?;
    let status = status.parse().map_err(|_unreadable| BadLine::Invalid("status"))?;
    let bytes = numbers.next().ok_or(BadLine::Missing("size"))?;
    // `-` stands for no body.
    let bytes =
        if bytes == "-" { 0 } else { bytes.parse().map_err(|_unreadable| BadLine::Invalid("size"))? };
    let (referrer, rest) = quoted(rest).ok_or(BadLine::Missing("referrer"))?;
    let (user_agent, _) = quoted(rest).ok_or(BadLine::Missing("user agent"))?;
    let given = |text: String| (!text.is_empty() && text != "-").then_some(text);
    Ok(Line {
        address: address.to_owned(),
        at_ms: time.unix_timestamp() * 1_000,
        method: method.to_owned(),
        path: path.to_owned(),
        status,
        bytes,
        referrer: given(referrer),
        user_agent: given(user_agent),
    })
}

/// The next text in quotes, and what follows it. `\"` and `\\` are escapes.
fn quoted(text: &str) -> Option<(String, &str)> {
    let start = text.find('"')? + 1;
    let mut plain = String::new();
    let mut letters = text[start..].char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((plain, &text[start + at + 1..])),
            '\\' => match letters.next()?.1 {
                escaped @ ('"' | '\\') => plain.push(escaped),
                other => plain.extend(['\\', other]),
            },
            letter => plain.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"203.0.113.9 - - [17/May/2015:10:05:03 +0200] "GET /a?b=1 HTTP/1.1" 200 2326 "http://x.example/" "Mozilla/5.0 (\"quoted\")""#;

    #[test]
    fn a_line_is_read() {
        assert_eq!(
            parse(GOOD).unwrap(),
            Line {
                address: "203.0.113.9".into(),
                at_ms: 1_431_849_903_000,
                method: "GET".into(),
                path: "/a?b=1".into(),
                status: 200,
                bytes: 2_326,
                referrer: Some("http://x.example/".into()),
                user_agent: Some("Mozilla/5.0 (\"quoted\")".into()),
            }
        );
        let bare = GOOD.replace("2326", "-").replace("http://x.example/", "-");
        let line = parse(&bare).unwrap();
        assert_eq!((line.bytes, line.referrer), (0, None));
    }

    #[test]
    fn bad_lines_say_why() {
        for (text, expected) in [
            (String::new(), BadLine::Missing("address")),
            ("hello there".into(), BadLine::Invalid("address")),
            ("203.0.113.9 - -".into(), BadLine::Missing("time")),
            (GOOD.replace("May", "Mai"), BadLine::Invalid("time")),
            (GOOD.replace("GET /a?b=1 HTTP/1.1", "GET"), BadLine::Invalid("request")),
            (GOOD.replace(" 200 ", " OK "), BadLine::Invalid("status")),
            (GOOD[..GOOD.len() - 10].into(), BadLine::Missing("user agent")),
        ] {
            assert_eq!(parse(&text), Err(expected), "{text}");
        }
    }
}
