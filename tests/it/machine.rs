//! Money, shaken: four workers at once fund, pay, refund, release, withdraw,
//! call withdrawals off and close campaigns on one real Postgres; after every
//! step all invariants hold. `CASES=200` runs more of it.

use std::sync::Arc;

use domain::command::{Basis, Boost, Closing, Command, Credit, CreditKind, Decision, Funding};
use domain::event::order_key;
use domain::ids::{CampaignId, EventId, UserId, VisitorKey, WorkspaceId};
use domain::limits::{CreditLimits, Limits};
use domain::money::{Currency, Money};
use domain::payment::Purpose;
use domain::refund::Refund;
use domain::rules::Objective;
use processors::reconcile::check_books_holding;
use processors::settlement::{Range, Settled, settle_batch};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use store::Pool;
use tests::{Stack, World};
use uuid::Uuid;

const WORKERS: usize = 4;
const CAMPAIGNS: usize = 3;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A message on `credits`.
#[derive(Clone, Debug)]
enum Message {
    Fund {
        campaign: usize,
        amount_minor: i64,
        is_boost: bool,
    },
    /// Of a campaign, or a tip.
    Sale {
        campaign: Option<usize>,
        creator: usize,
        amount_minor: i64,
        legs: u16,
    },
    Refund {
        order: usize,
        amount_minor: Option<i64>,
    },
    /// What this worker sent before.
    Again {
        message: usize,
    },
    Close {
        campaign: usize,
    },
}

/// What a worker does in a step.
#[derive(Clone, Debug)]
enum Work {
    Settle(Vec<Message>),
    /// Settles a range that is done with.
    Zombie,
    Release {
        days: i64,
    },
    Withdraw {
        creator: usize,
        amount_minor: i64,
    },
    Move {
        withdrawal: usize,
        step: &'static str,
    },
}

fn message() -> impl Strategy<Value = Message> {
    let campaign = 0..CAMPAIGNS;
    prop_oneof![
        2 => (campaign.clone(), 1..2_000_i64, any::<bool>()).prop_map(|(campaign, amount_minor, is_boost)| {
            Message::Fund { campaign, amount_minor, is_boost }
        }),
        6 => (campaign.clone(), 0..3_usize, 1..700_i64, 1..3_u16).prop_map(|(campaign, creator, amount_minor, legs)| {
            Message::Sale { campaign: Some(campaign), creator, amount_minor, legs }
        }),
        2 => (0..3_usize, 1..700_i64).prop_map(|(creator, amount_minor)| {
            Message::Sale { campaign: None, creator, amount_minor, legs: 1 }
        }),
        4 => (0..60_usize, prop::option::of(1..6_000_i64))
            .prop_map(|(order, amount_minor)| Message::Refund { order, amount_minor }),
        1 => (0..60_usize).prop_map(|message| Message::Again { message }),
        1 => (Just(CAMPAIGNS - 1)).prop_map(|campaign| Message::Close { campaign }),
    ]
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![
        6 => prop::collection::vec(message(), 1..12).prop_map(Work::Settle),
        1 => Just(Work::Zombie),
        2 => (0..12_i64).prop_map(|days| Work::Release { days }),
        2 => (0..3_usize, 1..200_i64).prop_map(|(creator, amount_minor)| Work::Withdraw { creator, amount_minor }),
        2 => (0..20_usize, prop::sample::select(vec!["approve", "complete", "fail", "cancel"]))
            .prop_map(|(withdrawal, step)| Work::Move { withdrawal, step }),
    ]
}

/// One worker, with a partition of its own.
struct Worker {
    number: usize,
    topic: String,
    next_offset: i64,
    sent: Vec<Command>,
    orders: usize,
}

/// What the workers work on.
struct Books {
    world: World,
    pool: Pool,
    campaigns: Vec<CampaignId>,
    creators: Vec<String>,
    begun_ms: i64,
}

impl Books {
    fn workspace(&self) -> WorkspaceId {
        WorkspaceId(self.world.workspace)
    }

    async fn settle(&self, worker: &mut Worker, commands: Vec<Command>) -> anyhow::Result<()> {
        if commands.is_empty() {
            return Ok(());
        }
        let first_offset = worker.next_offset;
        let last_offset = first_offset + commands.len() as i64 - 1;
        let partition = worker.number as i32;
        let range = Range { topic: &worker.topic, partition, first_offset, last_offset };
        match settle_batch(&self.pool, range, &commands).await? {
            Settled::Committed(_) => worker.next_offset = last_offset + 1,
            Settled::Fenced => anyhow::bail!("nobody else has this partition"),
        }
        worker.sent.extend(commands);
        Ok(())
    }

