//! The books, checked by programs that know nothing of Tributary.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output};

use domain::command::{Basis, Command, Credit, Decision, Funding};
use domain::ids::{CampaignId, EventId, UserId, VisitorKey, WorkspaceId};
use domain::money::{Currency, Money};
use domain::refund::{Clawback, Refund};
use domain::rules::Objective;
use processors::settlement::{Range, Settled, settle_batch};
use tests::Stack;
use uuid::Uuid;

const CONVERSIONS: u128 = 10_000;
const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));
/// 2026-03-28; the conversions are spread over the next days.
const T0: i64 = 1_774_656_000_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

fn money(campaign: u128, amount_minor: i64) -> Money {
    let code = ["USD", "JPY", "KWD"][(campaign % 3) as usize];
    Money { amount_minor, currency: Currency::new(code).expect("a currency") }
}

fn campaign(number: u128) -> CampaignId {
    CampaignId(Uuid::from_u128(100 + number % 6))
}

fn funding(number: u128) -> Command {
    Command::Fund(Funding {
        external_id: number.to_string(),
        workspace: WORKSPACE,
        campaign: campaign(number),
        money: money(number, 100_000_000),
        at_ms: T0 - DAY_MS,
        boost: None,
    })
}

fn sale(number: u128) -> Command {
    Command::Credit(Credit {
        event: EventId(Uuid::from_u128(10_000 + number)),
        leg: 0,
        legs: 1,
        order: Some(Uuid::from_u128(number)),
        kind: Objective::Sale.into(),
        workspace: WORKSPACE,
        at_ms: T0 + number as i64 * 60_000,
        visitor: VisitorKey([0; 16]),
        payload_hash: number.to_string(),
        campaign: Some(campaign(number)),
        creator: Some(UserId(Uuid::from_u128(500 + number % 11))),
        link: None,
        click: None,
        value: Some(money(number, 9_999)),
        decision: Decision::Payable {
            payout: money(number, 1 + number as i64 % 977),
            fee_bps: 1_234,
            other_minor: 0,
        },
        limits: None,
        basis: Basis::none(),
    })
}

/// Of every seventh order, a third goes back, a day later.
fn refund(number: u128) -> Command {
    let refund = Refund {
        event: EventId(Uuid::from_u128(1_000_000 + number)),
        workspace: WORKSPACE,
        visitor: VisitorKey([0; 16]),
        at_ms: T0 + number as i64 * 60_000 + DAY_MS,
        order: Uuid::from_u128(number),
        refund_id: "1".to_owned(),
        value: Some(money(number, 3_333)),
        payload_hash: number.to_string(),
    };
    Command::Clawback(Clawback { refund, campaign: Some(campaign(number)) })
}

async fn settle_all(pool: &store::Pool) -> anyhow::Result<()> {
    let mut log: Vec<Command> = (0..6).map(funding).collect();
    log.extend((0..CONVERSIONS).map(sale));
    log.extend((0..CONVERSIONS).step_by(7).map(refund));
    let mut first_offset = store::offsets::next_offset(pool, "export", 0).await?;
    for commands in log.chunks(2_500) {
        let last_offset = first_offset + commands.len() as i64 - 1;
        let range = Range { topic: "export", partition: 0, first_offset, last_offset };
        let settled = settle_batch(pool, range, commands).await?;
        let Settled::Committed(plan) = settled else { anyhow::bail!("nobody else settles") };
        assert!(plan.quarantined.is_empty());
        first_offset = last_offset + 1;
        // Some of it is released in between, so that some refunds find nothing
        // held, and lead to debts or are paid out of what is available.
        processors::wallets::release_due(pool, T0 + 10 * DAY_MS).await?;
    }
    Ok(())
}

fn bean_check() -> PathBuf {
    let python = std::env::var_os("TRIBUTARY_TEST_PYTHON").expect("`make test` names it");
    Path::new(&python).parent().expect("it is in a directory").join("bean-check")
}

fn check(format: &str, path: &Path) -> anyhow::Result<Output> {
    let mut program = match format {
        "hledger" => Process::new("hledger"),
        _ => Process::new(bean_check()),
    };
    if format == "hledger" {
        program.args(["check", "--strict", "--file"]);
    }
    Ok(program.arg(path).output()?)
}

/// Exports, and lets the format's own program check it.
fn export(stack: &Stack, format: &str, more: &[&str]) -> anyhow::Result<PathBuf> {
    let path = stack.data_dir().join(format!("books.{format}"));
    let written = path.display().to_string();
    let arguments = [&["ledger", "export", "--format", format, "--output", &written], more].concat();
    let output = stack.run(&arguments)?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(path)
}

/// The last line that `wanted` picks, with one more minor unit.
fn falsify(path: &Path, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path)?;
    let line = text.lines().rfind(|line| wanted(line)).expect("there is such a line");
    let (before, currency) = line.rsplit_once(' ').expect("it ends in a currency");
    let (before, tolerance) = before.strip_suffix(" ~ 0").map_or((before, ""), |rest| (rest, " ~ 0"));
    let last = before.chars().next_back().expect("a digit");
    let other = if last == '9' { '8' } else { '9' };
    let falsified = format!("{}{other}{tolerance} {currency}", &before[..before.len() - 1]);
    std::fs::write(path, text.replace(line, &falsified))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hledger_and_beancount_find_the_books_right() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let pool = stack.pool().await?;
    settle_all(&pool).await?;
    let part = ["--from", "2026-03-30", "--to", "2026-04-02T12:00:00Z"];
    for format in ["hledger", "beancount"] {
        for more in [&[][..], &part, &part[..2], &part[2..]] {
            let path = export(&stack, format, more)?;
            let checked = check(format, &path)?;
            let said = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success(), "{format} {more:?}: {said}");
        }
        // One that is wrong by a minor unit: in an assertion, and in an entry.
        let is_assertion = |line: &str| line.contains(" = ") || line.contains(" balance ");
        let is_entry = |line: &str| line.starts_with("  ") && line.to_lowercase().contains("pending  ");
        for wanted in [&is_assertion as &dyn Fn(&str) -> bool, &is_entry] {
            let path = export(&stack, format, &[])?;
            falsify(&path, wanted)?;
            assert!(!check(format, &path)?.status.success(), "{format} finds nothing wrong");
        }
    }
    let table = std::fs::read_to_string(export(&stack, "csv", &[])?)?;
    let entries: i64 = count(&pool, "SELECT count(*)::text FROM ledger_entries").await?;
    assert_eq!(table.lines().count() as i64, entries + 1);
    let sum: i64 = table.lines().skip(1).filter_map(|line| line.split(',').nth(7)?.parse::<i64>().ok()).sum();
    assert_eq!(sum, 0);
    let in_debt = "SELECT count(*)::text FROM ledger_transactions WHERE kind = 'repayment'";
    assert!(count(&pool, in_debt).await? > 0);
    for verdict in processors::reconcile::check_books(&pool, true).await? {
        assert!(verdict.offences.is_empty(), "{verdict:?}");
    }
    Ok(())
}

async fn count(pool: &store::Pool, query: &str) -> anyhow::Result<i64> {
    let texts = store::migrate::strings(pool, query).await?;
    Ok(texts.first().map_or(Ok(0), |text| text.parse())?)
}
