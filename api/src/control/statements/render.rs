//! Statements as CSV (RFC 4180) and as pages to be printed.

use std::fmt::Write as _;

use domain::money::{Currency, Money};
use domain::payout::table::quoted;
use domain::timestamp::day;
use store::statements::{StatementLineRow, StatementRow};

fn decimal(amount_minor: i64, currency: Currency) -> String {
    Money { amount_minor, currency }.decimal()
}

/// A moment, with its time unless that is midnight (UTC).
fn moment(at_ms: i64) -> String {
    let seconds = at_ms.rem_euclid(24 * 60 * 60 * 1_000) / 1_000;
    match seconds {
        0 => day(at_ms),
        _ => {
            format!("{} {:02}:{:02}:{:02} UTC", day(at_ms), seconds / 3_600, seconds / 60 % 60, seconds % 60)
        }
    }
}

/// What is behind a line, in words.
fn behind(line: &StatementLineRow) -> String {
    let said = |field: &str| line.detail[field].as_str();
    let text = |field: &str| said(field).unwrap_or("?");
    match line.kind.as_str() {
        "credit" => match (said("action"), said("campaign")) {
            (Some(action), Some(campaign)) => format!("{action} {} of {campaign}", text("event_id")),
            (Some(payment), None) => format!("{payment} {}", text("event_id")),
            (None, _) => format!("boost {} of {}", text("external_id"), text("campaign")),
        },
        "clawback" => format!("refund {} of {}", text("refund_id"), text("of_event_id")),
        _ => format!("{} {}", text("method"), text("external_id")),
    }
}

/// The table; it begins and ends with a balance.
pub(super) fn csv(statement: &StatementRow, lines: &[StatementLineRow], currency: Currency) -> String {
    let mut table = "line,date,kind,what,amount,currency,transaction_id\r\n".to_owned();
    let balance = |kind: &str, at_ms: Option<i64>, minor: i64| {
        let date = at_ms.map_or_else(String::new, day);
        format!(",{date},{kind},,{},{currency},\r\n", decimal(minor, currency))
    };
    table.push_str(&balance("opening", statement.period_start_ms, statement.opening_minor));
    for line in lines {
        let what = quoted(&behind(line));
        let amount = decimal(line.amount_minor, currency);
        let (number, day, kind, id) = (line.line, day(line.at_ms), &line.kind, line.transaction_id);
        write!(table, "{number},{day},{kind},{what},{amount},{currency},{id}\r\n")
            .expect("writing to a string");
    }
    table.push_str(&balance("closing", Some(statement.period_end_ms), statement.closing_minor));
    table
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "body{font:11pt/1.4 sans-serif;max-width:48em;margin:2em auto}table{width:100%;\
border-collapse:collapse}td,th{padding:.2em .4em;text-align:left;border-bottom:1px solid #ccc}\
.n{text-align:right;font-variant-numeric:tabular-nums}@media print{body{margin:0}}";

/// A page to be printed.
pub(super) fn html(
    workspace: &str,
    statement: &StatementRow,
    lines: &[StatementLineRow],
    currency: Currency,
) -> String {
    let mut rows = String::new();
    let mut row = |day: &str, what: &str, amount_minor: i64, strong: bool| {
        let (open, close) = if strong { ("<b>", "</b>") } else { ("", "") };
        let (what, amount) = (escaped(what), decimal(amount_minor, currency));
        let cells =
            format!("<td>{day}</td><td>{open}{what}{close}</td><td class=n>{open}{amount}{close}</td>");
        writeln!(rows, "<tr>{cells}</tr>").expect("writing to a string");
    };
    row("", "Opening balance", statement.opening_minor, true);
    for line in lines {
        row(&day(line.at_ms), &format!("{}: {}", line.kind, behind(line)), line.amount_minor, false);
    }
    row("", "Closing balance", statement.closing_minor, true);
    let (name, workspace) = (escaped(&statement.display_name), escaped(workspace));
    let since = statement.period_start_ms.map_or_else(|| "the beginning".to_owned(), moment);
    let (until, number) = (moment(statement.period_end_ms), statement.sequence);
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Statement {number} of {name}</title>\
         <style>{STYLE}</style><h1>Statement {number}</h1><p>{workspace} to {name}, from {since} to {until} \
         (not included), in {currency}. {}</p><table><tr><th>Date<th>What<th class=n>Amount</tr>\n{rows}</table></html>\n",
        statement.id
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn periods_end_when_they_end() {
        assert_eq!(moment(1_795_219_200_000), "2026-11-21");
        assert_eq!(moment(1_795_289_851_000), "2026-11-21 19:37:31 UTC");
    }

    #[test]
    fn each_line_says_what_is_behind_it() {
        for (kind, detail, expected) in [
            ("credit", json!({ "action": "sale", "event_id": "e", "campaign": "May" }), "sale e of May"),
            ("credit", json!({ "action": "tip", "event_id": "e" }), "tip e"),
            ("credit", json!({ "external_id": "B-1", "campaign": "May" }), "boost B-1 of May"),
            ("clawback", json!({ "refund_id": "r", "of_event_id": "e" }), "refund r of e"),
            ("paid", json!({ "method": "ach", "external_id": "w" }), "ach w"),
        ] {
            let (kind, transaction_id) = (kind.to_owned(), uuid::Uuid::nil());
            let line = StatementLineRow { line: 1, transaction_id, kind, at_ms: 0, amount_minor: 1, detail };
            assert_eq!(behind(&line), expected);
        }
    }

    #[test]
    fn what_strangers_wrote_stays_text() {
        assert_eq!(escaped("<b>&\"x\"</b>"), "&lt;b&gt;&amp;&quot;x&quot;&lt;/b&gt;");
    }
}