    async fn work(&self, worker: &mut Worker, work: Work) -> anyhow::Result<()> {
        match work {
            Work::Settle(messages) => {
                let commands = messages.iter().flat_map(|message| self.commands(worker, message)).collect();
                self.settle(worker, commands).await?;
            }
            Work::Zombie if worker.next_offset > 0 => {
                let partition = worker.number as i32;
                let range = Range { topic: &worker.topic, partition, first_offset: 0, last_offset: 0 };
                let settled = settle_batch(&self.pool, range, &worker.sent[..1]).await?;
                anyhow::ensure!(settled == Settled::Fenced, "a zombie settled");
            }
            Work::Zombie => {}
            Work::Release { days } => {
                processors::wallets::release_due(&self.pool, self.begun_ms + days * DAY_MS).await?;
            }
            Work::Withdraw { creator, amount_minor } => {
                let number = Uuid::now_v7().to_string();
                let body = json!({ "creator_id": self.creators[creator], "amount_minor": amount_minor,
                    "method": "ach", "external_id": number });
                self.ask("/v1/withdrawals", &body, &[201, 422]).await?;
            }
            Work::Move { withdrawal, step } => {
                let list = self.world.report("/v1/withdrawals").await?;
                let list = list["withdrawals"].as_array().cloned().unwrap_or_default();
                if let Some(id) = list.get(withdrawal).and_then(|w| w["id"].as_str()) {
                    self.ask(&format!("/v1/withdrawals/{id}/{step}"), &json!({}), &[200, 409]).await?;
                }
            }
        }
        Ok(())
    }

