//! What a report's request says: what all reports understand, and what is its own.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::filter::Filter;
use super::form::Form;
use super::period::{PeriodQuery, invalid};
use crate::error::ApiError;
use crate::server::App;

/// The parameters of one report.
pub(crate) trait Parameters: DeserializeOwned {
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
    /// How many rows there are in all, by what the first of the page says; a page
    /// beyond the end cannot tell.
    pub(super) fn total(self, told: Option<u64>) -> Option<u64> {
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

/// What all reports understand.
#[derive(Default, Deserialize)]
struct Common {
    period: Option<String>,
    as_of_ms: Option<i64>,
    from_ms: Option<i64>,
    to_ms: Option<i64>,
    campaign: Option<Uuid>,
    creator: Option<Uuid>,
    link: Option<Uuid>,
    limit: Option<u32>,
    offset: Option<u32>,
    #[serde(default)]
    format: Form,
}

const PERIOD: [&str; 4] = ["period", "as_of_ms", "from_ms", "to_ms"];
const FILTER: [&str; 3] = ["campaign", "creator", "link"];
const PAGE: [&str; 2] = ["limit", "offset"];

fn query_of<T: DeserializeOwned>(pairs: &[&str]) -> Result<T, ApiError> {
    let uri: Uri =
        format!("/?{}", pairs.join("&")).parse().map_err(|_| invalid("the query cannot be read"))?;
    let parsed: Result<Query<T>, QueryRejection> = Query::try_from_uri(&uri);
    Ok(parsed?.0)
}

impl<T: Parameters> Asked<T> {
    fn read(query: &str) -> Result<Self, ApiError> {
        let is_common = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            name == "format"
                || PERIOD.contains(&name)
                || (T::IS_FILTERED && FILTER.contains(&name))
                || (T::IS_PAGED && PAGE.contains(&name))
        };
        let of_report = |pair: &&str| !pair.is_empty() && !pair.starts_with("workspace=");
        let (common, own): (Vec<&str>, Vec<&str>) = query.split('&').filter(of_report).partition(is_common);
        let own = query_of(&own)?;
        let Common { period, as_of_ms, from_ms, to_ms, campaign, creator, link, limit, offset, format } =
            query_of(&common)?;
        for (name, id) in [("campaign", campaign), ("creator", creator), ("link", link)] {
            if id.is_some_and(|id| id.is_nil()) {
                return Err(invalid(format!("{name} is the id of nothing")));
            }
        }
        let page = Page { limit: limit.unwrap_or(100), offset: offset.unwrap_or(0) };
        if !(1..=1_000).contains(&page.limit) || page.offset > 1_000_000 {
            return Err(invalid("limit must be 1 to 1000, offset at most 1000000"));
        }
        Ok(Self {
            own,
            period: PeriodQuery { period, as_of_ms, from_ms, to_ms },
            filter: Filter { campaign, creator, link },
            page,
            form: format,
        })
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
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Own {
        by: String,
        gap: Option<u32>,
    }

    impl Parameters for Own {
        const IS_PAGED: bool = true;
        const IS_FILTERED: bool = false;
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Filtered {}

    impl Parameters for Filtered {
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
            ("by=a&perod=day", "unknown field `perod`"),
            ("by=a&link=1", "unknown field `link`"),
            ("by=a&by=b", "duplicate field `by`"),
            ("by=a&gap=x", "invalid digit"),
            ("by=a&limit=-1", "invalid digit"),
            ("by=a&limit=1001", "limit must be"),
            ("by=a&format=xml", "unknown variant"),
        ] {
            let error = Asked::<Own>::read(query).err().expect(query).to_string();
            assert!(error.contains(message), "{query}: {error}");
        }
    }
}
