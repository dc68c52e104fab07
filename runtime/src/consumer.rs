//! Consuming by partition, from positions that the consumer's owner keeps.
//!
//! Offsets committed to Kafka are never read: each processor keeps its position
//! beside what it derives (in Postgres, in its local store), where both change
//! in one write. Kafka's consumer group only says who has which partition; it
//! is told the position for whoever wants to see the lag.
//!
//! The consumer is synchronous and lives on a thread of its own. Partitions
//! come and go only inside [`Consumer::poll`]. Who reads ahead, and works on a
//! batch while the next is polled, asks [`Consumer::is_current`] first.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::bindings::rd_kafka_resp_err_t;
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::util::Timeout;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::runtime::Handle;

use crate::KafkaError;

/// Whoever keeps positions.
pub trait PartitionOwner: Send + Sync {
    /// The partition is now this consumer's: where to begin. May block.
    fn assigned(&self, partition: i32) -> i64;
    /// The partition is no longer this consumer's. May block.
    fn revoked(&self, partition: i32);
    /// How far the owner has come in a partition that was read to `read_to`;
    /// the group is told.
    fn position(&self, _partition: i32, read_to: i64) -> i64 {
        read_to
    }
}

struct Context {
    topic: String,
    owner: Arc<dyn PartitionOwner>,
    /// What is expected of each assigned partition.
    expected: Mutex<BTreeMap<i32, Expected>>,
    /// How often a partition was assigned or sought.
    turns: AtomicU64,
}

#[derive(Clone, Copy)]
struct Expected {
    /// The next offset.
    next: i64,
    /// The turn of [`Context::turns`] since which it is read in one go.
    turn: u64,
    /// Whether the client has yet to go there; until it has, what it hands out
    /// is none of this turn.
    is_sought: bool,
}

impl Context {
    fn expect(&self, next: i64, is_sought: bool) -> Expected {
        Expected { next, turn: self.turns.fetch_add(1, Ordering::Relaxed), is_sought }
    }
}

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        // Which protocol it is, is known: `join` names one assignor, a cooperative one.
        // To ask the client would wait for ever while it closes (rust-rdkafka #509).
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        let result = if err == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            tracing::info!(topic = self.topic, ?partitions, "partitions assigned");
            for partition in partitions {
                let offset = self.owner.assigned(partition);
                let expected = self.expect(offset, false);
                self.expected.lock().expect("no panic while held").insert(partition, expected);
                let set = list.set_partition_offset(&self.topic, partition, Offset::Offset(offset));
                if let Err(error) = set {
                    tracing::error!(topic = self.topic, partition, %error, "cannot set the start offset");
                }
            }
            consumer.incremental_assign(list)
        } else {
            tracing::info!(topic = self.topic, ?partitions, "partitions revoked");
            for partition in partitions {
                self.expected.lock().expect("no panic while held").remove(&partition);
                self.owner.revoked(partition);
            }
            consumer.incremental_unassign(list)
        };
        if let Err(error) = result {
            tracing::error!(topic = self.topic, %error, "rebalance failed");
        }
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Vec<u8>,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Messages of one partition, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The partition.
    pub partition: i32,
    /// Where the last batch ended; the first message may come later where the
    /// log has a gap.
    pub first_offset: i64,
    /// The offset of the last message.
    pub last_offset: i64,
    /// The messages; never empty.
    pub messages: Vec<Message>,
    turn: u64,
}

/// How much to gather.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// At most this many messages a poll.
    pub max_messages: usize,
    /// After the first message, at most this long.
    pub max_wait: Duration,
}

/// Consumes one topic within a group.
pub struct Consumer {
    /// Made anew when it has been without partitions for too long.
    inner: Mutex<Arc<BaseConsumer<Context>>>,
    owner: Arc<dyn PartitionOwner>,
    topic: String,
    group: String,
    brokers: String,
    idle: Mutex<Idle>,
    reported: Mutex<BTreeMap<i32, i64>>,
}

/// Since when a consumer has had no partition, and how long it bears it.
struct Idle {
    since: Instant,
    patience: Duration,
}

/// A consumer without partitions joins its group anew after this, and then
/// after twice as long each time. It may be one too many; but a broker that
/// lost track of a killed member (the embedded one does, when that member led
/// the group) gives its partitions to nobody until somebody joins.
const FIRST_PATIENCE: Duration = Duration::from_secs(12);
const LAST_PATIENCE: Duration = Duration::from_secs(60);

/// A member of a group on `topic`.
fn join(
    brokers: &str,
    group: &str,
    topic: &str,
    owner: Arc<dyn PartitionOwner>,
) -> Result<BaseConsumer<Context>, KafkaError> {
    let client = |source| KafkaError::Client { brokers: brokers.to_owned(), source };
    let context =
        Context { topic: topic.to_owned(), owner, expected: Mutex::default(), turns: AtomicU64::default() };
    let inner: BaseConsumer<Context> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A position that the log no longer has is an error to be seen, not
        // a reason to begin somewhere else.
        .set("auto.offset.reset", "error")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "1000")
        .set("max.poll.interval.ms", "300000")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.message.max.bytes", "4194304")
        .set("queued.max.messages.kbytes", "65536")
        // A reader slower than Kafka fills the queue, and would then wait for a
        // second with the queue long empty.
        .set("fetch.queue.backoff.ms", "10")
        .create_with_context(context)
        .map_err(client)?;
    inner.subscribe(&[topic]).map_err(client)?;
    Ok(inner)
}

