//! `tributary up --demo`: a workspace shaped like the OROS documents', a day of
//! clicks in a few seconds, and what came of it.
//!
//! | module | job |
//! |---|---|
//! | `world` | creators, campaigns and links, over the control API |
//! | `script` | who does what when, from a seed; pure |
//! | `stream` | acts the script out over the collector's HTTP endpoints |
//! | `summary` | prints what the API and the books say of it |

mod script;
mod stream;
mod summary;
mod world;

use std::time::Duration;

use runtime::shutdown::CancellationToken;

use crate::http_client::{ApiClient, HttpClient};
use crate::settings::Settings;

/// The workspace's slug.
const SLUG: &str = "oros-demo";

/// Creates the demo workspace if it is missing, plays the rest of the script,
/// and prints the summary.
pub async fn run(settings: &Settings, stop: &CancellationToken) -> anyhow::Result<()> {
    let http = HttpClient::new();
    let api = ApiClient::new(http.clone(), settings.api_listen, &settings.admin_key()?);
    let mut world = world::create_or_load(&api, &settings.data_dir.join("demo.json")).await?;
    let script = script::write();
    if world.done < script.len() {
        let base = format!("http://{}", settings.listen);
        stream::play(&http, &base, &mut world, &script, stop).await?;
    }
    if stop.is_cancelled() {
        return Ok(());
    }
    wait_until_settled(settings).await?;
    summary::print(settings, &api, &world).await
}

/// Waits until nothing moves any more: what was collected is attributed,
/// settled and loaded.
async fn wait_until_settled(settings: &Settings) -> anyhow::Result<()> {
    let pool = store::connect(&settings.database_url, 1).await?;
    let client = sinks::client(&settings.clickhouse_url, &settings.clickhouse_database);
    let mut last = None;
    let mut unchanged = 0;
    for _ in 0..150 {
        let loaded = sinks::reconcile::counts(&client).await?;
        let settled = store::outcomes::count(&pool).await?;
        let now = (loaded, settled);
        unchanged = if last == Some(now) { unchanged + 1 } else { 0 };
        last = Some(now);
        if unchanged >= 4 && u64::try_from(settled) == Ok(loaded.outcomes) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    tracing::warn!(?last, "the pipeline is still busy after a minute");
    Ok(())
}
