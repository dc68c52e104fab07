//! What visitors did of a funnel's steps, one visitor after the other.
//!
//! Any click, page or tracked event is kept by visitor (`visitor_acts`) as hours are
//! rolled up; what is asked about one page, link or name, conversions and sales, and what
//! came since, is told from the events. An act that both tell is one act.

use std::iter::Peekable;
use std::vec;

use clickhouse::error::Error;
use clickhouse::query::RowCursor;
use clickhouse::{Compression, Row};
use models::funnel::{Act, Steps};
use serde::Deserialize;
use store::rollups::{Source, hour_of, marks};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

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

/// What the events tell of a visitor.
#[derive(Row, Deserialize)]
struct ToldRow {
    visitor: [u8; 16],
    /// Each packed as an [`Act`], in no order.
    acts: Vec<u64>,
    key: String,
}

impl ToldRow {
    /// As a number, in the order of keys.
    fn visitor(&self) -> u128 {
        u128::from_be_bytes(self.visitor)
    }
}

/// So many rows of events are handed over at a time, and so many times that are read ahead.
const ROWS_AT_ONCE: usize = 4_096;
const ROWS_AHEAD: usize = 4;

/// Reads what the events tell. Ends when all is read, or nobody wants it any more.
async fn read_told(mut rows: RowCursor<ToldRow>, told: mpsc::Sender<Vec<ToldRow>>) -> Result<(), Error> {
    let mut some = Vec::new();
    while let Some(row) = rows.next().await? {
        some.push(row);
        if some.len() == ROWS_AT_ONCE && told.send(std::mem::take(&mut some)).await.is_err() {
            return Ok(());
        }
    }
    // Nobody wants it, if this fails.
    let _ended = told.send(some).await;
    Ok(())
}

/// Who reads what [`Visitors`] are made of; dropped, they end.
pub(super) type Readers = JoinSet<Result<(), Error>>;

/// Visitors, each once, with what they did of the steps. They block until it is read.
pub(super) struct Visitors {
    kept: Option<KeptRows>,
    /// Until all is told.
    told: Option<mpsc::Receiver<Vec<ToldRow>>>,
    told_next: Peekable<vec::IntoIter<ToldRow>>,
    steps: [Steps; 3],
    span_ms: (i64, i64),
}

impl Visitors {
    /// Begins to read. What is wrong is said by the readers, when they have ended.
    pub(super) fn read(
        app: &App,
        workspace: &Tenant,
        period: Period,
        until_ms: i64,
        (steps, by): (&[Step], Dimension),
        sources: &Sources,
    ) -> Result<(Readers, Self), ApiError> {
        let mut readers = Readers::new();
        let kept = sources.is_any_kept().then(|| {
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
            let (reader, rows) = KeptRows::of((0..KEPT_PARTS).map(part).collect());
            readers.spawn(reader.run());
            rows
        });
        let text = match by {
            Dimension::Nothing if sources.is_any_kept() => REST,
            Dimension::Nothing => ALL,
            _ => ALL_BY,
        };
        let query = period.param(app.clickhouse.query(text), workspace).param("until_ms", until_ms);
        let rows = steps_param(query, steps)
            .bind(sources.kept_kinds())
            .bind(&sources.asked_s)
            .with_setting("max_query_size", MAX_QUERY_BYTES)
            .param("by", by.code())
            .param("first_is_kept", sources.kept.iter().any(|steps| steps & 1 == 1))
            .fetch()?;
        let (sender, told) = mpsc::channel(ROWS_AHEAD);
        readers.spawn(read_told(rows, sender));
        let visitors = Self {
            kept,
            told: Some(told),
            told_next: Vec::new().into_iter().peekable(),
            steps: sources.kept,
            span_ms: (period.from_ms, until_ms),
        };
        Ok((readers, visitors))
    }

    /// Adds what the next visitor did to `acts`, in any order; gives what they are told
    /// apart by. None, when there are no more. Blocks.
    pub(super) fn next(&mut self, acts: &mut Vec<Act>) -> Result<Option<String>, Error> {
        if let Some(rows) = &mut self.kept {
            rows.go_on()?;
        }
        while let Some(told) = self.told.as_mut().filter(|_| self.told_next.peek().is_none()) {
            match told.blocking_recv() {
                Some(more) => self.told_next = more.into_iter().peekable(),
                None => self.told = None,
            }
        }
        let next_kept = self.kept.as_ref().and_then(KeptRows::visitor);
        let next_told = self.told_next.peek().map(ToldRow::visitor);
        let Some(visitor) = next_kept.into_iter().chain(next_told).min() else { return Ok(None) };
        // Without anything kept visitors come in no order, and once each.
        while let Some(rows) = self.kept.as_mut().filter(|rows| rows.visitor() == Some(visitor)) {
            rows.tell(self.steps, self.span_ms, acts);
            rows.step()?;
        }
        let told = self.told_next.next_if(|row| row.visitor() == visitor);
        let (told, key) = told.map_or_else(Default::default, |row| (row.acts, row.key));
        acts.extend(told.into_iter().map(Act));
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
