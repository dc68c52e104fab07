//! What waits for its partition's turn.
//!
//! An idempotent librdkafka (2.12) has one request of a partition on its way,
//! whatever `max.in.flight` says (it counts messages, confluentinc/librdkafka
//! #4989), and while another one is ready it does not sleep but looks again and
//! again whether it may go: half of what its thread did here. So it gets nothing
//! for a partition that it could not send. What comes meanwhile is gathered, and
//! handed over at once when Kafka has what is on its way: the busier Kafka is, the
//! more share a request.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::producer::{BaseProducer, BaseRecord};
use rdkafka::types::RDKafkaErrorCode;

use super::delivery::{Deliveries, Fate, Slot};
use super::queue::{Queue, Sent};
use super::{Record, traced};

/// What waits is handed over, and once more what came meanwhile; the thread that does
/// it has acknowledgements to hear, without which the client's queue fills.
const ROUNDS: usize = 2;
/// Room that is kept for those whose messages are on their way: a few hundred clicks'.
const KEPT_FLYING: usize = 1_024;

/// The messages of one partition, in order; or of a topic, while its partitions
/// are not known.
pub(super) struct Lane {
    topic: String,
    partition: Option<i32>,
    open_for: Duration,
    state: Mutex<State>,
}

/// The lanes of each topic.
pub(super) struct Lanes {
    /// What comes so soon after the first of a request still goes with it.
    open_for: Duration,
    topics: ArcSwap<HashMap<String, Arc<[Arc<Lane>]>>>,
    /// Held while that is changed.
    changing: Mutex<()>,
}

impl Lanes {
    /// Lanes of a client that lingers as long.
    pub(super) fn new(linger: Duration) -> Self {
        Self { open_for: linger / 2, topics: ArcSwap::default(), changing: Mutex::default() }
    }

    /// From now on a topic has a lane for each of its partitions.
    pub(super) fn learn(&self, topic: &str, partitions: usize) {
        let lanes: Arc<[Arc<Lane>]> = (0..)
            .take(partitions)
            .map(|partition| Arc::new(Lane::new(topic, Some(partition), self.open_for)))
            .collect();
        let _changing = self.changing.lock().expect("no panic while held");
        // An event must not overtake one that waits in a lane of before.
        let is_used =
            self.topics.load().get(topic).is_some_and(|lanes| lanes.iter().any(|lane| lane.is_used()));
        if partitions > 0 && !is_used {
            self.insert(topic, lanes);
        }
    }

    fn insert(&self, topic: &str, lanes: Arc<[Arc<Lane>]>) {
        let mut topics = HashMap::clone(&self.topics.load());
        topics.insert(topic.to_owned(), lanes);
        self.topics.store(Arc::new(topics));
    }

    /// Does something with where a message with this key waits. To give the lane out
    /// would count who has it, in memory that all share who send.
    pub(super) fn with<T>(&self, topic: &str, key: &[u8], run: impl FnOnce(&Arc<Lane>) -> T) -> T {
        if let Some(lanes) = self.topics.load().get(topic) {
            return run(lane_of(lanes, key));
        }
        let changing = self.changing.lock().expect("no panic while held");
        if !self.topics.load().contains_key(topic) {
            self.insert(topic, Arc::new([Arc::new(Lane::new(topic, None, self.open_for))]));
        }
        drop(changing);
        self.with(topic, key, run)
    }

    /// Tells those who have waited since `then`, or for longer, that they are late.
    pub(super) fn tell_late(&self, then: Instant) {
        for lane in self.topics.load().values().flat_map(|lanes| lanes.iter()) {
            for slot in lane.late(then) {
                slot.settle(Fate::Late);
            }
        }
    }

    /// Messages that are not with the client yet.
    pub(super) fn waiting(&self) -> usize {
        self.topics.load().values().flat_map(|lanes| lanes.iter()).map(|lane| lane.waiting()).sum()
    }
}

/// As librdkafka's partitioner `consistent_random` does, which others use who
/// write to the topic.
fn lane_of<'a>(lanes: &'a [Arc<Lane>], key: &[u8]) -> &'a Arc<Lane> {
    &lanes[crc32fast::hash(key) as usize % lanes.len()]
}

#[derive(Default)]
struct State {
    /// Handed over, or about to be.
    in_flight: usize,
    /// Who waits for them, in the order in which they began to, if only so long; and
    /// who did so for others that were on their way with them.
    flying: VecDeque<Sent>,
    /// What waited is being handed over: nothing may overtake it.
    is_handing_over: bool,
    /// Until then the client lingers for others.
    open_until: Option<Instant>,
    waiting: Queue,
    /// The room of those who waited before.
    spare: Queue,
}

