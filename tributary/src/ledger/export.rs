//! `tributary ledger export`: the books in the form of a plain-text accounting
//! program, which can then check them without trusting Tributary.

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use domain::ledger::AccountKind;
use domain::money::{Currency, Money};
use domain::timestamp::day;
use runtime::clock::now_ms;
use store::export::{AccountRow, LineRow, Part};
use uuid::Uuid;

use super::{beancount, csv, hledger};
use crate::moment::moment;
use crate::settings::Settings;

/// Transactions in one page.
const PAGE: i64 = 5_000;
/// What there is between two words of progress.
const SAY_EVERY: u64 = 500_000;

#[derive(Args)]
pub(crate) struct ExportArgs {
    /// For which program
    #[arg(long, value_enum, default_value_t = Format::Hledger)]
    format: Format,

    /// Transactions from here on, in RFC 3339 or as a day (UTC); from the beginning, if not said
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<i64>,

    /// Transactions before here; to the end, if not said
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<i64>,

    /// One workspace, by id or slug; else all
    #[arg(long, value_name = "ID|SLUG")]
    workspace: Option<String>,

    /// Where to write; standard output, if not said
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A journal; check it with `hledger check -s -f FILE`
    Hledger,
    /// A ledger; check it with `bean-check FILE`
    Beancount,
    /// One line an entry, in minor units and decimals
    Csv,
}

/// An account of the books as other programs name it.
pub(super) struct Account {
    /// From the top: `assets`, the workspace, and so on.
    pub(super) path: Vec<String>,
    /// Whose it is, for people.
    pub(super) owner: String,
    /// Its currency.
    pub(super) currency: Currency,
    /// What it held before the period, debits above zero.
    pub(super) opening: Money,
    /// What it must hold after the period.
    pub(super) closing: Money,
}

/// All that a format needs to know besides the transactions.
pub(super) struct Books {
    /// By their ids in the database.
    pub(super) accounts: HashMap<Uuid, Account>,
    /// In the order in which they are shown.
    pub(super) order: Vec<Uuid>,
    /// The first day of the period.
    pub(super) first_day: String,
    /// The last day of it.
    pub(super) last_day: String,
    /// The day after.
    pub(super) next_day: String,
}

impl Books {
    /// The accounts, in order.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.order.iter().filter_map(|id| self.accounts.get(id))
    }

    /// Those that held something before the period.
    pub(super) fn held_before(&self) -> impl Iterator<Item = &Account> {
        self.accounts().filter(|account| account.opening.amount_minor != 0)
    }

    /// A line's account, and its amount, debits above zero.
    pub(super) fn posting(&self, line: &LineRow) -> anyhow::Result<(&Account, Money)> {
        let account = self.accounts.get(&line.account_id).context("an entry's account is not there")?;
        let amount_minor = line.amount_minor.checked_neg().context("an amount is out of range")?;
        Ok((account, Money { amount_minor, currency: account.currency }))
    }
}

/// What a transaction came of, for people.
pub(super) fn description(line: &LineRow) -> String {
    format!("{} {}/{}", line.kind, line.source_id, line.leg)
}

/// Where an account stands in a chart that accountants know.
fn path_of(row: &AccountRow) -> anyhow::Result<Vec<String>> {
    let kind = AccountKind::ALL.into_iter().find(|kind| kind.code() == row.kind);
    let kind = kind.with_context(|| format!("account {} is of unknown kind {}", row.id, row.kind))?;
    let owner = row.owner_id.to_string();
    let (top, below) = match kind {
        AccountKind::Cash => ("assets", vec!["cash", "in"]),
        AccountKind::ProcessorFee => ("assets", vec!["cash", "processors"]),
        AccountKind::CreatorPaid => ("assets", vec!["cash", "out", &owner]),
        AccountKind::CreatorDebt => ("assets", vec!["owed", &owner]),
        AccountKind::CampaignEscrow => ("liabilities", vec!["escrow", &owner]),
        AccountKind::CreatorPending => ("liabilities", vec!["creators", &owner, "pending"]),
        AccountKind::CreatorAvailable => ("liabilities", vec!["creators", &owner, "available"]),
        AccountKind::CreatorInTransit => ("liabilities", vec!["creators", &owner, "in-transit"]),
        AccountKind::PlatformFee => ("revenues", vec!["fees"]),
    };
    let workspace = row.workspace.clone().unwrap_or_else(|| row.workspace_id.to_string());
    let below = below.into_iter().map(ToOwned::to_owned);
    Ok([top.to_owned(), workspace].into_iter().chain(below).collect())
}

