//! A link, ready for redirecting: its destinations taken apart once, so that a
//! click only joins texts.

use domain::ids::VisitorKey;
use domain::link::{Choice, Device, Link};
use domain::privacy::Privacy;

use crate::directory::DirectoryError;

/// Longest query that is passed on.
const MAX_PASSED_BYTES: usize = 1_024;

/// A link, ready for redirecting.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) link: Link,
    pub(crate) privacy: Privacy,
    /// Where it leads when it leads nowhere any more, as a header can hold it.
    pub(crate) fallback: Option<String>,
    default: Destination,
    rules: Vec<Destination>,
    variants: Vec<Destination>,
}

/// An address that something can be added to.
#[derive(Debug)]
struct Destination {
    /// Up to where another parameter can follow.
    head: String,
    /// The fragment, with the `#`.
    tail: String,
    /// The parameters it has.
    names: Vec<String>,
}

impl Destination {
    fn new(text: &str) -> Result<Self, String> {
        let url = url::Url::parse(text).map_err(|error| error.to_string())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("it is neither http nor https".to_owned());
        }
        let names = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
        let text = url.as_str();
        let (before, tail) = text.find('#').map_or((text, ""), |at| text.split_at(at));
        let joint = match before.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        Ok(Self { head: format!("{before}{joint}"), tail: tail.to_owned(), names })
    }

    /// The address with what is `passed` and `tcid` added; its own query and
    /// fragment stay.
    fn with(&self, passed: &[(String, String)], tcid: &str) -> String {
        const TCID: &str = "tcid=";
        let mut address = String::with_capacity(self.head.len() + TCID.len() + tcid.len() + self.tail.len());
        address.push_str(&self.head);
        for (name, value) in passed.iter().filter(|(name, _)| !self.names.contains(name)) {
            let pair = url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
            address.push_str(&pair);
            address.push('&');
        }
        address.push_str(TCID);
        address.push_str(tcid);
        address.push_str(&self.tail);
        address
    }
}

/// An address as it is sent: what is not ASCII is escaped.
fn written(text: &str) -> String {
    url::Url::parse(text).map_or_else(|_unreadable| text.to_owned(), String::from)
}

impl Target {
    pub(crate) fn new(link: Link, privacy: Privacy) -> Result<Self, DirectoryError> {
        let id = link.id;
        let destination = |text: &String| {
            Destination::new(text)
                .map_err(|error| DirectoryError(format!("link {id}: destination {text:?}: {error}")))
        };
        Ok(Self {
            default: destination(&link.destination_url)?,
            rules: link
                .rules
                .iter()
                .map(|rule| destination(&rule.destination_url))
                .collect::<Result<_, _>>()?,
            variants: link
                .variants
                .iter()
                .map(|one| destination(&one.destination_url))
                .collect::<Result<_, _>>()?,
            fallback: link.fallback_url.as_ref().map(|text| written(text)),
            link,
            privacy,
        })
    }

    /// Which destination a click is led to.
    pub(crate) fn choose(&self, visitor: VisitorKey, country: Option<&str>, device: Device) -> Choice {
        self.link.choose(visitor, country, device)
    }

    /// The name of the variant that was chosen, if one was.
    pub(crate) fn variant_name(&self, choice: Choice) -> Option<&str> {
        match choice {
            Choice::Variant(index) => Some(self.link.variants[index].name.as_str()),
            Choice::Default | Choice::Rule(_) => None,
        }
    }

    /// The address that a click is led to.
    pub(crate) fn address(&self, choice: Choice, query: &Query, tcid: &str) -> String {
        let destination = match choice {
            Choice::Default => &self.default,
            Choice::Rule(index) => &self.rules[index],
            Choice::Variant(index) => &self.variants[index],
        };
        let passed = if self.link.pass_query { &query.0[..] } else { &[] };
        destination.with(passed, tcid)
    }
}