impl State {
    /// Whether another one can go at once.
    fn is_open(&self) -> bool {
        let lingers = || self.open_until.is_some_and(|until| Instant::now() < until);
        !self.is_handing_over && self.waiting.is_empty() && (self.in_flight == 0 || lingers())
    }

    fn fly(&mut self, sent: impl IntoIterator<Item = Sent>) {
        self.flying.extend(sent.into_iter().filter(|sent| sent.since.is_some()));
    }
}

impl Lane {
    fn new(topic: &str, partition: Option<i32>, open_for: Duration) -> Self {
        Self { topic: topic.to_owned(), partition, open_for, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    fn is_used(&self) -> bool {
        self.lock().in_flight > 0
    }

    /// Messages that are not with the client yet.
    fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Hands a message over, now or when it can go. Whoever waits has done so `since`
    /// then, where they are to be told when it is late.
    pub(super) fn send(
        self: &Arc<Self>,
        producer: &BaseProducer<Deliveries>,
        [key, trace, payload]: [&[u8]; 3],
        since: Option<Instant>,
    ) -> Result<Arc<Slot>, ClientError> {
        let slot = Arc::new(Slot::of(Arc::clone(self)));
        let sent = Sent { since, slot: Arc::clone(&slot) };
        let mut state = self.lock();
        if !state.is_open() {
            if state.waiting.is_full() {
                return Err(ClientError::MessageProduction(RDKafkaErrorCode::QueueFull));
            }
            state.waiting.push(key, trace, payload, sent);
            return Ok(slot);
        }
        if state.in_flight == 0 {
            state.open_until = Some(Instant::now() + self.open_for);
        }
        state.in_flight += 1;
        state.fly([sent]);
        drop(state);
        let handed = self.hand_over(producer, key, trace, payload, &slot);
        if handed.is_err() {
            self.done(Some(producer));
        }
        handed.map(|()| slot)
    }

    fn hand_over(
        &self,
        producer: &BaseProducer<Deliveries>,
        key: &[u8],
        trace: &[u8],
        payload: &[u8],
        slot: &Arc<Slot>,
    ) -> Result<(), ClientError> {
        let record: Record<'_> = BaseRecord::with_opaque_to(&self.topic, Arc::clone(slot));
        let mut record = traced(record.key(key).payload(payload), trace);
        record.partition = self.partition;
        producer.send(record).map_err(|(error, _record)| error)
    }

    /// One that was handed over is done with: if it was the last, those that wait
    /// are handed over. Without a producer they have failed.
    pub(super) fn done(&self, producer: Option<&BaseProducer<Deliveries>>) {
        self.end(self.lock(), producer);
    }

    fn end<'a>(&'a self, mut state: MutexGuard<'a, State>, producer: Option<&BaseProducer<Deliveries>>) {
        let mut ended = 1;
        while ended > 0 {
            state.in_flight -= ended;
            if state.in_flight > 0 || state.is_handing_over {
                return;
            }
            state.flying.clear();
            state.flying.shrink_to(KEPT_FLYING);
            (state, ended) = self.hand_over_waiting(producer, state);
        }
    }

    /// Hands over what waits, and most of what comes meanwhile; how many of it could
    /// not be.
    fn hand_over_waiting<'a>(
        &'a self,
        producer: Option<&BaseProducer<Deliveries>>,
        mut state: MutexGuard<'a, State>,
    ) -> (MutexGuard<'a, State>, usize) {
        let mut failed = 0;
        state.is_handing_over = true;
        for round in 0.. {
            // What is left waits for what is in flight, if anything is.
            let is_enough = round >= ROUNDS && state.in_flight > failed;
            if state.waiting.is_empty() || is_enough {
                break;
            }
            let spare = std::mem::take(&mut state.spare);
            let mut wave = std::mem::replace(&mut state.waiting, spare);
            state.in_flight += wave.len();
            drop(state);
            let mut flying = Vec::with_capacity(wave.len());
            wave.drain(|key, trace, payload, sent| {
                let handed = match producer {
                    Some(producer) => self.hand_over(producer, key, trace, payload, &sent.slot),
                    None => Err(ClientError::Canceled),
                };
                match handed {
                    Ok(()) => flying.push(sent),
                    Err(error) => {
                        sent.slot.settle(Fate::Failed(error));
                        failed += 1;
                    }
                }
            });
            state = self.lock();
            state.spare = wave;
            state.fly(flying);
        }
        state.is_handing_over = false;
        state.open_until = Some(Instant::now() + self.open_for);
        (state, failed)
    }

