//! What visitors did of a funnel's steps, one visitor after the other.
//!
//! Any click, page or tracked event is kept by visitor (`visitor_acts`) as hours are
//! rolled up; what is asked about one page, link or name, conversions and sales, and what
//! came since, is told from the events. An act that both tell is one act.

use clickhouse::query::RowCursor;
use clickhouse::{Compression, Row};
use models::funnel::Steps;
use serde::Deserialize;
use store::rollups::{Source, hour_of, marks};

use super::kept::KeptRows;
use super::{Dimension, Step, steps_param};
use crate::access::Tenant;
use crate::error::ApiError;
use crate::reports::MAX_QUERY_BYTES;
use crate::reports::period::Period;
use crate::server::App;

const KEPT: &str = include_str!("../../../../clickhouse/queries/funnel_kept.sql");

/// A text after what it says of single events.
macro_rules! of_acts {
    ($file:literal) => {
        concat!(
            "WITH\n",
            include_str!("../../../../clickhouse/queries/funnel_acts.sql"),
            include_str!(concat!("../../../../clickhouse/queries/", $file))
        )
    };
}
const ALL: &str = of_acts!("funnel.sql");
const ALL_BY: &str = of_acts!("funnel_by.sql");
const REST: &str = of_acts!("funnel_rest.sql");

/// What is kept is read in so many parts, of as many visitors each: a power of two.
const KEPT_PARTS: u8 = 8;
/// None of which takes more memory, here and there; two of them are held.
const LARGEST_PART_BYTES: &str = "500000000";

/// The kinds of events that are kept by visitor.
const KEPT_KINDS: [&str; 3] = ["click", "page", "track"];

/// Where acts are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sources {
    /// Which steps any event of each of [`KEPT_KINDS`] is, where they are kept.
    kept: [Steps; 3],
    /// The hours of which what is kept may lack something, in seconds since 1970.
    asked_s: Vec<i64>,
}

impl Sources {
    /// Where to read what may be told of `steps` between two moments by now.
    pub(super) async fn of(
        app: &App,
        workspace: &Tenant,
        steps: &[Step],
        by: Dimension,
        (from_ms, until_ms): (i64, i64),
    ) -> Result<Self, ApiError> {
        let kept = kept(steps);
        // Countries and the like are not kept.
        if kept == [0; 3] || by != Dimension::Nothing {
            return Ok(Self::events());
        }
        let marks = marks(&app.pool, workspace.id, Source::Events, (hour_of(from_ms), until_ms), 0).await?;
        let asked = |marks: Vec<i64>| marks.into_iter().map(|hour_ms| hour_ms / 1_000).collect();
        Ok(marks.map_or(Self::events(), |marks| Self { kept, asked_s: asked(marks) }))
    }

    /// All from the events.
    pub(super) fn events() -> Self {
        Self { kept: [0; 3], asked_s: Vec::new() }
    }

    /// Whether what was read from these is all that `later` ones would have told, too.
    pub(super) fn cover(&self, later: &Self) -> bool {
        let is_asked = |hour| self.asked_s.binary_search(hour).is_ok();
        !self.is_any_kept() || self.kept == later.kept && later.asked_s.iter().all(is_asked)
    }

    fn is_any_kept(&self) -> bool {
        self.kept != [0; 3]
    }

    fn kept_kinds(&self) -> Vec<&'static str> {
        let kinds = KEPT_KINDS.into_iter().zip(self.kept);
        kinds.filter(|(_, steps)| *steps != 0).map(|(kind, _)| kind).collect()
    }
}

/// Which steps any event of each kind is, of those kinds nothing more is asked about.
fn kept(steps: &[Step]) -> [Steps; 3] {
    KEPT_KINDS.map(|kind| {
        if steps.iter().any(|step| step.kind == kind && step.subject.is_some()) {
            return 0;
        }
        let numbers = steps.iter().enumerate().filter(|(_, step)| step.kind == kind);
        numbers.fold(0, |bits, (number, _)| bits | 1 << number)
    })
}

/// What happened at a moment: milliseconds since 1970, and the steps in the lower 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Act(u64);

impl Act {
    fn new(ms: i64, steps: Steps) -> Self {
        Self(ms.unsigned_abs() << 16 | u64::from(steps))
    }

    /// When, and which steps.
    pub(super) fn told(self) -> (i64, Steps) {
        ((self.0 >> 16) as i64, (self.0 & 0xFFFF) as Steps)
    }
}

/// What the events tell of a visitor.
#[derive(Row, Deserialize)]
struct ToldRow {
    visitor: [u8; 16],
    acts: Vec<u64>,
    key: String,
}

