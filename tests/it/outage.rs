//! Kafka goes away in the middle of a stream, the collector is killed while it
//! is away, and both come back: every answered event is on the topic, and of
//! each visitor in order.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use runtime::consumer::BatchLimits;
use serde_json::json;
use tests::{Http, Stack, World, die_with_test, free_port, program, reader};
use uuid::Uuid;

const VISITORS: usize = 200;

/// A broker that the test may kill, beside a stack without one.
struct Broker {
    port: u16,
    dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Broker {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { port: free_port(), dir: tempfile::tempdir()?, child: None })
    }

    fn start(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(program());
        command.args(["engine", "kafka", "--port", &self.port.to_string(), "--data"]).arg(self.dir.path());
        // It ends when this closes.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        die_with_test(&mut command);
        self.child = Some(command.spawn()?);
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            ensure!(started.elapsed() < Duration::from_secs(30), "the broker does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A collector of its own process.
struct Collector<'a> {
    stack: &'a Stack,
    spool: std::path::PathBuf,
    /// Runs the collector's command line within another program.
    within: Vec<String>,
    child: Option<Child>,
}

impl Collector<'_> {
    fn start(&mut self) -> anyhow::Result<()> {
        let mut command = self.stack.command_within(&self.within);
        command.arg("ingest").arg("--spool-dir").arg(&self.spool);
        let log = std::fs::File::options().create(true).append(true).open(self.stack.log_path())?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        die_with_test(&mut command);
        self.child = Some(command.spawn()?);
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.stack.ports.collector)).is_err() {
            ensure!(started.elapsed() < Duration::from_secs(30), "the collector does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Drop for Collector<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What visitors were told.
#[derive(Default)]
struct Told {
    /// Ids of events answered as accepted, of each visitor in order.
    accepted: Mutex<BTreeMap<usize, Vec<Uuid>>>,
    refused: AtomicUsize,
    redirected: AtomicUsize,
    /// Requests that got no answer at all.
    unanswered: Mutex<Vec<String>>,
}

/// Visitors who each send one event after the other, until told to stop.
fn stream(
    world: &Arc<World>,
    code: &str,
    told: &Arc<Told>,
    stop: &Arc<AtomicBool>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let visit = |visitor: usize| {
        let (world, told, stop, code) =
            (Arc::clone(world), Arc::clone(told), Arc::clone(stop), code.to_owned());
        tokio::spawn(async move {
            let name = format!("visitor-{visitor:04}");
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let event = json!({ "type": "track", "visitor_id": name, "name": "step",
                    "properties": { "number": number } });
                match world.accepted("/v1/events", &event).await {
                    Ok(id) => told.accepted.lock().unwrap().entry(visitor).or_default().push(id),
                    Err(error) => {
                        let error = format!("{error:#}");
                        if error.contains("no answer within") {
                            told.unanswered.lock().unwrap().push(error);
                        }
                        told.refused.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(80)).await;
                if number % 10 == 0 && world.click(&code, &name).await.is_ok() {
                    told.redirected.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    (0..VISITORS).map(visit).collect()
}

/// The ids of the events on the topic, in the order of their partitions, each
/// where it came first.
fn on_topic(brokers: &str, topic: &str, told: &Told) -> anyhow::Result<BTreeMap<Uuid, usize>> {
    let mut expected: HashSet<Uuid> = told.accepted.lock().unwrap().values().flatten().copied().collect();
    let consumer = reader(brokers, topic)?;
    let limits = BatchLimits { max_messages: 5_000, max_wait: Duration::from_millis(100) };
    let mut place = BTreeMap::new();
    // Until all are there, or nothing has come for ten seconds.
    let mut heard = Instant::now();
    while !expected.is_empty() && heard.elapsed() < Duration::from_secs(10) {
        let batches = consumer.poll(Duration::from_millis(200), limits)?;
        if !batches.is_empty() {
            heard = Instant::now();
        }
        for message in batches.into_iter().flat_map(|batch| batch.messages) {
            let event: serde_json::Value = serde_json::from_slice(&message.payload)?;
            let id = event["id"].as_str().context("an id")?.parse()?;
            let next = place.len();
            place.entry(id).or_insert(next);
            expected.remove(&id);
        }
    }
    Ok(place)
}

async fn metric(collector: &str, name: &str) -> anyhow::Result<f64> {
    let text = Http::default().get(&format!("{collector}/metrics"), &[]).await?.text();
    let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    line.and_then(|line| line.rsplit(' ').next())
        .with_context(|| format!("no {name}"))?
        .parse()
        .context("a number")
}

/// Everything that was answered as accepted is on the topic, and of each
/// visitor in the order of the answers.
fn check(told: &Told, on_topic: &BTreeMap<Uuid, usize>) {
    assert_eq!(*told.unanswered.lock().unwrap(), Vec::<String>::new());
    let accepted = told.accepted.lock().unwrap();
    let total: usize = accepted.values().map(Vec::len).sum();
    let missing = accepted.values().flatten().filter(|id| !on_topic.contains_key(*id)).count();
    assert_eq!(missing, 0, "of {total} accepted events, {missing} are not on the topic");
    for (visitor, ids) in accepted.iter() {
        let places: Vec<usize> = ids.iter().map(|id| on_topic[id]).collect();
        assert!(places.is_sorted(), "events of visitor {visitor} are out of order: {places:?}");
    }
}

/// Kafka away from 1 s to 6 s, the collector killed at 3 s.
async fn outage(
    stack: &Stack,
    broker: &mut Broker,
    collector: &mut Collector<'_>,
) -> anyhow::Result<Arc<Told>> {
    collector.start()?;
    let mut api = stack.command();
    api.arg("api").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    die_with_test(&mut api);
    let mut api = api.spawn()?;
    let world = World::create_soon(stack, "outage").await;
    // No money: funding is settlement's, which does not run here.
    let made = match world {
        Ok(world) => world.campaign("click", 5, 0).await.map(|campaign| (world, campaign)),
        Err(error) => Err(error),
    };
    api.kill()?;
    api.wait()?;
    let (world, campaign) = made?;
    let told = Arc::new(Told::default());
    let stop = Arc::new(AtomicBool::new(false));
    // The link is known from before.
    world.click(&campaign.code, "visitor-first").await?;
    let visitors = stream(&Arc::new(world), &campaign.code, &told, &stop);
    tokio::time::sleep(Duration::from_secs(1)).await;
    broker.kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    collector.kill();
    collector.start()?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    broker.start()?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.await?;
    }
    let started = Instant::now();
    // Neither events stay in it nor files without any.
    for name in ["tributary_spool_events", "tributary_spool_bytes"] {
        while metric(&stack.collector_url(), name).await? > 0.0 {
            ensure!(started.elapsed() < Duration::from_secs(60), "the spool does not empty: {name}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(told)
}

fn accepted(told: &Told) -> usize {
    told.accepted.lock().unwrap().values().map(Vec::len).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_away_and_the_collector_killed() -> anyhow::Result<()> {
    let mut broker = Broker::new()?;
    broker.start()?;
    let stack = Stack::beside(&format!("127.0.0.1:{}", broker.port), &["--engines-only"])?;
    let spool = stack.data_dir().join("spool");
    let mut collector = Collector { stack: &stack, spool, within: Vec::new(), child: None };
    let told = outage(&stack, &mut broker, &mut collector).await?;
    let count = accepted(&told);
    assert!(count > 1_000, "the stream was too thin: {count}");
    let on_topic = on_topic(&stack.brokers(), &stack.topics().events, &told)?;
    check(&told, &on_topic);
    Ok(())
}

/// A small disk of its own, which lasts as long as this does.
struct SmallDisk {
    holder: Child,
}

impl SmallDisk {
    /// Mounts it on `dir`, for whoever enters.
    fn mount(dir: &std::path::Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let script = "mount -t tmpfs -o size=256k tmpfs \"$0\" && echo mounted && cat";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        die_with_test(&mut command);
        let mut holder = command.spawn().context("unshare")?;
        let mut said = String::new();
        BufReader::new(holder.stdout.as_mut().context("it has an output")?).read_line(&mut said)?;
        ensure!(said == "mounted\n", "no small disk could be mounted");
        Ok(Self { holder })
    }

    /// What runs a command where the disk is seen.
    fn entered(&self) -> Vec<String> {
        let pid = self.holder.id().to_string();
        ["nsenter", "--target", &pid, "--user", "--mount"].map(ToOwned::to_owned).to_vec()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}

/// The spool's disk holds a quarter of a megabyte, which is soon full: what is
/// not recorded is refused, and only that.
#[tokio::test(flavor = "multi_thread")]
async fn kafka_away_and_the_disk_full() -> anyhow::Result<()> {
    let mut broker = Broker::new()?;
    broker.start()?;
    let stack = Stack::beside(&format!("127.0.0.1:{}", broker.port), &["--engines-only"])?;
    let spool = stack.data_dir().join("small-disk");
    let disk = SmallDisk::mount(&spool)?;
    let mut collector = Collector { stack: &stack, spool, within: disk.entered(), child: None };
    let told = outage(&stack, &mut broker, &mut collector).await?;
    let (count, refused) = (accepted(&told), told.refused.load(Ordering::Relaxed));
    assert!(count > 300, "the stream was too thin: {count}");
    assert!(refused > 50, "the disk was never full: {refused}");
    assert!(told.redirected.load(Ordering::Relaxed) > 20, "links lead on all the while");
    assert!(metric(&stack.collector_url(), "tributary_ingest_clicks_lost_total").await? > 0.0);
    let on_topic = on_topic(&stack.brokers(), &stack.topics().events, &told)?;
    check(&told, &on_topic);
    Ok(())
}

/// A broker that stands still for longer than its members' sessions last: the
/// services find their way back to it.
#[tokio::test(flavor = "multi_thread")]
async fn kafka_frozen_for_a_while() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "frozen").await?;
    let campaign = world.campaign("click", 5, 1_000_000).await?;
    let clicks = async |from: u32| {
        for number in from..from + 100 {
            world.click(&campaign.code, &format!("visitor-{number:05}")).await?;
        }
        anyhow::Ok(())
    };
    clicks(0).await?;
    stack.settle()?;
    let Some(frozen) = stack.freeze_kafka() else { return Ok(()) };
    let started = Instant::now();
    clicks(100).await?;
    tokio::time::sleep(Duration::from_secs(20).saturating_sub(started.elapsed())).await;
    frozen.thaw();
    clicks(200).await?;
    stack.settle()?;
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    assert_eq!(answer["campaign"]["spent_minor"], 300 * 5, "{answer}");
    stack.reconcile()
}