/// The query of a short address.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query; one that is too long is left out. Nobody brings their own
    /// `tcid`.
    pub(crate) fn read(query: Option<&str>) -> Self {
        let Some(query) = query.filter(|query| query.len() <= MAX_PASSED_BYTES) else {
            return Self::default();
        };
        let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned();
        Self(pairs.filter(|(name, _)| !name.is_empty() && name != "tcid").collect())
    }

    /// Its `utm_` parameters, without the prefix.
    pub(crate) fn utm(&self) -> impl Iterator<Item = (&str, &str)> {
        const KNOWN: [&str; 6] = ["source", "medium", "campaign", "term", "content", "id"];
        self.0.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("utm_").filter(|name| KNOWN.contains(name))?;
            (!value.is_empty()).then_some((name, value.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(destination: &str, query: &str) -> String {
        Destination::new(destination).unwrap().with(&Query::read(Some(query)).0, "T")
    }

    #[test]
    fn the_token_joins_what_is_there() {
        for (destination, expected) in [
            ("https://a.example", "https://a.example/?tcid=T"),
            ("https://a.example/p", "https://a.example/p?tcid=T"),
            ("https://a.example/p?", "https://a.example/p?tcid=T"),
            ("https://a.example/p?x=1&y=%20", "https://a.example/p?x=1&y=%20&tcid=T"),
            ("https://a.example/p?x=1#part", "https://a.example/p?x=1&tcid=T#part"),
            ("http://a.example/#a?b", "http://a.example/?tcid=T#a?b"),
        ] {
            assert_eq!(joined(destination, ""), expected);
        }
        for bad in ["javascript:alert(1)", "ftp://a.example/", "not a url", "//a.example"] {
            assert!(Destination::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_sent_in_ascii() {
        for (text, expected) in [
            ("https://a.example/p?x=1#y", "https://a.example/p?x=1#y"),
            ("https://m\u{fc}ller.example/\u{e4}", "https://xn--mller-kva.example/%C3%A4"),
            ("no address", "no address"),
        ] {
            assert_eq!(written(text), expected);
        }
    }

    #[test]
    fn a_query_is_passed_on_and_cannot_break_out() {
        for (query, expected) in [
            ("utm_source=x&ref=a%20b", "https://a.example/?k=1&utm_source=x&ref=a+b&tcid=T#f"),
            // The destination's own parameters hold, and so does our token.
            ("k=2&tcid=forged", "https://a.example/?k=1&tcid=T#f"),
            ("a=%0d%0aSet-Cookie:x", "https://a.example/?k=1&a=%0D%0ASet-Cookie%3Ax&tcid=T#f"),
            ("a=1#b", "https://a.example/?k=1&a=1%23b&tcid=T#f"),
            ("a=\u{e9}", "https://a.example/?k=1&a=%C3%A9&tcid=T#f"),
            ("&&=x&", "https://a.example/?k=1&tcid=T#f"),
        ] {
            assert_eq!(joined("https://a.example/?k=1#f", query), expected);
        }
        assert_eq!(Query::read(Some(&"a".repeat(2_000))), Query::default());
    }

    #[test]
    fn utm_parameters_are_noted() {
        let query = Query::read(Some("utm_source=mail&utm_medium=&utm_evil=1&x=2&utm_campaign=a%20b"));
        assert_eq!(query.utm().collect::<Vec<_>>(), [("source", "mail"), ("campaign", "a b")]);
    }

    proptest::proptest! {
        /// Whatever the query, the address stays one of the registered host.
        #[test]
        fn no_query_leads_elsewhere(query in ".{0,200}") {
            let address = joined("https://a.example/p?k=1#f", &query);
            let url = url::Url::parse(&address).unwrap();
            proptest::prop_assert_eq!(url.host_str(), Some("a.example"));
            proptest::prop_assert_eq!(url.path(), "/p");
            proptest::prop_assert!(address.bytes().all(|byte| (b' '..0x7F).contains(&byte)));
            proptest::prop_assert_eq!(url.query_pairs().filter(|(name, _)| name == "tcid").count(), 1);
        }
    }
}