impl Consumer {
    /// Joins a group on `topic`.
    ///
    /// # Errors
    /// When the settings are not valid.
    pub fn new(
        brokers: &str,
        group: &str,
        topic: &str,
        owner: Arc<dyn PartitionOwner>,
    ) -> Result<Self, KafkaError> {
        let inner = Mutex::new(Arc::new(join(brokers, group, topic, Arc::clone(&owner))?));
        let idle = Mutex::new(Idle { since: Instant::now(), patience: FIRST_PATIENCE });
        Ok(Self {
            inner,
            owner,
            topic: topic.to_owned(),
            group: group.to_owned(),
            brokers: brokers.to_owned(),
            idle,
            reported: Mutex::default(),
        })
    }

    fn inner(&self) -> Arc<BaseConsumer<Context>> {
        Arc::clone(&self.inner.lock().expect("no panic while held"))
    }

    /// Gathers messages; waits up to `wait` for the first. Gives one batch per
    /// partition, none if nothing came.
    ///
    /// # Errors
    /// When a partition's position is not in the log (retention was too short,
    /// or the topic was made anew), or the broker refuses this consumer.
    /// Passing troubles of the connection are not errors; the client retries.
    pub fn poll(&self, wait: Duration, limits: BatchLimits) -> Result<Vec<Batch>, KafkaError> {
        self.rejoin_if_idle()?;
        self.report();
        let inner = self.inner();
        self.go_where_sought(&inner);
        let mut batches: BTreeMap<i32, Batch> = BTreeMap::new();
        let mut count = 0;
        let mut wait = wait;
        let mut until = None;
        while count < limits.max_messages {
            let Some(polled) = inner.poll(Timeout::After(wait)) else { break };
            match polled {
                Ok(message) => match take(&inner, &mut batches, &message) {
                    Taken::Kept => count += 1,
                    Taken::LeftOver => {}
                    Taken::Sought => break,
                },
                Err(error) if is_fatal(&error) => {
                    return Err(KafkaError::Client { brokers: self.brokers.clone(), source: error });
                }
                Err(error) => tracing::warn!(topic = self.topic, %error, "Kafka"),
            }
            let until = *until.get_or_insert_with(|| Instant::now() + limits.max_wait);
            wait = until.saturating_duration_since(Instant::now());
        }
        // A rebalance while gathering may have taken partitions away, or another
        // thread may have sought.
        let mut expected = inner.context().expected.lock().expect("no panic while held");
        batches.retain(|partition, batch| {
            expected.get(partition).is_some_and(|expected| expected.turn == batch.turn)
        });
        for batch in batches.values() {
            if let Some(expected) = expected.get_mut(&batch.partition) {
                expected.next = batch.last_offset + 1;
            }
        }
        Ok(batches.into_values().collect())
    }

    /// Takes nothing more of the partitions that it has; until [`Self::resume`],
    /// [`Self::rest`] stands for [`Self::poll`].
    pub fn pause(&self) {
        let inner = self.inner();
        let paused = inner.assignment().and_then(|assigned| inner.pause(&assigned));
        if let Err(error) = paused {
            tracing::warn!(topic = self.topic, %error, "cannot pause");
        }
    }

    /// Takes messages again.
    pub fn resume(&self) {
        let inner = self.inner();
        let resumed = inner.assignment().and_then(|assigned| inner.resume(&assigned));
        if let Err(error) = resumed {
            tracing::warn!(topic = self.topic, %error, "cannot resume");
        }
    }

    /// Stays a member of the group for `wait`, and takes nothing: what comes of a
    /// partition that was assigned meanwhile comes again.
    pub fn rest(&self, wait: Duration) {
        match self.inner().poll(Timeout::After(wait)) {
            Some(Ok(message)) => {
                let inner = self.inner();
                let expected = inner.context().expected.lock().expect("no panic while held");
                let next = expected.get(&message.partition()).map(|expected| expected.next);
                drop(expected);
                if let Some(next) = next {
                    self.seek(message.partition(), next);
                }
                // It was assigned since the others were paused.
                self.pause();
            }
            Some(Err(error)) => tracing::warn!(topic = self.topic, %error, "Kafka"),
            None => {}
        }
    }

