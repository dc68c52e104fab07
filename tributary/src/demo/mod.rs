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

use std::time::{Duration, Instant};

use runtime::shutdown::CancellationToken;

use crate::backlog::{self, Backlog};
use crate::http_client::{ApiClient, HttpClient};
use crate::settings::Settings;

/// The workspace's slug.
const SLUG: &str = "oros-demo";

/// The summary waits at most this long for the pipeline to come to rest.
const SETTLE_WITHIN: Duration = Duration::from_secs(120);

/// Creates the demo workspace if it is missing, plays the rest of the script,
/// and prints the summary.
pub(crate) async fn run(settings: &Settings, stop: &CancellationToken) -> anyhow::Result<()> {
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
    wait_until_settled(settings, stop).await?;
    summary::print(settings, &api, &world).await
}

/// Waits until what was collected is attributed, settled and loaded.
async fn wait_until_settled(settings: &Settings, stop: &CancellationToken) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut last = Backlog::default();
    while started.elapsed() < SETTLE_WITHIN && !stop.is_cancelled() {
        last = backlog::measure(settings).await?;
        if last.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tracing::warn!(?last, "the pipeline is still busy");
    Ok(())
}
