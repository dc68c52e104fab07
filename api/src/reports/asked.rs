//! What a report's request says: what all reports understand, and what is its own.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query as UriQuery};
use axum::http::Uri;
use axum::http::request::Parts;
use clickhouse::query::Query;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::filter::Filter;
use super::form::Form;
use super::period::{PeriodQuery, invalid};
use crate::error::ApiError;
use crate::server::App;

/// The parameters of one report.
pub(crate) trait Parameters: DeserializeOwned {
    /// What they are called.
    const NAMES: &'static [&'static str];
    /// Whether its rows come in pages.
    const IS_PAGED: bool;
    /// Whether it can be of one campaign, creator or link.
    const IS_FILTERED: bool;
}

/// A page of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// At most so many rows.
    pub(crate) limit: u32,
    /// So many are left out before them.
    pub(crate) offset: u32,
}

impl Page {
    /// Says it in a query.
    pub(super) fn param(self, query: Query) -> Query {
        query.param("limit", self.limit).param("offset", self.offset)
    }

    /// Says it in an answer, with how many rows there are in all by what the first
    /// of the page says.
    pub(super) fn tell(self, asked: &mut Map<String, Value>, told: Option<u64>) {
        asked.insert("offset".to_owned(), json!(self.offset));
        asked.insert("total".to_owned(), json!(self.total(told)));
    }

    /// How many rows there are in all, by what the first of the page says; a page
    /// beyond the end cannot tell.
    fn total(self, told: Option<u64>) -> Option<u64> {
        told.or((self.offset == 0).then_some(0))
    }
}

/// A request for a report.
pub(crate) struct Asked<T> {
    /// Its own parameters.
    pub(crate) own: T,
    /// The time.
    pub(crate) period: PeriodQuery,
    /// Whose clicks count.
    pub(crate) filter: Filter,
    /// Which rows.
    pub(crate) page: Page,
    /// How they are written.
    pub(crate) form: Form,
}

const PERIOD: [&str; 4] = ["period", "as_of_ms", "from_ms", "to_ms"];
const FILTER: [&str; 3] = ["campaign", "creator", "link"];
const PAGE: [&str; 2] = ["limit", "offset"];

fn query_of<T: DeserializeOwned>(pairs: &[&str]) -> Result<T, ApiError> {
    let uri: Uri =
        format!("/?{}", pairs.join("&")).parse().map_err(|_| invalid("the query cannot be read"))?;
    let parsed: Result<UriQuery<T>, QueryRejection> = UriQuery::try_from_uri(&uri);
    Ok(parsed?.0)
}

/// A value that was given; `what` says what it must be.
fn given<V: FromStr>(
    common: &HashMap<String, String>,
    name: &str,
    what: &str,
) -> Result<Option<V>, ApiError> {
    let Some(text) = common.get(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| invalid(format!("{name} is {what}, not {text:?}")))
}

impl<T: Parameters> Asked<T> {
    fn read(query: &str) -> Result<Self, ApiError> {
        let filter: &[&str] = if T::IS_FILTERED { &FILTER } else { &[] };
        let page: &[&str] = if T::IS_PAGED { &PAGE } else { &[] };
        let common_names: Vec<&str> =
            PERIOD.iter().chain(&["format"]).chain(filter).chain(page).copied().collect();
        let name_of = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
        let of_report = |pair: &&str| !pair.is_empty() && name_of(pair) != "workspace";
        let (common, own): (Vec<&str>, Vec<&str>) = query
            .split('&')
            .filter(of_report)
            .partition(|pair| common_names.contains(&name_of(pair).as_str()));
        if let Some(unknown) =
            own.iter().map(|pair| name_of(pair)).find(|name| !T::NAMES.contains(&name.as_str()))
        {
            let known: Vec<&str> = T::NAMES.iter().copied().chain(common_names).collect();
            return Err(invalid(format!(
                "there is no parameter {unknown:?}; this takes {}",
                known.join(", ")
            )));
        }
        let own = query_of(&own)?;
        let pairs: Vec<(String, String)> = query_of(&common)?;
        let count = pairs.len();
        let common: HashMap<String, String> = pairs.into_iter().collect();
        if common.len() < count {
            return Err(invalid("a parameter stands there twice"));
        }
        Self::with(own, &common)
    }