    async fn ask(&self, path: &str, body: &Value, expected: &[u16]) -> anyhow::Result<()> {
        let answer = self.world.control_raw(path, &body.to_string()).await?;
        anyhow::ensure!(expected.contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
        Ok(())
    }

    fn usd(amount_minor: i64) -> Money {
        Money { amount_minor, currency: Currency::new("USD").expect("a currency") }
    }

    fn commands(&self, worker: &mut Worker, message: &Message) -> Vec<Command> {
        let workspace = self.workspace();
        let at_ms = self.begun_ms + worker.orders as i64 * 1_000;
        let event = EventId(Uuid::now_v7());
        match message {
            Message::Fund { campaign, amount_minor, is_boost } => vec![Command::Fund(Funding {
                external_id: event.to_string(),
                workspace,
                campaign: self.campaigns[*campaign],
                money: Self::usd(*amount_minor),
                at_ms,
                boost: is_boost.then(|| {
                    let supporter = UserId(self.creators[0].parse().expect("an id"));
                    Boost { supporter, reward_minor: amount_minor / 10 }
                }),
            })],
            Message::Sale { campaign, creator, amount_minor, legs } => {
                worker.orders += 1;
                let order = order_key(workspace, &format!("{}-{}", worker.number, worker.orders));
                // One campaign has limits, from some moment on.
                let limits = (*campaign == Some(1) && worker.orders > 2).then(|| CreditLimits {
                    limits: Limits {
                        campaign_day_minor: Some(3_000),
                        creator_total_minor: Some(1_000),
                        once_per_customer: true,
                        ..Limits::default()
                    },
                    customer: Uuid::from_u128(worker.orders as u128 / 2),
                });
                let leg = |leg: u16| {
                    Command::Credit(Credit {
                        event,
                        leg,
                        legs: *legs,
                        order: Some(order),
                        kind: match campaign {
                            Some(_) => Objective::Sale.into(),
                            None => CreditKind::Payment(Purpose::Tip),
                        },
                        workspace,
                        at_ms,
                        visitor: VisitorKey([7; 16]),
                        payload_hash: event.to_string(),
                        campaign: campaign.map(|campaign| self.campaigns[campaign]),
                        creator: Some(UserId(self.creators[*creator].parse().expect("an id"))),
                        link: None,
                        click: None,
                        value: Some(Self::usd(2_500)),
                        decision: Decision::Payable {
                            payout: Self::usd(*amount_minor),
                            fee_bps: 1_000,
                            other_minor: if campaign.is_none() { amount_minor / 10 } else { 0 },
                        },
                        limits,
                        basis: Basis::none(),
                    })
                };
                (0..*legs).map(leg).collect()
            }
            // Of this worker's orders or the next one's; of some that never come.
            Message::Refund { order, amount_minor } => {
                let of = (worker.number + order % 2) % WORKERS;
                vec![Command::Refund(Refund {
                    event,
                    workspace,
                    visitor: VisitorKey([7; 16]),
                    at_ms,
                    order: order_key(workspace, &format!("{of}-{}", order / 2)),
                    refund_id: event.to_string(),
                    value: amount_minor.map(Self::usd),
                    payload_hash: event.to_string(),
                })]
            }
            Message::Again { message } => worker.sent.get(*message).cloned().into_iter().collect(),
            Message::Close { campaign } => {
                let campaign = self.campaigns[*campaign];
                let currency = Self::usd(0).currency;
                vec![Command::Close(Closing { workspace, campaign, currency, at_ms })]
            }
        }
    }

    /// Sends refunds whose sale is settled to its campaign's partition.
    async fn forward(&self, workers: &mut [Worker]) -> anyhow::Result<()> {
        let unsent = store::refunds::unsent(&self.pool, 1_000).await?;
        for clawback in &unsent {
            let place = self.campaigns.iter().position(|campaign| Some(*campaign) == clawback.campaign);
            let worker = &mut workers[place.unwrap_or(0)];
            self.settle(worker, vec![Command::Clawback(clawback.clone())]).await?;
        }
        store::refunds::sent(&self.pool, &unsent).await?;
        Ok(())
    }

    async fn check(&self) -> anyhow::Result<()> {
        // As the tables lie, and by some batches at a time.
        for max_held_rows in [usize::MAX, 0] {
            for verdict in check_books_holding(&self.pool, true, max_held_rows).await? {
                anyhow::ensure!(verdict.offences.is_empty(), "{verdict:?}");
            }
        }
        Ok(())
    }
}

async fn run(stack: &Stack, number: usize, steps: Vec<[Work; WORKERS]>) -> anyhow::Result<()> {
    let world = World::create(stack, &format!("machine-{number}")).await?;
    let mut campaigns = Vec::new();
    for _ in 0..CAMPAIGNS {
        // Their terms hold since the moment before; what happens, happens after.
        let campaign = world.campaign("sale", 1, 0).await?;
        campaigns.push(CampaignId(campaign.id.parse()?));
    }
    let mut creators = vec![world.creator.clone()];
    for name in ["two", "three"] {
        let body = json!({ "email": format!("{name}@example.com"), "username": name, "display_name": name });
        let made = world.control("/v1/creators", &body).await?;
        creators.push(made["id"].as_str().expect("an id").to_owned());
    }
    let begun_ms = runtime::clock::now_ms();
    let books = Arc::new(Books { world, pool: stack.pool().await?, campaigns, creators, begun_ms });
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        let topic = format!("machine-{number}");
        let next_offset = store::offsets::next_offset(&books.pool, &topic, worker as i32).await?;
        workers.push(Worker { number: worker, topic, next_offset, sent: Vec::new(), orders: 0 });
    }
    for step in steps {
        let at_once = workers.drain(..).zip(step).map(|(mut worker, work)| {
            let books = Arc::clone(&books);
            tokio::spawn(async move { books.work(&mut worker, work).await.map(|()| worker) })
        });
        for worker in futures_util::future::join_all(at_once).await {
            workers.push(worker??);
        }
        books.forward(&mut workers).await?;
        books.check().await?;
    }
    Ok(())
}

#[test]
fn money_stays_whole_whatever_four_workers_do() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let cases = std::env::var("CASES").map_or(Ok(12), |cases| cases.parse())?;
    let config = Config { cases, max_shrink_iters: 24, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let steps = prop::collection::vec(prop::array::uniform4(work()), 4..24);
    let number = std::cell::Cell::new(0);
    let outcome = runner.run(&steps, |steps| {
        number.set(number.get() + 1);
        let done = runtime.block_on(run(&stack, number.get(), steps));
        done.map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    outcome.map_err(|error| anyhow::anyhow!("{error}"))?;
    // It is worth something only if all of it happened.
    let kinds = "SELECT DISTINCT kind FROM ledger_transactions ORDER BY kind";
    let seen = runtime
        .block_on(async { anyhow::Ok(store::migrate::strings(&stack.pool().await?, kinds).await?) })?;
    let reasons = "SELECT DISTINCT reason FROM outcomes WHERE reason IS NOT NULL";
    let refused = runtime
        .block_on(async { anyhow::Ok(store::migrate::strings(&stack.pool().await?, reasons).await?) })?;
    for reason in ["already_rewarded", "creator_cap_reached"] {
        assert!(refused.iter().any(|code| code == reason), "no {reason} in {refused:?}");
    }
    for kind in ["campaign", "escrow", "payment", "refund", "release", "repayment"] {
        assert!(seen.iter().any(|code| code == kind), "nothing of {kind} in {seen:?}");
    }
    Ok(())
}
