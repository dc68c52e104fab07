//! `tributary explain`: why an action earned what it did, or nothing.

use clap::Args;
use serde_json::Value;

use crate::http_client::{ApiClient, HttpClient};
use crate::settings::Settings;
use crate::show::{amount, duration, list, text};

#[derive(Args)]
pub(crate) struct ExplainArgs {
    /// The action: the event id that the collector answered, the id that its sender gave it, or
    /// the number of the order or payment
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
        let total: f64 = list(&attribution["touches"]).iter().filter_map(|t| t["weight"].as_f64()).sum();
        for touch in list(&attribution["touches"]) {
            let before_ms = at_ms.saturating_sub(touch["at_ms"].as_i64().unwrap_or_default());
            let share = touch["weight"].as_f64().unwrap_or_default() / total;
            let credited = match (touch["chosen"] == true, text(&attribution["matched_by"])) {
                (true, _) if leg["payout"].is_null() => "  ← the one that decides".to_owned(),
                (true, _) if share < 1.0 => {
                    format!("  ← credited: {:.1} % by {}", share * 100.0, text(&attribution["model"]))
                }
                (true, _) if attribution["model"] != "last_touch" => {
                    format!("  ← credited: all of it, by {}", text(&attribution["model"]))
                }
                (true, "click_token") => "  ← credited: the order brought its token".to_owned(),
                (true, "user") => "  ← credited: the same user's, with another browser".to_owned(),
                (true, _) => "  ← credited: the last in the window".to_owned(),
                _ => String::new(),
            };
            say!("  touch     click {} {} before{credited}", text(&touch["click"]), duration(before_ms));
        }
        if let Some(bps) = attribution["sharing"]["bps"].as_f64() {
            let of_leg = &attribution["sharing"]["of_leg"];
            say!("  reward    {} % of what leg {of_leg} pays, for sharing the link", bps / 100.0);
        }
        if attribution["matched_by"] == "coupon" {
            say!("  coupon    names campaign and creator, without a click");
        }
        if let Some(waited_ms) = attribution["waited_ms"].as_i64() {
            say!("  waited    {} for its click", duration(waited_ms));
        }
        if !leg["refund"].is_null() {
            let refund = &leg["refund"];
            let of = refund["of_event_id"].as_str().map_or_else(String::new, |of| format!(" of {of}"));
            say!("  refund    {}{of}", text(&refund["refund_id"]));
        }
        for refund in list(&leg["refunds"]) {
            let (minor, currency) = (&refund["gross_minor"], text(&leg["payout"]["currency"]));
            let took = if minor.is_null() { "nothing".to_owned() } else { amount(minor, currency) };
            say!("  refunded  {took} by {}", text(&refund["refund_id"]));
        }
        for entry in list(&leg["entries"]) {
            let moved = amount(&entry["amount_minor"], text(&entry["currency"]));
            say!("  entry     {:<18} {moved:>14}", text(&entry["account_kind"]));
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
    let paid = amount(&payout["gross_minor"], text(&payout["currency"]));
    let of = match leg["value_minor"].is_null() {
        true => String::new(),
        false => format!(" of an order of {}", amount(&leg["value_minor"], text(&leg["value_currency"]))),
    };
    if leg["kind"] == "refund" {
        let minor = |field: &Value| Value::from(field.as_i64().unwrap_or_default().saturating_neg());
        let took = amount(&minor(&payout["gross_minor"]), text(&payout["currency"]));
        let refunded = amount(&minor(&leg["value_minor"]), text(&leg["value_currency"]));
        return format!("{status}: {took} taken back for a refund of {refunded}");
    }
    let (fee_bps, version) = (&payout["fee_bps"], &attribution["terms_version"]);
    format!("{status}: {paid}{of} (fee {fee_bps} bps, terms version {version})")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        let refund = json!({ "status": "posted", "kind": "refund", "value_minor": -3_300, "value_currency": "USD",
            "payout": { "gross_minor": -200, "currency": "USD" } });
        assert_eq!(decision(&refund), "posted: 2.00 USD taken back for a refund of 33.00 USD");
        assert_eq!(decision(&json!({ "status": "quarantined", "payout": null })), "quarantined");
    }
}