    fn with(own: T, common: &HashMap<String, String>) -> Result<Self, ApiError> {
        const MOMENT: &str = "in milliseconds since 1970";
        const ID: &str = "an id";
        const NUMBER: &str = "a whole number";
        let filter = Filter {
            campaign: given(common, "campaign", ID)?,
            creator: given(common, "creator", ID)?,
            link: given(common, "link", ID)?,
        };
        for (name, id) in [("campaign", filter.campaign), ("creator", filter.creator), ("link", filter.link)]
        {
            if id.is_some_and(|id: Uuid| id.is_nil()) {
                return Err(invalid(format!("{name} is the id of nothing")));
            }
        }
        let page = Page {
            limit: given(common, "limit", NUMBER)?.unwrap_or(100),
            offset: given(common, "offset", NUMBER)?.unwrap_or(0),
        };
        if !(1..=1_000).contains(&page.limit) || page.offset > 1_000_000 {
            return Err(invalid("limit must be 1 to 1000, offset at most 1000000"));
        }
        let period = PeriodQuery {
            period: common.get("period").cloned(),
            as_of_ms: given(common, "as_of_ms", MOMENT)?,
            from_ms: given(common, "from_ms", MOMENT)?,
            to_ms: given(common, "to_ms", MOMENT)?,
        };
        let form = given(common, "format", "json, csv or ndjson")?.unwrap_or_default();
        Ok(Self { own, period, filter, page, form })
    }
}

impl<T: Parameters> FromRequestParts<Arc<App>> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Self, ApiError> {
        Self::read(parts.uri.query().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Own {
        by: String,
        gap: Option<u32>,
    }

    impl Parameters for Own {
        const NAMES: &'static [&'static str] = &["by", "gap"];
        const IS_PAGED: bool = true;
        const IS_FILTERED: bool = false;
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Filtered {}

    impl Parameters for Filtered {
        const NAMES: &'static [&'static str] = &[];
        const IS_PAGED: bool = false;
        const IS_FILTERED: bool = true;
    }

    #[test]
    fn nobody_is_not_everybody() {
        let error = Asked::<Filtered>::read("link=00000000-0000-0000-0000-000000000000").err();
        assert!(error.expect("refused").to_string().contains("id of nothing"));
        assert!(Asked::<Filtered>::read("link=00000000-0000-0000-0000-000000000001").is_ok());
    }

    #[test]
    fn what_nobody_understands_is_refused() {
        let asked = Asked::<Own>::read("workspace=w&by=a%26b&gap=3&limit=5&format=csv&period=day").ok();
        let asked = asked.expect("all of it is understood");
        assert_eq!(asked.own, Own { by: "a&b".to_owned(), gap: Some(3) });
        assert_eq!((asked.page, asked.form), (Page { limit: 5, offset: 0 }, Form::Csv));
        assert_eq!(asked.period.period.as_deref(), Some("day"));
        for (query, message) in [
            ("", "missing field `by`"),
            ("by=a&perod=day", "there is no parameter \"perod\"; this takes by, gap, period, as_of_ms"),
            ("by=a&link=1", "no parameter \"link\""),
            ("by=a&per%69od=day", "no parameter"),
            ("by=a&by=b", "duplicate field `by`"),
            ("by=a&limit=1&limit=2", "stands there twice"),
            ("by=a&gap=x", "invalid digit"),
            ("by=a&limit=-1", "limit is a whole number, not \"-1\""),
            ("by=a&limit=1001", "limit must be"),
            ("by=a&from_ms=today", "from_ms is in milliseconds since 1970, not \"today\""),
            ("by=a&format=xml", "format is json, csv or ndjson, not \"xml\""),
        ] {
            let error = Asked::<Own>::read(query).err().expect(query).to_string();
            assert!(error.contains(message), "{query}: {error}");
        }
    }
}