    /// Those who have waited since `then`, or for longer, and have not been asked for
    /// before.
    fn late(&self, then: Instant) -> Vec<Arc<Slot>> {
        let mut state = self.lock();
        let mut late = Vec::new();
        while let Some(sent) = state.flying.pop_front_if(|sent| sent.is_since(then)) {
            late.push(sent.slot);
        }
        late.extend(state.waiting.newly_late(then));
        late
    }

    /// Whoever waits is told that Kafka did not answer in time: what waits has
    /// waited as long, and must not go before what is tried again.
    pub(super) fn give_up(&self, error: &ClientError) {
        let mut waiting = std::mem::take(&mut self.lock().waiting);
        waiting.drain(|_, _, _, sent| sent.slot.settle(Fate::Failed(error.clone())));
    }
}

#[cfg(test)]
mod tests {
    use std::mem::ManuallyDrop;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rdkafka::ClientConfig;

    use super::*;
    use crate::producer::queue::{MAX_WAITING, MAX_WAITING_BYTES};

    const MESSAGE: [&[u8]; 3] = [b"key", b"", b"payload"];

    /// A client that reaches nobody: what it is handed stays with it, and it must not
    /// say otherwise at its end.
    fn producer() -> ManuallyDrop<BaseProducer<Deliveries>> {
        let config = [("bootstrap.servers", "127.0.0.1:1"), ("log_level", "0")];
        let config: ClientConfig = config.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        ManuallyDrop::new(config.create_with_context(Deliveries::default()).unwrap())
    }

    /// How many are on their way, and how many wait.
    fn stands(lane: &Lane) -> (usize, usize) {
        let state = lane.lock();
        (state.in_flight, state.waiting.len())
    }

    #[test]
    fn one_wave_at_a_time() {
        let (producer, lane) = (producer(), Arc::new(Lane::new("topic", Some(0), Duration::ZERO)));
        let send = |count: usize| {
            (0..count).for_each(|_| drop(lane.send(&producer, MESSAGE, None).unwrap()));
        };
        let stands = || stands(&lane);
        send(1);
        assert_eq!(stands(), (1, 0), "nothing is waited for");
        send(3);
        assert_eq!(stands(), (1, 3));
        lane.done(Some(&producer));
        assert_eq!(stands(), (3, 0), "all that waited go together");
        send(2);
        lane.done(Some(&producer));
        lane.done(Some(&producer));
        assert_eq!(stands(), (1, 2), "of three, one is on its way");
        lane.done(Some(&producer));
        assert_eq!(stands(), (2, 0));
    }

    #[test]
    fn what_comes_at_once_goes_at_once() {
        let (producer, lane) = (producer(), Arc::new(Lane::new("topic", Some(0), Duration::from_secs(60))));
        let send = || drop(lane.send(&producer, MESSAGE, None).unwrap());
        (0..3).for_each(|_| send());
        assert_eq!(stands(&lane), (3, 0));
        // Once one has to wait, none goes before it.
        lane.lock().open_until = None;
        send();
        lane.lock().open_until = Some(Instant::now() + Duration::from_secs(60));
        send();
        assert_eq!(stands(&lane), (3, 2));
        (0..3).for_each(|_| lane.done(Some(&producer)));
        send();
        assert_eq!(stands(&lane), (3, 0), "a wave is open like a first one");
    }

