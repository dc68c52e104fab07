//! kill -9 of the whole program in the middle of a stream, three times.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tests::{Stack, World};
use uuid::Uuid;

/// What the collector answered with success.
#[derive(Default)]
struct Answered {
    clicks: Mutex<Vec<Uuid>>,
    sales: Mutex<Vec<Uuid>>,
}

/// People who click and buy until told to stop; who gets no answer goes on
/// with the next visitor.
async fn stream(
    world: Arc<World>,
    codes: Arc<Vec<String>>,
    answered: Arc<Answered>,
    next: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let code = &codes[number as usize % codes.len()];
        let Ok(click) = world.click(code, &format!("visitor-{number:07}")).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        answered.clicks.lock().unwrap().push(click.id);
        // Every other link is of the campaign that pays for sales.
        if number % 6 == 3 {
            let sale = json!({
                "order_id": format!("order-{number}"), "tcid": click.token,
                "value": { "amount_minor": 5_000, "currency": "USD" },
            });
            if let Ok(id) = world.accepted("/v1/sales", &sale).await {
                answered.sales.lock().unwrap().push(id);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answered_is_lost_or_doubled() -> anyhow::Result<()> {
    let mut stack = Stack::start()?;
    let world = Arc::new(World::create(&stack, "crash").await?);
    let clicks = world.campaign("click", 5, 2_000).await?;
    let sales = world.campaign("sale", 600, 10_000_000).await?;
    let codes = Arc::new(vec![clicks.code, sales.code]);
    let answered = Arc::new(Answered::default());
    let next = Arc::new(AtomicU32::new(0));
    // Early: the first batches are on their way. Then in full stream. Then
    // right after a start, while what was left is being caught up with.
    for after in [Duration::from_millis(400), Duration::from_millis(2_500), Duration::from_millis(150)] {
        let stop = Arc::new(AtomicBool::new(false));
        let people: Vec<_> = (0..8)
            .map(|_| {
                let (world, codes, answered) =
                    (Arc::clone(&world), Arc::clone(&codes), Arc::clone(&answered));
                tokio::spawn(stream(world, codes, answered, Arc::clone(&next), Arc::clone(&stop)))
            })
            .collect();
        tokio::time::sleep(after).await;
        // Whoever goes on without Kafka's acknowledgement is found out.
        let frozen = stack.freeze_kafka();
        tokio::time::sleep(Duration::from_millis(400)).await;
        stack.kill_9();
        drop(frozen);
        stop.store(true, Ordering::Relaxed);
        for person in people {
            person.await?;
        }
        stack.restart()?;
    }
    stack.settle()?;
    stack.reconcile()?;
    check_clickhouse(&stack, &answered).await?;
    check_books(&stack, &world, &answered).await
}

/// Every event answered with success is in ClickHouse exactly once.
async fn check_clickhouse(stack: &Stack, answered: &Answered) -> anyhow::Result<()> {
    let mut ids = answered.clicks.lock().unwrap().clone();
    ids.extend(answered.sales.lock().unwrap().iter());
    assert!(ids.len() > 200, "the stream was too thin: {}", ids.len());
    let url = format!("{}/?database=tributary", stack.clickhouse_url());
    let query = "SELECT event_id, count() FROM events FINAL GROUP BY event_id FORMAT TSV";
    let answer = tests::Http::default().post(&url, &[], query).await?;
    let rows = answer.text();
    let loaded: Vec<(Uuid, u32)> = rows
        .lines()
        .map(|line| {
            line.split_once('\t').map(|(id, count)| (id.parse().unwrap(), count.parse().unwrap())).unwrap()
        })
        .collect();
    assert!(loaded.iter().all(|(_, count)| *count == 1));
    let loaded: HashSet<Uuid> = loaded.into_iter().map(|(id, _)| id).collect();
    let missing: Vec<&Uuid> = ids.iter().filter(|id| !loaded.contains(*id)).collect();
    assert!(
        missing.is_empty(),
        "{} of {} answered events are missing: {missing:?}",
        missing.len(),
        ids.len()
    );
    // Every sale has the one click before it, and rows that came twice would show here.
    let query = "SELECT count(), uniqExact(event_id), sum(share) FROM touches FORMAT TSV";
    let touches = tests::Http::default().post(&url, &[], query).await?.text();
    let query = "SELECT count(), count(), count() FROM events FINAL WHERE kind = 'sale' FORMAT TSV";
    assert_eq!(touches, tests::Http::default().post(&url, &[], query).await?.text());
    Ok(())
}

/// Every payable outcome is in the ledger exactly once: the sales all, since
/// their budget is large.
async fn check_books(stack: &Stack, world: &World, answered: &Answered) -> anyhow::Result<()> {
    let pool = stack.pool().await?;
    let sales = answered.sales.lock().unwrap().clone();
    let outcomes = store::outcomes::of_events(&pool, world.workspace, &sales).await?;
    assert_eq!(outcomes.len(), sales.len());
    assert!(outcomes.iter().all(|outcome| outcome.status == "posted"), "a sale was not paid");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_finds_its_data() -> anyhow::Result<()> {
    let mut stack = Stack::start()?;
    let world = World::create(&stack, "again").await?;
    let campaign = world.campaign("click", 5, 1_000).await?;
    world.click(&campaign.code, "visitor-0001").await?;
    stack.settle()?;
    let digest = stack.digest()?;
    assert_eq!(stack.stop()?, Some(0));
    stack.restart()?;
    assert_eq!(stack.digest()?, digest);
    world.click(&campaign.code, "visitor-0002").await?;
    stack.settle()?;
    let board = world.report("/v1/leaderboards?metric=clicks").await?;
    assert_eq!(board["rows"][0]["value"], 2);
    stack.reconcile()
}
