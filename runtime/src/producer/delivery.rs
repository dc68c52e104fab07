//! What became of a message, from the thread that hears it of Kafka's client to
//! the task that waits for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::producer::{BaseProducer, DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::lane::{Lane, Lanes};

/// Kafka's client is asked for news this long at a time, and so long a stop may
/// take. Shorter would be busier: the last millisecond of each time it does not sleep.
const ASK_FOR: Duration = Duration::from_millis(100);
/// How often it is looked for what is late, at most and at least.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Kafka has it.
    Taken,
    /// It will not be tried again.
    Failed(ClientError),
    /// Kafka has not said in time; it goes on being tried.
    Late,
}

/// Where a message's fate is left for who waits for it. The first one counts.
#[derive(Default)]
pub(super) struct Slot {
    waiting: Mutex<Waiting>,
    /// Whose messages wait until this one is done with.
    lane: Option<Arc<Lane>>,
}

#[derive(Default)]
struct Waiting {
    fate: Option<Fate>,
    is_known: bool,
    waker: Option<Waker>,
}

impl Slot {
    pub(super) fn of(lane: Arc<Lane>) -> Self {
        Self { lane: Some(lane), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no panic while held")
    }

    pub(super) fn settle(&self, fate: Fate) {
        let mut waiting = self.lock();
        if waiting.is_known {
            return;
        }
        waiting.is_known = true;
        waiting.fate = Some(fate);
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    #[cfg(test)]
    pub(super) fn is_known(&self) -> bool {
        self.lock().is_known
    }
}

/// Waits for a message's fate.
pub(super) struct Delivery(pub(super) Arc<Slot>);

impl Future for Delivery {
    type Output = Fate;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Fate> {
        let mut waiting = self.0.lock();
        if let Some(fate) = waiting.fate.take() {
            return Poll::Ready(fate);
        }
        match &mut waiting.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

/// Leaves what Kafka's client hears in the messages' slots, and hands over what
/// waited for it.
#[derive(Default)]
pub(super) struct Deliveries(pub(super) OnceLock<Weak<BaseProducer<Deliveries>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Slot>;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Arc<Slot>) {
        slot.settle(match result {
            Ok(_) => Fate::Taken,
            Err((error, _)) => Fate::Failed(error.clone()),
        });
        if let Some(lane) = &slot.lane {
            if let Err((error, _)) = result
                && error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut)
            {
                lane.give_up(error);
            }
            lane.done(self.0.get().and_then(Weak::upgrade).as_deref());
        }
    }
}

/// The threads that ask Kafka's client for news, and look for what is late, until
/// this is dropped.
pub(super) struct Polling {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Polling {
    pub(super) fn start(
        producer: Arc<BaseProducer<Deliveries>>,
        lanes: Arc<Lanes>,
        late_after: Option<Duration>,
    ) -> std::io::Result<Self> {
        let mut polling = Self { stop: Arc::default(), threads: Vec::new() };
        polling.repeat("producer", move || producer.poll(ASK_FOR))?;
        if let Some(late_after) = late_after {
            // Late is what is later by this at most. One look for many costs less than a
            // timer for each.
            let every = (late_after / 10).clamp(LOOK_EVERY.0, LOOK_EVERY.1);
            polling.repeat("late", move || {
                std::thread::sleep(every);
                if let Some(then) = Instant::now().checked_sub(late_after) {
                    lanes.tell_late(then);
                }
            })?;
        }
        Ok(polling)
    }

    fn repeat(&mut self, name: &str, mut each: impl FnMut() + Send + 'static) -> std::io::Result<()> {
        let stop = Arc::clone(&self.stop);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                each();
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It has nothing to say; if it panicked, that was said.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate_of(slot: &Arc<Slot>) -> Poll<Fate> {
        let mut delivery = Delivery(Arc::clone(slot));
        Pin::new(&mut delivery).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn the_first_fate_counts_and_is_told_once() {
        let slot = Arc::new(Slot::default());
        assert_eq!(fate_of(&slot), Poll::Pending);
        slot.settle(Fate::Late);
        slot.settle(Fate::Taken);
        assert_eq!(fate_of(&slot), Poll::Ready(Fate::Late));
        assert_eq!(fate_of(&slot), Poll::Pending);
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let slot = Arc::new(Slot::default());
        let waiting = tokio::spawn(Delivery(Arc::clone(&slot)));
        tokio::task::yield_now().await;
        std::thread::spawn(move || slot.settle(Fate::Taken)).join().unwrap();
        assert_eq!(waiting.await.unwrap(), Fate::Taken);
    }
}