impl ToldRow {
    /// As a number, in the order of keys.
    fn visitor(&self) -> u128 {
        u128::from_be_bytes(self.visitor)
    }
}

/// Visitors, each once, with what they did of the steps.
pub(super) struct Visitors {
    kept: Option<KeptRows>,
    told: RowCursor<ToldRow>,
    next_told: Option<ToldRow>,
    steps: [Steps; 3],
    span_ms: (i64, i64),
}

impl Visitors {
    /// Begins to read.
    pub(super) async fn read(
        app: &App,
        workspace: &Tenant,
        period: Period,
        until_ms: i64,
        (steps, by): (&[Step], Dimension),
        sources: &Sources,
    ) -> Result<Self, ApiError> {
        let text = match by {
            Dimension::Nothing if sources.is_any_kept() => REST,
            Dimension::Nothing => ALL,
            _ => ALL_BY,
        };
        let mut kept = sources.is_any_kept().then(|| {
            // Moments do not compress.
            let client = app.clickhouse.clone().with_compression(Compression::None);
            let client = client.with_setting("max_result_bytes", LARGEST_PART_BYTES);
            let query = period.param(client.query(KEPT), workspace).param("until_ms", until_ms);
            let wanted = ["clicks", "pages", "tracks"].into_iter().zip(sources.kept);
            let query = wanted.fold(query, |query, (column, steps)| query.param(column, steps != 0));
            let part = |number: u8| {
                let first = number * (u8::MAX / KEPT_PARTS + 1);
                let last = first + u8::MAX / KEPT_PARTS;
                query.clone().param("first_byte", first).param("last_byte", last)
            };
            KeptRows::begin((0..KEPT_PARTS).map(part).collect())
        });
        let query = period.param(app.clickhouse.query(text), workspace).param("until_ms", until_ms);
        let mut told = steps_param(query, steps)
            .bind(sources.kept_kinds())
            .bind(&sources.asked_s)
            .with_setting("max_query_size", MAX_QUERY_BYTES)
            .param("by", by.code())
            .param("first_is_kept", sources.kept.iter().any(|steps| steps & 1 == 1))
            .fetch()?;
        if let Some(rows) = &mut kept {
            rows.step().await?;
        }
        let next_told = told.next().await?;
        let span_ms = (period.from_ms, until_ms);
        Ok(Self { kept, told, next_told, steps: sources.kept, span_ms })
    }

    /// Adds what the next visitor did to `acts`, in any order; gives what they are told
    /// apart by. None, when there are no more.
    pub(super) async fn next(&mut self, acts: &mut Vec<Act>) -> Result<Option<String>, ApiError> {
        let next_kept = self.kept.as_ref().and_then(KeptRows::visitor);
        let next_told = self.next_told.as_ref().map(ToldRow::visitor);
        let Some(visitor) = next_kept.into_iter().chain(next_told).min() else { return Ok(None) };
        let (from_ms, until_ms) = self.span_ms;
        // Without anything kept visitors come in no order, and once each.
        if let Some(rows) = &mut self.kept {
            while rows.visitor() == Some(visitor) {
                for (moments, steps) in rows.moments().into_iter().zip(self.steps) {
                    let within = moments.filter(|ms| (from_ms..until_ms).contains(ms));
                    acts.extend(within.map(|ms| Act::new(ms, steps)));
                }
                rows.step().await?;
            }
        }
        let mut key = String::new();
        if let Some(row) = self.next_told.take_if(|row| row.visitor() == visitor) {
            acts.extend(row.acts.into_iter().map(Act));
            key = row.key;
            self.next_told = self.told.next().await?;
        }
        Ok(Some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_steps;
    use super::*;

    #[test]
    fn kinds_without_subjects_are_kept() {
        for (steps, expected) in [
            ("click > page > track", [1, 2, 4]),
            ("click > page > click > sale", [5, 2, 0]),
            ("page > page:/a > track:x > click", [8, 0, 0]),
            ("conversion > sale", [0, 0, 0]),
        ] {
            assert_eq!(kept(&read_steps(steps).expect(steps)), expected, "{steps}");
        }
    }

    #[test]
    fn what_came_in_between_is_not_covered() {
        let sources = |kept, asked: &[i64]| Sources { kept, asked_s: asked.to_vec() };
        let (all, none) = ([1, 2, 4], [0; 3]);
        assert!(sources(all, &[1, 3]).cover(&sources(all, &[3])));
        assert!(!sources(all, &[1, 3]).cover(&sources(all, &[2])));
        // Roll-ups began anew meanwhile, or begin only now.
        assert!(!sources(all, &[]).cover(&sources(none, &[])));
        assert!(sources(none, &[]).cover(&sources(all, &[1])));
    }
}
