//! Rows as JSON, CSV or NDJSON.

use std::str::FromStr;

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use domain::payout::table::quoted;
use serde_json::{Map, Value, json};

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// One object, with what was asked and the rows.
    #[default]
    Json,
    /// A line of names, and one for each row; an absent figure is empty.
    Csv,
    /// One object a line.
    Ndjson,
}

impl FromStr for Form {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            "ndjson" => Ok(Self::Ndjson),
            _ => Err(()),
        }
    }
}

/// The fields of an object.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A sum by a count; null where there is nothing to divide by.
pub(crate) fn ratio(sum: f64, count: u64) -> Value {
    match count {
        0 => Value::Null,
        count => json!(sum / count as f64),
    }
}

/// What a report answers.
pub(crate) struct Report {
    /// What was asked, as it was understood.
    pub(crate) asked: Map<String, Value>,
    /// The rows' fields, in their order.
    pub(crate) columns: &'static [&'static str],
    /// The rows.
    pub(crate) rows: Vec<Map<String, Value>>,
}

impl Report {
    /// The answer.
    pub(crate) fn answer(self, form: Form) -> Response {
        let Self { mut asked, columns, rows } = self;
        match form {
            Form::Json => {
                asked.insert("rows".to_owned(), rows.into_iter().map(Value::Object).collect());
                Json(asked).into_response()
            }
            Form::Csv => ([(CONTENT_TYPE, "text/csv; charset=utf-8")], csv(columns, &rows)).into_response(),
            Form::Ndjson => {
                let lines = rows.into_iter().map(|row| format!("{}\n", Value::Object(row)));
                ([(CONTENT_TYPE, "application/x-ndjson")], lines.collect::<String>()).into_response()
            }
        }
    }
}

fn csv(columns: &[&str], rows: &[Map<String, Value>]) -> String {
    let mut text = format!("{}\r\n", columns.join(","));
    for row in rows {
        let fields = columns.iter().map(|column| match row.get(*column) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => quoted(text),
            Some(other) => other.to_string(),
        });
        text.push_str(&fields.collect::<Vec<_>>().join(","));
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_texts_and_leaves_absent_figures_empty() {
        let row = object(json!({ "name": "A, \"B\"", "value": 1.5, "rate": null, "other": 1 }));
        assert_eq!(csv(&["name", "value", "rate"], &[row]), "name,value,rate\r\n\"A, \"\"B\"\"\",1.5,\r\n");
    }
}
