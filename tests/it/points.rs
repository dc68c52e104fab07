//! Settlement, cut off at every point of its transaction, by the loss of its
//! connection and by the death of Postgres: the books are those of a run that
//! nothing disturbed.

use std::time::{Duration, Instant};

use domain::command::{Basis, Command, Credit, Decision, Funding};
use domain::ids::{CampaignId, EventId, UserId, VisitorKey, WorkspaceId};
use domain::money::{Currency, Money};
use domain::refund::{Clawback, Refund};
use domain::rules::Objective;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use processors::settlement::{Range, Settled, settle_batch};
use store::Pool;
use tests::{Point, Proxy, Stack};
use uuid::Uuid;

const TOPIC: &str = "points";
const BATCH: usize = 40;
/// A Postgres that was killed is there again.
const AGAIN_WITHIN: Duration = Duration::from_secs(40);
const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));

/// The points, in the order in which a transaction comes to them.
const POINTS: [Point; 10] = [
    Point::Before("UPDATE consumer_offsets"),
    Point::Unanswered("UPDATE consumer_offsets"),
    Point::Before("FROM campaign_budgets"),
    Point::Before("INSERT INTO batches"),
    Point::Before("INSERT INTO outcomes"),
    Point::Before("INSERT INTO ledger_transactions"),
    Point::Before("INSERT INTO ledger_entries"),
    Point::Before("UPDATE ledger_accounts"),
    Point::Before("COMMIT"),
    Point::Unanswered("COMMIT"),
];

fn usd(amount_minor: i64) -> Money {
    Money { amount_minor, currency: Currency::new("USD").expect("a currency") }
}

fn campaign(number: u128) -> CampaignId {
    CampaignId(Uuid::from_u128(100 + number % 3))
}

fn log() -> Vec<Command> {
    let fund = |number: u128| {
        Command::Fund(Funding {
            external_id: number.to_string(),
            workspace: WORKSPACE,
            campaign: campaign(number),
            money: usd(2_000),
            at_ms: 1_893_456_000_000,
            boost: None,
        })
    };
    let sale = |number: u128| {
        Command::Credit(Credit {
            event: EventId(Uuid::from_u128(1_000 + number)),
            leg: 0,
            legs: 1,
            order: Some(Uuid::from_u128(number)),
            kind: Objective::Sale.into(),
            workspace: WORKSPACE,
            at_ms: 1_893_456_000_000 + number as i64,
            visitor: VisitorKey([0; 16]),
            payload_hash: number.to_string(),
            campaign: Some(campaign(number)),
            creator: Some(UserId(Uuid::from_u128(500 + number % 7))),
            link: None,
            click: None,
            value: Some(usd(5_000)),
            decision: Decision::Payable { payout: usd(50 + number as i64), fee_bps: 1_500, other_minor: 0 },
            limits: None,
            basis: Basis::none(),
        })
    };
    let refund = |number: u128| {
        let refund = Refund {
            event: EventId(Uuid::from_u128(9_000 + number)),
            workspace: WORKSPACE,
            visitor: VisitorKey([0; 16]),
            at_ms: 1_893_456_100_000,
            order: Uuid::from_u128(number),
            refund_id: "1".to_owned(),
            value: Some(usd(1_234)),
            payload_hash: number.to_string(),
        };
        Command::Clawback(Clawback { refund, campaign: Some(campaign(number)) })
    };
    let mut log: Vec<Command> = (0..3).map(fund).collect();
    log.extend((0..60).map(sale));
    log.extend((0..60).step_by(4).map(refund));
    log
}

/// A settler that has just been started: it asks where settlement stands, and
/// goes on from there. Ends at the end of the log, or when it is cut off.
async fn settle(url: &str) -> anyhow::Result<()> {
    let pool = store::connect(url, 1).await?;
    let log = log();
    loop {
        let first_offset = store::offsets::next_offset(&pool, TOPIC, 0).await?;
        let from = usize::try_from(first_offset)?;
        let commands = &log[from..log.len().min(from + BATCH)];
        if commands.is_empty() {
            return Ok(());
        }
        let last_offset = first_offset + commands.len() as i64 - 1;
        let range = Range { topic: TOPIC, partition: 0, first_offset, last_offset };
        let settled = settle_batch(&pool, range, commands).await?;
        anyhow::ensure!(settled != Settled::Fenced, "nobody else settles");
    }
}

async fn database(stack: &Stack, name: &str) -> anyhow::Result<Pool> {
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    store::migrate::create_database(&owner, name).await?;
    let owner = store::connect(&stack.database_url("tributary", name), 1).await?;
    store::migrate::migrate(&owner).await?;
    Ok(owner)
}

async fn digest(pool: &Pool) -> anyhow::Result<String> {
    Ok(hex::encode(store::batches::all_records(&mut *store::begin(pool).await?).await?.digest()))
}

/// The process that answers at the stack's port for Postgres.
fn postgres(stack: &Stack) -> anyhow::Result<Pid> {
    let path = stack.data_dir().join("postgres/postmaster.pid");
    let text = std::fs::read_to_string(path)?;
    Ok(Pid::from_raw(text.lines().next().unwrap_or_default().trim().parse()?))
}

/// Settles everything, cut off once at `point`; gives the digest.
async fn cut_off(
    stack: &Stack,
    proxy: &Proxy,
    number: usize,
    point: Point,
    kills: bool,
) -> anyhow::Result<String> {
    let name = format!("points_{number}");
    drop(database(stack, &name).await?);
    let url = format!("postgres://tributary_app@127.0.0.1:{}/{name}", proxy.port());
    let victim = postgres(stack)?;
    proxy.break_at(point, move || {
        if kills {
            kill(victim, Signal::SIGKILL).expect("it is this test's");
        }
    });
    let cut = settle(&url).await;
    anyhow::ensure!(cut.is_err() && proxy.has_broken(), "{point:?}: it was not cut off: {cut:?}");
    let cut_at = Instant::now();
    while let Err(error) = settle(&url).await {
        anyhow::ensure!(cut_at.elapsed() < AGAIN_WITHIN, "{point:?}: {error}\n{}", stack.log_tail());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let pool = store::connect(&stack.database_url("tributary_app", &name), 2).await?;
    for verdict in processors::reconcile::check_books(&pool, true).await? {
        anyhow::ensure!(verdict.offences.is_empty(), "{point:?}: {verdict:?}");
    }
    digest(&pool).await
}

#[tokio::test(flavor = "multi_thread")]
async fn settlement_cut_off_anywhere_leaves_the_same_books() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let proxy = Proxy::start(stack.ports.postgres).await?;
    let undisturbed = database(&stack, "undisturbed").await?;
    settle(&stack.database_url("tributary_app", "undisturbed")).await?;
    let expected = digest(&undisturbed).await?;
    for (number, point) in POINTS.into_iter().enumerate() {
        assert_eq!(cut_off(&stack, &proxy, number, point, false).await?, expected, "{point:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_killed_anywhere_leaves_the_same_books() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let proxy = Proxy::start(stack.ports.postgres).await?;
    let undisturbed = database(&stack, "undisturbed").await?;
    settle(&stack.database_url("tributary_app", "undisturbed")).await?;
    let expected = digest(&undisturbed).await?;
    // Postgres comes back after its crash; each takes a few seconds.
    let points = [POINTS[1], POINTS[4], POINTS[8], POINTS[9]];
    for (number, point) in points.into_iter().enumerate() {
        assert_eq!(cut_off(&stack, &proxy, number, point, true).await?, expected, "{point:?}");
    }
    Ok(())
}
