//! Attribution, from Kafka to its credits, beside a consumer that reads and
//! parses the same topic and remembers nothing; and its store, the larger the
//! number of visitors in it.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use domain::attribution::memory::Changes;
use domain::attribution::{Context, Partition, Place, Policy};
use domain::event::{Body, Client, Event};
use domain::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey, WorkspaceId};
use domain::money::{Currency, Money};
use domain::rules::Rules;
use processors::attribution::AttributionSettings;
use processors::attribution::state::StateStore;
use runtime::consumer::BatchLimits;
use runtime::producer::{ProducerSettings, Publisher};
use runtime::progress::Progress;
use runtime::shutdown::CancellationToken;
use runtime::topics::Topics;
use tests::Stack;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::table::Table;
use crate::topic;

const EVENTS: u64 = 6_000_000;
/// How fast it goes on is measured, not how it starts: memory is new then, and
/// has to be cleared.
const WARM_UP: u64 = 2_000_000;
const VISITORS: u64 = 900_000;
const AT_MS: i64 = 1_790_000_000_000;
/// Events of one commit to the store, about as many as in production.
const COMMIT: u64 = 50_000;
/// Clicks that the store's speed is measured with.
const SAMPLE: u64 = 200_000;
/// As by default.
const MEMORY_BYTES: usize = 256 << 20;
const BATCH: BatchLimits = BatchLimits { max_messages: 5_000, max_wait: Duration::from_millis(200) };

/// Of ten events seven are clicks, two are pages, one is a sale; each visitor
/// comes again and again.
fn event(number: u64, visitors: u64) -> Event {
    let visitor = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % visitors;
    // A hundred thousand a second, by the events' own time.
    let at_ms = AT_MS + i64::try_from(number / 100).expect("not that many");
    let body = match number % 10 {
        0..7 => Body::Click {
            link: LinkId(Uuid::from_u128(u128::from(number % 60))),
            campaign: CampaignId(Uuid::from_u128(u128::from(number % 4))),
            creator: UserId(Uuid::from_u128(u128::from(number % 12))),
            supporter: None,
            variant: None,
            utm: BTreeMap::new(),
            cookieless: false,
        },
        7..9 => {
            Body::Page { url: "https://shop.example/p".to_owned(), title: None, properties: BTreeMap::new() }
        }
        _ => Body::Sale {
            order_id: number.to_string(),
            value: Money { amount_minor: 4_990, currency: Currency::new("USD").expect("a currency") },
            items: Vec::new(),
            click: None,
            coupon: None,
        },
    };
    Event {
        id: id(at_ms, number),
        workspace: WorkspaceId(Uuid::from_u128(7)),
        visitor: VisitorKey((u128::from(visitor) * 0x1_0000_0001).to_le_bytes()),
        user: None,
        at_ms,
        received_at_ms: at_ms,
        // As the collector writes them: none of a click.
        payload_hash: match body {
            Body::Click { .. } => String::new(),
            _ => format!("{number:064x}"),
        },
        body,
        client: Client {
            network: Some(format!("203.0.{}.0", number % 250)),
            user_agent: Some(
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
            ),
            country: Some("DE".to_owned()),
            ..Client::default()
        },
        bot: None,
    }
}

/// As the collector's: in the order of time.
fn id(at_ms: i64, number: u64) -> EventId {
    let mut rest = [0; 10];
    rest[2..].copy_from_slice(&number.to_be_bytes());
    EventId(uuid::Builder::from_unix_timestamp_millis(at_ms.unsigned_abs(), &rest).into_uuid())
}

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    println!("attribution: {EVENTS} events of {VISITORS} visitors …");
    let stack = Stack::start_with(&["--engines-only", "--kafka-in-memory"])?;
    let topics = Topics::new("bench-");
    topic::fill(&stack, &topics, EVENTS, |number| event(number, VISITORS)).await?;
    let parsing = || {
        let parse = |payload: &[u8]| {
            black_box(serde_json::from_slice::<Event>(payload)?);
            Ok(())
        };
        topic::read(&stack, topics.events.clone(), EVENTS, BATCH, parse)
    };
    // A machine is not as fast in one minute as in the next: the limit is measured
    // before and after each, and the middle one counts.
    let mut parsed = vec![parsing().await?];
    let attributed = attribute(&stack, &topics, "bench-attribution").await?;
    parsed.push(parsing().await?);
    // All was emitted, as Postgres knows, and the disk is another one.
    let rebuilt = attribute(&stack, &topics, "bench-rebuild").await?;
    parsed.push(parsing().await?);
    parsed.sort_by(f64::total_cmp);
    let parsed = parsed[1];
    table.limit("reading and parsing the topic, and nothing else", parsed, "one consumer, four partitions");
    table.figure(
        "attribution: events from Kafka to their credits",
        attributed,
        parsed,
        "7 clicks, 2 pages, 1 sale of 10",
    );
    table.figure("attribution: building lost state anew", rebuilt, parsed, "nothing is emitted");
    Ok(())
}