fn books(rows: Vec<AccountRow>, part: Part, first_ms: i64) -> anyhow::Result<Books> {
    let order = rows.iter().map(|row| row.id).collect();
    let mut accounts = HashMap::with_capacity(rows.len());
    for row in rows {
        let currency = Currency::new(&row.currency)?;
        let money = |minor: i64| -> anyhow::Result<Money> {
            let amount_minor = minor.checked_neg().context("a balance is out of range")?;
            Ok(Money { amount_minor, currency })
        };
        let account = Account {
            path: path_of(&row)?,
            owner: row.owner.clone().unwrap_or_default(),
            currency,
            opening: money(row.opening_minor)?,
            closing: money(row.closing_minor)?,
        };
        accounts.insert(row.id, account);
    }
    let (first_day, last_day) = (day(first_ms), day(part.to_ms - 1));
    // The end may be within a day.
    let next_day = day(part.to_ms - 1 + 24 * 60 * 60 * 1_000);
    Ok(Books { accounts, order, first_day, last_day, next_day })
}

pub(super) async fn run(settings: &Settings, args: &ExportArgs) -> anyhow::Result<()> {
    let pool = store::connect(&settings.database_url, 1).await?;
    let workspace = match &args.workspace {
        None => None,
        Some(name) => {
            let found = store::control::find_workspace(&pool, name).await?;
            Some(found.with_context(|| format!("there is no workspace {name:?}"))?.id)
        }
    };
    let mut snapshot = store::begin_snapshot(&pool).await?;
    let latest_ms = store::export::latest_ms(&mut snapshot).await?.unwrap_or_else(now_ms);
    let part = Part {
        workspace,
        from_ms: args.from.unwrap_or(0),
        // Holds that end are dated by their end, withdrawals by now.
        to_ms: args.to.unwrap_or(latest_ms.max(now_ms()) + 1),
    };
    anyhow::ensure!(part.from_ms < part.to_ms, "--from must come before --to");
    let first = store::export::lines_after(&mut snapshot, part, Uuid::nil(), 1).await?;
    let first_ms = args.from.or(first.first().map(|line| line.at_ms)).unwrap_or(part.to_ms - 1);
    let books = books(store::export::accounts(&mut snapshot, part).await?, part, first_ms)?;
    let mut out: BufWriter<Box<dyn Write>> = BufWriter::new(output(args.output.as_deref())?);
    match args.format {
        Format::Hledger => hledger::head(&mut out, &books)?,
        Format::Beancount => beancount::head(&mut out, &books)?,
        Format::Csv => csv::head(&mut out)?,
    }
    let (mut after, mut count) = (Uuid::nil(), 0_u64);
    loop {
        let lines = store::export::lines_after(&mut snapshot, part, after, PAGE).await?;
        let Some(last) = lines.last() else { break };
        after = last.transaction_id;
        for lines in lines.chunk_by(|a, b| a.transaction_id == b.transaction_id) {
            match args.format {
                Format::Hledger => hledger::transaction(&mut out, &books, lines)?,
                Format::Beancount => beancount::transaction(&mut out, &books, lines)?,
                Format::Csv => csv::transaction(&mut out, &books, lines)?,
            }
            count += 1;
            if count.is_multiple_of(SAY_EVERY) {
                tracing::info!(transactions = count, "exporting");
            }
        }
    }
    match args.format {
        Format::Hledger => hledger::tail(&mut out, &books)?,
        Format::Beancount => beancount::tail(&mut out, &books)?,
        Format::Csv => {}
    }
    out.flush()?;
    tracing::info!(transactions = count, accounts = books.order.len(), "exported");
    Ok(())
}

fn output(path: Option<&Path>) -> anyhow::Result<Box<dyn Write>> {
    Ok(match path {
        None => Box::new(std::io::stdout()),
        Some(path) => Box::new(std::fs::File::create(path).with_context(|| path.display().to_string())?),
    })
}