    #[test]
    fn however_they_meet_all_are_handed_over() {
        const SENDERS: usize = 3;
        const EACH: usize = 20_000;
        let (producer, lane) = (producer(), Arc::new(Lane::new("topic", Some(0), Duration::from_micros(20))));
        let (done, until) = (AtomicUsize::new(0), Instant::now() + Duration::from_secs(20));
        std::thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| {
                    (0..EACH).for_each(|_| drop(lane.send(&producer, [b"key", b"", b""], None).unwrap()))
                });
            }
            // Several, so that some are done with while others are handed over.
            for _ in 0..4 {
                scope.spawn(|| {
                    while done.load(Ordering::Relaxed) < SENDERS * EACH {
                        assert!(Instant::now() < until, "{done:?} done, stands {:?}", stands(&lane));
                        let state = lane.lock();
                        if state.in_flight > 0 {
                            done.fetch_add(1, Ordering::Relaxed);
                            lane.end(state, Some(&producer));
                        }
                    }
                });
            }
        });
        assert_eq!(stands(&lane), (0, 0));
        assert!(!lane.lock().is_handing_over);
    }

    #[test]
    fn what_waits_for_what_is_given_up_is_given_up() {
        let (producer, lane) = (producer(), Arc::new(Lane::new("topic", Some(0), Duration::ZERO)));
        let slots = [(); 3].map(|()| lane.send(&producer, MESSAGE, None).unwrap());
        lane.give_up(&ClientError::MessageProduction(RDKafkaErrorCode::MessageTimedOut));
        lane.done(Some(&producer));
        assert_eq!(slots.each_ref().map(|slot| slot.is_known()), [false, true, true]);
        assert_eq!(lane.lock().in_flight, 0);
    }

    #[test]
    fn who_is_not_answered_in_time_is_late() {
        let (producer, lane) = (producer(), Arc::new(Lane::new("topic", Some(0), Duration::ZERO)));
        let began = Instant::now();
        let send = |after_ms: Option<u64>| {
            let since = after_ms.map(|after_ms| began + Duration::from_millis(after_ms));
            lane.send(&producer, MESSAGE, since).unwrap()
        };
        let late = |after_ms| lane.late(began + Duration::from_millis(after_ms)).len();
        // One is on its way, the others wait for it.
        let first = send(Some(0));
        let _others = [Some(1), None, Some(3)].map(send);
        assert_eq!([0, 1, 2, 3].map(late), [1, 1, 0, 1]);
        assert_eq!(late(60_000), 0, "who is late is told once");
        first.settle(Fate::Taken);
        lane.done(Some(&producer));
        let flying = || lane.lock().flying.len();
        assert_eq!([flying(), late(60_000)], [2, 2], "those who wait next have waited already");
        (0..3).for_each(|_| lane.done(Some(&producer)));
        send(Some(4));
        lane.done(Some(&producer));
        assert_eq!([flying(), late(60_000)], [0, 0], "who is done is not late");
    }

    #[test]
    fn what_cannot_be_handed_over_keeps_nobody_waiting() {
        let (producer, lane) = (producer(), Arc::new(Lane::new("topic", Some(0), Duration::ZERO)));
        let huge = vec![b'x'; 2_000_000];
        assert!(lane.send(&producer, [b"key", b"", &huge], None).is_err());
        lane.send(&producer, MESSAGE, None).unwrap();
        let waits = [&huge[..], b"payload"]
            .map(|payload| lane.send(&producer, [b"key", b"", payload], None).unwrap());
        lane.done(Some(&producer));
        assert_eq!(lane.lock().in_flight, 1);
        assert!(waits[0].is_known() && !waits[1].is_known());
        // The producer goes while something waits.
        let last = lane.send(&producer, MESSAGE, None).unwrap();
        lane.done(None);
        assert!(last.is_known());
        assert_eq!(lane.lock().in_flight, 0);
    }

    #[test]
    fn a_lane_is_as_full_as_the_client() {
        let (producer, lane) = (producer(), Arc::new(Lane::new("topic", Some(0), Duration::ZERO)));
        let refused =
            (0..MAX_WAITING + 2).filter(|_| lane.send(&producer, [b"", b"", b""], None).is_err()).count();
        assert_eq!((refused, lane.waiting()), (1, MAX_WAITING));
    }

    #[test]
    fn a_lane_holds_no_more_bytes_than_it_may() {
        let (producer, lane) = (producer(), Arc::new(Lane::new("topic", Some(0), Duration::ZERO)));
        let large = vec![b'x'; 900_000];
        let refused = (0..80).filter(|_| lane.send(&producer, [b"", b"", &large], None).is_err()).count();
        let fit = MAX_WAITING_BYTES.div_ceil(large.len());
        assert_eq!((refused, stands(&lane)), (80 - 1 - fit, (1, fit)));
    }

    #[test]
    fn keys_go_where_librdkafka_puts_them() {
        let lanes = Lanes::new(Duration::ZERO);
        assert_eq!(
            lanes.with("topic", b"a", |lane| lane.partition),
            None,
            "the client chooses while nobody knows"
        );
        lanes.learn("topic", 4);
        // CRC-32, as of its `rd_kafka_msg_partitioner_consistent`.
        for (key, partition) in [("123456789", 0xcbf4_3926_u32 % 4), ("a", 0xe8b7_be43 % 4)] {
            assert_eq!(
                lanes.with("topic", key.as_bytes(), |lane| lane.partition),
                i32::try_from(partition).ok()
            );
        }
    }

    #[test]
    fn lanes_in_use_stay() {
        let (producer, lanes) = (producer(), Lanes::new(Duration::ZERO));
        lanes.with("topic", b"a", |lane| lane.send(&producer, MESSAGE, None)).unwrap();
        lanes.learn("topic", 4);
        assert_eq!(lanes.with("topic", b"a", |lane| lane.partition), None);
        lanes.learn("other", 0);
        assert_eq!(lanes.with("other", b"a", |lane| lane.partition), None);
    }
}
