//! `tributary status`: how far each service is behind.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::backlog;
use crate::settings::Settings;

#[derive(Args)]
pub(crate) struct StatusArgs {
    /// Wait at most this long until nothing is left to do; exit 1 if something is
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(settings: &Settings, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let patience = Duration::from_secs(args.wait.unwrap_or_default());
    let started = Instant::now();
    let mut backlog = backlog::measure(settings).await?;
    while !backlog.is_empty() && started.elapsed() < patience {
        tokio::time::sleep(Duration::from_millis(200)).await;
        backlog = backlog::measure(settings).await?;
    }
    if args.json {
        let behind = json!({
            "spool": backlog.spool, "attribution": backlog.attribution, "settlement": backlog.settlement,
            "event_sink": backlog.event_sink, "outcome_sink": backlog.outcome_sink,
        });
        say!("{}", serde_json::to_string_pretty(&json!({ "behind": behind }))?);
    } else {
        say!("spool         {:>9} events not in Kafka", backlog.spool);
        say!("attribution   {:>9} events behind", backlog.attribution);
        say!("settlement    {:>9} credits behind", backlog.settlement);
        say!("event sink    {:>9} events behind", backlog.event_sink);
        say!("outcome sink  {:>9} credits behind", backlog.outcome_sink);
    }
    let failed = args.wait.is_some() && !backlog.is_empty();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
