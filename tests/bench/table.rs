//! The printed result.

use std::fmt;

/// One line for each thing measured.
#[derive(Default)]
pub(crate) struct Table {
    lines: Vec<Line>,
}

struct Line {
    what: String,
    per_second: f64,
    ratio: Option<f64>,
    note: String,
}

impl Table {
    /// A limit that others are compared with.
    pub(crate) fn limit(&mut self, what: &str, per_second: f64, note: impl Into<String>) {
        self.lines.push(Line { what: what.to_owned(), per_second, ratio: None, note: note.into() });
    }

    /// A figure, compared with a limit's.
    pub(crate) fn figure(&mut self, what: &str, per_second: f64, limit: f64, note: impl Into<String>) {
        let ratio = Some(per_second / limit);
        self.lines.push(Line { what: what.to_owned(), per_second, ratio, note: note.into() });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<58}{:>12}{:>8}  note", "what", "per second", "ratio")?;
        for Line { what, per_second, ratio, note } in &self.lines {
            let ratio = ratio.map_or_else(|| "limit".to_owned(), |ratio| format!("{ratio:.2}"));
            writeln!(f, "{what:<58}{per_second:>12.0}{ratio:>8}  {note}")?;
        }
        Ok(())
    }
}
