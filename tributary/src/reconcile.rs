//! `tributary reconcile`: every invariant, over the books and ClickHouse.

use std::process::ExitCode;

use clap::Args;
use domain::timestamp::rfc3339;
use processors::reconcile::{Verdict, check_books};
use runtime::clock::now_ms;
use serde_json::json;
use sinks::reconcile::by_day::{ByDay, by_day};
use store::Pool;
use store::reconcile::{Part, advance, new_batches};
use uuid::Uuid;

use crate::settings::Settings;

#[derive(Args)]
pub(crate) struct ReconcileArgs {
    /// Check all of the books, not only what is new since the last check that
    /// found nothing wrong
    #[arg(long)]
    full: bool,
    /// Also lay what ClickHouse has of the last N days, today included, beside the
    /// books, by campaign and day (UTC): a table, and offences where an outcome
    /// has no event, or an action no outcome for too long
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: Option<u16>,
    /// With --days: an action may wait for its outcome for this long; it does so
    /// while its click may still come in
    #[arg(long, value_name = "HOURS", default_value_t = 168)]
    overdue_hours: u32,
    /// With --days: what was settled within the last minutes is not compared;
    /// ClickHouse may still be loading its events
    #[arg(long, value_name = "MINUTES", default_value_t = 10)]
    grace_minutes: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Connections to the books.
pub(crate) async fn connect(settings: &Settings) -> anyhow::Result<Pool> {
    Ok(store::connect(&settings.database_url, 2).await?)
}

/// Checks everything, or what is new.
pub(crate) async fn check(settings: &Settings, pool: &Pool, is_full: bool) -> anyhow::Result<Vec<Verdict>> {
    let mut verdicts = check_books(pool, is_full).await?;
    verdicts.extend(check_clickhouse(settings, pool, is_full).await?);
    verdicts.sort_by_key(|verdict| verdict.number);
    Ok(verdicts)
}

async fn check_clickhouse(settings: &Settings, pool: &Pool, is_full: bool) -> anyhow::Result<Vec<Verdict>> {
    let client = settings.clickhouse();
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

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The table of `--days`, and what is wrong in it.
async fn check_days(
    settings: &Settings,
    pool: &Pool,
    args: &ReconcileArgs,
    days: u16,
) -> anyhow::Result<(ByDay, Verdict)> {
    let client = settings.clickhouse();
    let now_ms = now_ms();
    let to_ms = (now_ms.div_euclid(DAY_MS) + 1) * DAY_MS;
    let range_ms = (to_ms - i64::from(days) * DAY_MS, to_ms);
    let settled_before_ms = now_ms - i64::from(args.grace_minutes) * 60_000;
    let table = by_day(&client, pool, range_ms, settled_before_ms, now_ms).await?;
    let verdict = Verdict {
        number: 27,
        title: "every action in ClickHouse is decided, and every outcome is of one".to_owned(),
        offences: table.offences(i64::from(args.overdue_hours) * 3_600),
    };
    Ok((table, verdict))
}

/// The table, for people.
async fn show_days(pool: &Pool, table: &ByDay) -> anyhow::Result<()> {
    let campaigns: Vec<Uuid> = table.rows.iter().filter_map(|row| row.campaign).collect();
    let titles = store::campaigns::titles(pool, &campaigns).await?;
    say!(
        "{:<10}  {:<24}  {:>8}  {:>8}  {:>8}  {:>8}  {:>7}  {:>10}  rejected by reason",
        "day",
        "campaign",
        "payable",
        "posted",
        "quarant.",
        "waiting",
        "unknown",
        "oldest"
    );
    for row in &table.rows {
        let campaign = row.campaign.map_or("none", |id| titles.get(&id).map_or("unknown", String::as_str));
        let campaign: String = campaign.chars().take(24).collect();
        let oldest = row.oldest_undecided_s().map_or_else(String::new, age);
        let rejected: Vec<String> =
            row.rejected.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        say!(
            "{:<10}  {campaign:<24}  {:>8}  {:>8}  {:>8}  {:>8}  {:>7}  {oldest:>10}  {}",
            row.day,
            row.payable,
            row.posted,
            row.quarantined,
            row.undecided.len(),
            row.unknown.len(),
            rejected.join(", ")
        );
    }
    say!("as of {}; what was settled later is not compared yet\n", rfc3339(table.watermark_ms));
    Ok(())
}

/// Such as `2 h 05 min`.
fn age(seconds: i64) -> String {
    match (seconds / 3_600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes:02} min"),
    }
}

/// One line for people.
pub(crate) fn summary(verdicts: &[Verdict]) -> String {
    let broken = verdicts.iter().filter(|verdict| !verdict.offences.is_empty()).count();
    match broken {
        0 => format!("reconcile: {} checks passed", verdicts.len()),
        _ => format!("reconcile: {broken} of {} checks FAILED", verdicts.len()),
    }
}

/// Whether the books are right: 0 if so, 1 if not; 3 if nobody could tell.
pub(crate) async fn run(settings: &Settings, args: &ReconcileArgs) -> ExitCode {
    match checked(settings, args).await {
        Ok(code) => code,
        Err(error) => {
            crate::print_error(&error.context("the books could not be checked"));
            ExitCode::from(3)
        }
    }
}

async fn checked(settings: &Settings, args: &ReconcileArgs) -> anyhow::Result<ExitCode> {
    let pool = connect(settings).await?;
    let mut verdicts = check(settings, &pool, args.full).await?;
    let mut table = None;
    if let Some(days) = args.days {
        let (days, verdict) = check_days(settings, &pool, args, days).await?;
        verdicts.push(verdict);
        table = Some(days);
    }
    let passed = verdicts.iter().all(|verdict| verdict.offences.is_empty());
    if args.json {
        let report = json!({ "passed": passed, "checks": verdicts, "days": table });
        say!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        if let Some(table) = &table {
            show_days(&pool, table).await?;
        }
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