    /// Tells the group how far this consumer has come. Nothing depends on it.
    fn report(&self) {
        let expected = self.inner().context().expected.lock().expect("no panic while held").clone();
        let expected: BTreeMap<i32, i64> = expected
            .into_iter()
            .map(|(partition, expected)| (partition, self.owner.position(partition, expected.next)))
            .collect();
        let mut reported = self.reported.lock().expect("no panic while held");
        if *reported == expected {
            return;
        }
        let mut list = TopicPartitionList::new();
        for (partition, offset) in &expected {
            if list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset)).is_err() {
                return;
            }
        }
        if expected.is_empty() || self.inner().commit(&list, CommitMode::Async).is_ok() {
            *reported = expected;
        }
    }

    fn rejoin_if_idle(&self) -> Result<(), KafkaError> {
        let mut idle = self.idle.lock().expect("no panic while held");
        let has_partitions = !self.inner().context().expected.lock().expect("no panic while held").is_empty();
        if has_partitions {
            *idle = Idle { since: Instant::now(), patience: FIRST_PATIENCE };
        } else if idle.since.elapsed() > idle.patience {
            *idle = Idle { since: Instant::now(), patience: (idle.patience * 2).min(LAST_PATIENCE) };
            tracing::warn!(topic = self.topic, "no partition so far; joining the group anew");
            self.inner().unsubscribe();
            self.forget_group();
            let joined = join(&self.brokers, &self.group, &self.topic, Arc::clone(&self.owner))?;
            *self.inner.lock().expect("no panic while held") = Arc::new(joined);
        }
        Ok(())
    }

    /// Makes the broker forget the group, if nobody is in it: the embedded one
    /// may believe that somebody leads it who is long gone. A group with
    /// members is refused by Kafka, and left.
    fn forget_group(&self) {
        let client: Result<AdminClient<DefaultClientContext>, _> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create();
        let (Ok(client), Ok(handle)) = (client, Handle::try_current()) else { return };
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(3)));
        let forgotten = handle.block_on(client.delete_groups(&[&self.group], &options));
        tracing::debug!(group = self.group, ?forgotten, "group forgotten");
    }

    /// Whether a batch's partition is still assigned, and was not sought since
    /// the batch was polled.
    pub fn is_current(&self, batch: &Batch) -> bool {
        let inner = self.inner();
        let expected = inner.context().expected.lock().expect("no panic while held");
        expected.get(&batch.partition).is_some_and(|expected| expected.turn == batch.turn)
    }

    /// Goes to `offset` in a partition, if it is still assigned: any thread may
    /// ask. The next poll goes there; what is polled until then is not kept.
    pub fn seek(&self, partition: i32, offset: i64) {
        let inner = self.inner();
        let mut expected = inner.context().expected.lock().expect("no panic while held");
        if let Some(expected) = expected.get_mut(&partition) {
            *expected = inner.context().expect(offset, true);
        }
    }

    /// On the thread that polls, between two polls: nothing is then handed out,
    /// and no partition comes or goes. Where the client cannot go now, the next
    /// poll tries again.
    fn go_where_sought(&self, inner: &BaseConsumer<Context>) {
        let mut expected = inner.context().expected.lock().expect("no panic while held");
        for (partition, expected) in expected.iter_mut().filter(|(_, expected)| expected.is_sought) {
            let offset = Offset::Offset(expected.next);
            match inner.seek(&self.topic, *partition, offset, Timeout::After(Duration::from_secs(10))) {
                Ok(()) => expected.is_sought = false,
                Err(error) => tracing::warn!(topic = self.topic, partition, %error, "cannot seek yet"),
            }
        }
    }
}

/// What became of a message that was polled.
enum Taken {
    /// It is in its batch.
    Kept,
    /// It is not the next one: from before a seek or a rebalance.
    LeftOver,
    /// Somebody seeks in its partition; the poll ends.
    Sought,
}

/// Adds a message to its partition's batch, if it is the next one.
fn take(
    inner: &BaseConsumer<Context>,
    batches: &mut BTreeMap<i32, Batch>,
    message: &rdkafka::message::BorrowedMessage<'_>,
) -> Taken {
    let partition = message.partition();
    let expected = inner.context().expected.lock().expect("no panic while held");
    let Some(expected) = expected.get(&partition).copied() else { return Taken::LeftOver };
    if expected.is_sought {
        return Taken::Sought;
    }
    // What was gathered before the partition went and came back is not.
    if batches.get(&partition).is_some_and(|batch| batch.turn != expected.turn) {
        batches.remove(&partition);
    }
    let offset = message.offset();
    let next = batches.get(&partition).map_or(expected.next, |batch| batch.last_offset + 1);
    if offset < next {
        return Taken::LeftOver;
    }
    let batch = batches.entry(partition).or_insert_with(|| Batch {
        partition,
        first_offset: expected.next,
        last_offset: offset,
        messages: Vec::new(),
        turn: expected.turn,
    });
    batch.last_offset = offset;
    batch.messages.push(Message {
        offset,
        key: message.key().unwrap_or_default().to_vec(),
        payload: message.payload().unwrap_or_default().to_vec(),
    });
    Taken::Kept
}

fn is_fatal(error: &rdkafka::error::KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(
            Code::Fatal
            | Code::AutoOffsetReset
            | Code::OffsetOutOfRange
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed,
        ) => true,
        _ => matches!(error, rdkafka::error::KafkaError::MessageConsumptionFatal(_)),
    }
}
