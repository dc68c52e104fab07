//! Prints what the API and the books say of the demo.

use serde_json::Value;

use super::SLUG;
use super::world::World;
use crate::http_client::ApiClient;
use crate::settings::Settings;
use crate::show::{amount, list, number, text};
use crate::{explain, reconcile};

/// The demo pays in US dollars.
fn usd(minor: &Value) -> String {
    amount(minor, "USD")
}

/// Prints everything.
pub(crate) async fn print(settings: &Settings, api: &ApiClient, world: &World) -> anyhow::Result<()> {
    let board = api.get(&format!("/v1/leaderboards?workspace={SLUG}&metric=earnings&limit=12")).await?;
    leaderboard(&board);
    wallets(api, &board).await?;
    exhausted(api, world).await?;
    explained(settings, api).await?;
    let verdicts = reconcile::check(settings, &reconcile::connect(settings).await?, true).await?;
    say!("\n{}", reconcile::summary(&verdicts));
    for verdict in verdicts.iter().filter(|verdict| !verdict.offences.is_empty()) {
        say!("  {} {}: {:?}", verdict.number, verdict.title, verdict.offences);
    }
    try_by_hand(settings, world);
    Ok(())
}

fn leaderboard(board: &Value) {
    say!("\nLeaderboard by earnings");
    say!(
        "  {:>4}  {:<16} {:>7} {:>7} {:>12} {:>14} {:>12}",
        "rank",
        "creator",
        "clicks",
        "unique",
        "conversions",
        "revenue",
        "earnings"
    );
    for row in list(&board["rows"]) {
        say!(
            "  {:>4}  {:<16} {:>7} {:>7} {:>12} {:>14} {:>12}",
            number(&row["rank"]),
            text(&row["display_name"]),
            number(&row["clicks"]),
            number(&row["unique_clicks"]),
            number(&row["conversions"]),
            usd(&row["revenue_minor"]),
            usd(&row["earnings_minor"])
        );
    }
}

async fn wallets(api: &ApiClient, board: &Value) -> anyhow::Result<()> {
    say!("\nWallets of the first three");
    for row in list(&board["rows"]).iter().take(3) {
        let wallet = api.get(&format!("/v1/wallets/{}?workspace={SLUG}", text(&row["creator_id"]))).await?;
        say!(
            "  {:<16} pending {:>12}   available {:>10}",
            text(&wallet["display_name"]),
            usd(&wallet["pending_minor"]),
            usd(&wallet["available_minor"])
        );
    }
    Ok(())
}

async fn exhausted(api: &ApiClient, world: &World) -> anyhow::Result<()> {
    for id in &world.campaigns {
        let answer = api.get(&format!("/v1/campaigns/{id}?workspace={SLUG}")).await?;
        let campaign = &answer["campaign"];
        if text(&campaign["status"]) != "completed" {
            continue;
        }
        say!(
            "\nThe campaign that ran out of money: {} ({})",
            text(&campaign["title"]),
            text(&campaign["status"])
        );
        say!(
            "  budget {}, spent {}, remaining {}",
            usd(&campaign["total_budget_minor"]),
            usd(&campaign["spent_minor"]),
            usd(&campaign["remaining_budget_minor"])
        );
        for count in list(&answer["outcomes"]) {
            say!(
                "  {:>6} {} {}",
                number(&count["count"]),
                text(&count["status"]),
                count["reason"].as_str().map(|reason| format!("({reason})")).unwrap_or_default()
            );
        }
    }
    Ok(())
}

async fn explained(settings: &Settings, api: &ApiClient) -> anyhow::Result<()> {
    let pool = store::connect(&settings.database_url, 1).await?;
    let Some(event) = store::outcomes::some_posted_sale(&pool, SLUG).await? else { return Ok(()) };
    let answer = explain::fetch(api, &event.to_string(), SLUG).await?;
    say!("\nOne sale explained: {event}");
    explain::print(&answer);
    Ok(())
}

fn try_by_hand(settings: &Settings, world: &World) {
    let key = settings.admin_key_file();
    say!("\nTry by hand:");
    // As a browser: curl's own name is a robot's, and robots are on no leaderboard.
    say!("  curl -i -A 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' \\");
    say!("       http://{}/{}", settings.listen, world.links[0].code);
    say!(
        "  curl -s '{}/?database={}' -d 'SELECT kind, count() FROM events GROUP BY kind'",
        settings.clickhouse_url,
        settings.clickhouse_database
    );
    say!(
        "  curl -s -H \"Authorization: Bearer $(cat {})\" 'http://{}/v1/leaderboards?workspace={SLUG}&metric=clicks'",
        key.display(),
        settings.api_listen
    );
}