/// Events a second of attribution itself, when it is warm.
async fn attribute(stack: &Stack, topics: &Topics, group: &str) -> anyhow::Result<f64> {
    let settings = AttributionSettings {
        brokers: stack.brokers(),
        group: group.to_owned(),
        topics: topics.clone(),
        state_dir: stack.data_dir().join(group),
        memory_bytes: MEMORY_BYTES,
        batch: BATCH,
        policy: Policy { lateness_ms: 1 << 45, ..Policy::default() },
    };
    let (pool, stop, handle) = (stack.pool().await?, CancellationToken::new(), Handle::current());
    store::migrate::migrate(&store::connect(&stack.database_url("tributary", "tributary"), 1).await?).await?;
    let publisher = Publisher::new(&stack.brokers(), ProducerSettings::default())?;
    let stopped = stop.clone();
    let mut working = tokio::task::spawn_blocking(move || {
        processors::attribution::run(settings, pool, publisher, handle, stopped)
    });
    let (brokers, topic, group) = (stack.brokers(), topics.events.clone(), group.to_owned());
    let watching = tokio::task::spawn_blocking(move || {
        let progress = Progress::new(&brokers, &group)?;
        let mut first: Option<(Instant, i64)> = None;
        // The last ones are held, and would only measure for how long.
        let (warm, all) = (i64::try_from(WARM_UP)?, i64::try_from(EVENTS * 9 / 10)?);
        for _ in 0..6_000 {
            std::thread::sleep(Duration::from_millis(20));
            let reported = progress.reported(&topic, &[0, 1, 2, 3])?;
            let done: i64 = reported.into_iter().filter_map(|(_, position)| position).sum();
            match first {
                None if done >= warm => first = Some((Instant::now(), done)),
                Some((since, before)) if done >= all => {
                    return anyhow::Ok((done - before) as f64 / since.elapsed().as_secs_f64());
                }
                _ => {}
            }
        }
        anyhow::bail!("attribution does not come to its end")
    });
    tokio::select! {
        ended = &mut working => anyhow::bail!("attribution ended early: {:?}", ended?),
        rate = watching => {
            stop.cancel();
            working.await??;
            rate?
        }
    }
}

/// The store with ever more visitors in it.
pub(crate) fn visitors(table: &mut Table) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let store = StateStore::open(dir.path(), MEMORY_BYTES)?;
    let mut state = store.partition("bench", 0)?;
    let mut fold = Partition::new(&Place::default());
    let (rules, policy) = (Rules::new([], i64::MAX), Policy { hold_ms: 0, ..Policy::default() });
    let (mut offset, mut clicks, mut at_first) = (0, 0, None);
    for visitors in [100_000, 1_000_000, 10_000_000] {
        println!("attribution's store: {visitors} visitors …");
        // Each comes once, then a sample of all of them again, and another one, which
        // is measured: memory is new to the first, and disks are busy with what was
        // written before.
        for (count, of_all, is_measured) in
            [(visitors - offset, false, false), (SAMPLE, true, false), (SAMPLE, true, true)]
        {
            anyhow::ensure!(Command::new("sync").status()?.success(), "the disks could not be waited for");
            let started = Instant::now();
            for first in (0..count).step_by(COMMIT as usize) {
                let (mut changes, mut emitted) = (Changes::default(), Vec::new());
                let batch = first..(first + COMMIT).min(count);
                for place in batch {
                    let mut event = event((offset + place) * 10, visitors);
                    let visitor = if of_all { clicks * 7_919 % visitors } else { offset + place };
                    event.visitor = VisitorKey(mixed(visitor).to_le_bytes());
                    clicks += 1;
                    event.id = id(event.at_ms, clicks);
                    let mut context = Context {
                        memory: &state,
                        changes: &mut changes,
                        rules: &rules,
                        policy: &policy,
                        emitted: &mut emitted,
                    };
                    fold.apply(fold.next_offset(), event, &mut context)?;
                }
                state.commit(&changes, &fold.place(), 0)?;
            }
            if is_measured {
                let rate = count as f64 / started.elapsed().as_secs_f64();
                let bytes = state.bytes_on_disk() / visitors;
                let what = format!("attribution's store: clicks with {visitors} visitors in it");
                let note = format!("{bytes} bytes a visitor on disk, ids of events included");
                match at_first {
                    None => table.limit(&what, rate, note),
                    Some(limit) => table.figure(&what, rate, limit, note),
                }
                at_first.get_or_insert(rate);
            }
            if !of_all {
                offset += count;
            }
        }
    }
    Ok(())
}

/// Spreads numbers over all keys, as hashes are.
fn mixed(number: u64) -> u128 {
    let spread = |salt: u64| (number ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    u128::from(spread(1).wrapping_mul(0xbf58_476d_1ce4_e5b9)) << 64 | u128::from(spread(2))
}
