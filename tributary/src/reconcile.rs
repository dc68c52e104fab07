//! `tributary reconcile`: every invariant, over the books and ClickHouse.

use std::process::ExitCode;

use clap::Args;
use processors::reconcile::{Verdict, check_books};
use serde_json::json;
use store::Pool;
use store::reconcile::{Part, advance, new_batches};

use crate::settings::Settings;

#[derive(Args)]
pub(crate) struct ReconcileArgs {
    /// Check all of the books, not only what is new since the last check that
    /// found nothing wrong
    #[arg(long)]
    full: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Checks everything, or what is new.
pub(crate) async fn check(settings: &Settings, is_full: bool) -> anyhow::Result<Vec<Verdict>> {
    let pool = store::connect(&settings.database_url, 2).await?;
    let mut verdicts = check_books(&pool, is_full).await?;
    verdicts.extend(check_clickhouse(settings, &pool, is_full).await?);
    verdicts.sort_by_key(|verdict| verdict.number);
    Ok(verdicts)
}

async fn check_clickhouse(settings: &Settings, pool: &Pool, is_full: bool) -> anyhow::Result<Vec<Verdict>> {
    let client = sinks::client(&settings.clickhouse_url, &settings.clickhouse_database);
    let new = new_batches(pool, Part::Clickhouse).await?;
    let offences = sinks::reconcile::outcomes_match(&client, pool, (!is_full).then_some(&new[..])).await?;
    if offences.is_empty() {
        let mut transaction = store::begin(pool).await?;
        advance(&mut transaction, Part::Clickhouse, &new).await?;
        store::commit(transaction).await?;
    }
    let mut verdicts = vec![Verdict {
        number: 27,
        title: "outcomes in ClickHouse are those of the books, below the watermark".to_owned(),
        offences,
    }];
    if is_full {
        verdicts.push(Verdict {
            number: 28,
            title: "no event of Kafka is in ClickHouse twice".to_owned(),
            offences: sinks::reconcile::events_once(&client).await?,
        });
    }
    Ok(verdicts)
}

/// One line for people.
pub(crate) fn summary(verdicts: &[Verdict]) -> String {
    let broken = verdicts.iter().filter(|verdict| !verdict.offences.is_empty()).count();
    match broken {
        0 => format!("reconcile: {} checks passed", verdicts.len()),
        _ => format!("reconcile: {broken} of {} checks FAILED", verdicts.len()),
    }
}

pub(crate) async fn run(settings: &Settings, args: &ReconcileArgs) -> anyhow::Result<ExitCode> {
    let verdicts = check(settings, args.full).await?;
    let passed = verdicts.iter().all(|verdict| verdict.offences.is_empty());
    if args.json {
        say!("{}", serde_json::to_string_pretty(&json!({ "passed": passed, "checks": verdicts }))?);
    } else {
        for verdict in &verdicts {
            let word = if verdict.offences.is_empty() { "ok" } else { "FAILED" };
            say!("{word:>6}  {:>2} {}", verdict.number, verdict.title);
            for offence in &verdict.offences {
                say!("           {}: {}", offence.id, offence.detail);
            }
        }
        say!("{}", summary(&verdicts));
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
