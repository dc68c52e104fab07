//! `tributary explain`: why an action earned what it did, or nothing.

use clap::Args;
use domain::money::Currency;
use serde_json::Value;

use crate::http_client::{ApiClient, HttpClient};
use crate::settings::Settings;

#[derive(Args)]
pub(crate) struct ExplainArgs {
    /// The action: the event id that the collector answered, or the id that its sender gave it
    id: String,

    /// Workspace, by id or slug
    #[arg(long, value_name = "ID|SLUG")]
    workspace: String,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(settings: &Settings, args: &ExplainArgs) -> anyhow::Result<()> {
    let api = ApiClient::new(HttpClient::new(), settings.api_listen, &settings.admin_key()?);
    let answer = fetch(&api, &args.id, &args.workspace).await?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        print(&answer);
    }
    Ok(())
}

/// Asks the API about an action.
///
/// # Errors
/// When it does not know the action, or does not answer.
pub(crate) async fn fetch(api: &ApiClient, id: &str, workspace: &str) -> anyhow::Result<Value> {
    let escape = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    // In a path, a space is %20.
    let id = escape(id).replace('+', "%20");
    api.get(&format!("/v1/conversions/{id}/explain?workspace={}", escape(workspace))).await
}

/// Prints an answer of the API for people.
pub(crate) fn print(answer: &Value) {
    for leg in list(&answer["legs"]) {
        say!("  decision  {}", decision(leg));
        let attribution = &leg["attribution"];
        let at_ms = leg["at_ms"].as_i64().unwrap_or_default();
        for touch in list(&attribution["touches"]) {
            let before_ms = at_ms.saturating_sub(touch["at_ms"].as_i64().unwrap_or_default());
            let credited = match (touch["chosen"] == true, text(&attribution["matched_by"])) {
                (true, "click_token") => "  ← credited: the order brought its token",
                (true, _) => "  ← credited: the last in the window",
                _ => "",
            };
            say!("  touch     click {} {} before{credited}", text(&touch["click"]), duration(before_ms));
        }
        for entry in list(&leg["entries"]) {
            let (kind, minor) = (text(&entry["account_kind"]), entry["amount_minor"].as_i64());
            let minor = minor.map_or_else(|| "-".to_owned(), |minor| minor.to_string());
            say!("  entry     {kind:<18} {minor:>8} {}", text(&entry["currency"]));
        }
    }
}

fn decision(leg: &Value) -> String {
    let (status, attribution, payout) = (text(&leg["status"]), &leg["attribution"], &leg["payout"]);
    if let Some(reason) = leg["reason"].as_str() {
        return format!("{status} ({reason}): {}", text(&leg["because"]));
    }
    if payout.is_null() {
        return status.to_owned();
    }
    let paid = amount(&payout["gross_minor"], &payout["currency"]);
    let of = match leg["value_minor"].is_null() {
        true => String::new(),
        false => format!(" of an order of {}", amount(&leg["value_minor"], &leg["value_currency"])),
    };
    let (fee_bps, version) = (&payout["fee_bps"], &attribution["terms_version"]);
    format!("{status}: {paid}{of} (fee {fee_bps} bps, terms version {version})")
}

/// Minor units in the currency's major unit.
fn amount(minor: &Value, currency: &Value) -> String {
    let (minor, code) = (minor.as_i64().unwrap_or_default(), text(currency));
    let exponent = Currency::new(code).ok().and_then(|currency| currency.exponent()).unwrap_or_default();
    let width = usize::from(exponent);
    let digits = format!("{:0>1$}", minor.unsigned_abs(), width + 1);
    let (whole, fraction) = digits.split_at(digits.len() - width);
    let (sign, point) = (if minor < 0 { "-" } else { "" }, if width > 0 { "." } else { "" });
    format!("{sign}{whole}{point}{fraction} {code}")
}

/// A length of time, in the unit that suits it.
fn duration(ms: i64) -> String {
    let seconds = ms as f64 / 1_000.0;
    let (count, unit) = match seconds {
        ..120.0 => (seconds, "s"),
        ..7_200.0 => (seconds / 60.0, "min"),
        ..172_800.0 => (seconds / 3_600.0, "h"),
        _ => (seconds / 86_400.0, "days"),
    };
    format!("{count:.1} {unit}")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_have_their_currencys_digits() {
        for (minor, currency, expected) in [
            (600, "USD", "6.00 USD"),
            (5, "EUR", "0.05 EUR"),
            (-1_234, "USD", "-12.34 USD"),
            (1_500, "JPY", "1500 JPY"),
            (1_234, "KWD", "1.234 KWD"),
        ] {
            assert_eq!(amount(&json!(minor), &json!(currency)), expected);
        }
    }

    #[test]
    fn decisions_are_sentences() {
        let posted = json!({ "status": "posted", "value_minor": 5_431, "value_currency": "USD", "payout":
            { "gross_minor": 600, "fee_bps": 1_000, "currency": "USD" }, "attribution": { "terms_version": 1 } });
        assert_eq!(
            decision(&posted),
            "posted: 6.00 USD of an order of 54.31 USD (fee 1000 bps, terms version 1)"
        );
        let bot = json!({ "status": "nonpayable", "reason": "bot", "because": "The click was a robot's.", "payout": null });
        assert_eq!(decision(&bot), "nonpayable (bot): The click was a robot's.");
        assert_eq!(decision(&json!({ "status": "quarantined", "payout": null })), "quarantined");
        for (ms, expected) in
            [(300, "0.3 s"), (150_000, "2.5 min"), (7_200_000, "2.0 h"), (864_000_000, "10.0 days")]
        {
            assert_eq!(duration(ms), expected);
        }
    }
}
