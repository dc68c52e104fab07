//! Messages that wait for their lane.

use std::sync::Arc;
use std::time::Instant;

use super::delivery::Slot;

/// No more wait in one lane; librdkafka's own queue holds twice as many, of all.
pub(super) const MAX_WAITING: usize = 100_000;
/// Nor more than so many bytes of them, and one message.
pub(super) const MAX_WAITING_BYTES: usize = 64 << 20;
/// Room that is kept for the texts of those who wait next, and as much for their
/// lengths, in each of a lane's two queues: a few hundred clicks'.
const KEPT_BYTES: usize = 128 << 10;

/// Messages that wait, their texts one after the other: mostly, one who sends asks
/// for no memory for them, and the thread that hands them over gives none back.
#[derive(Default)]
pub(super) struct Queue {
    texts: Vec<u8>,
    messages: Vec<Message>,
    /// Of the first so many it is known that they are late.
    late: usize,
}

/// Who waits for a message, and since when, if only so long.
pub(super) struct Sent {
    pub(super) since: Option<Instant>,
    pub(super) slot: Arc<Slot>,
}

impl Sent {
    /// Whether whoever waits has done so since then, or for longer.
    pub(super) fn is_since(&self, then: Instant) -> bool {
        self.since.is_some_and(|since| since <= then)
    }
}

/// How long its texts are, and who waits for it.
struct Message {
    key: usize,
    trace: usize,
    payload: usize,
    sent: Sent,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.messages.len() >= MAX_WAITING || self.texts.len() >= MAX_WAITING_BYTES
    }

    pub(super) fn push(&mut self, key: &[u8], trace: &[u8], payload: &[u8], sent: Sent) {
        for text in [key, trace, payload] {
            self.texts.extend_from_slice(text);
        }
        self.messages.push(Message { key: key.len(), trace: trace.len(), payload: payload.len(), sent });
    }

    /// Those who have waited since `then`, or for longer, and were not told of before.
    pub(super) fn newly_late(&mut self, then: Instant) -> impl Iterator<Item = Arc<Slot>> {
        let began = self.late;
        let is_early = |message: &Message| message.sent.since.is_some() && !message.sent.is_since(then);
        let late = self.messages[began..].iter().position(is_early);
        self.late = late.map_or(self.messages.len(), |late| began + late);
        let late = self.messages[began..self.late].iter().map(|message| &message.sent);
        late.filter(|sent| sent.since.is_some()).map(|sent| Arc::clone(&sent.slot))
    }

    /// Takes all out: key, trace and payload of each, and who waits for it.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&[u8], &[u8], &[u8], Sent)) {
        let mut texts = &self.texts[..];
        self.late = 0;
        for Message { key, trace, payload, sent } in self.messages.drain(..) {
            let [key, trace, payload] =
                [key, trace, payload].map(|length| texts.split_off(..length).expect("it was put there"));
            each(key, trace, payload, sent);
        }
        self.texts.clear();
        self.texts.shrink_to(KEPT_BYTES);
        self.messages.shrink_to(KEPT_BYTES / size_of::<Message>());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sent(since: Option<Instant>) -> Sent {
        Sent { since, slot: Arc::default() }
    }

    #[test]
    fn who_is_late_is_told_of_once() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let after = |ms| now + Duration::from_millis(ms);
        for since in [Some(0), None, Some(2), Some(4)] {
            queue.push(b"", b"", b"", sent(since.map(after)));
        }
        let mut late = |ms| queue.newly_late(after(ms)).count();
        assert_eq!([0, 1, 2, 3, 4, 5].map(&mut late), [1, 0, 1, 0, 1, 0]);
        queue.drain(|_, _, _, _| ());
        queue.push(b"", b"", b"", sent(Some(now)));
        assert_eq!(queue.newly_late(now).count(), 1, "nor are others taken for them");
    }

    #[test]
    fn what_waits_goes_as_it_came() {
        let texts = [("key", "", "payload"), ("", "trace", ""), ("", "", ""), ("k", "t", "p")];
        let mut queue = Queue::default();
        for _again in 0..2 {
            for (key, trace, payload) in texts {
                queue.push(key.as_bytes(), trace.as_bytes(), payload.as_bytes(), sent(None));
            }
            let mut came = Vec::new();
            queue.drain(|key, trace, payload, _sent| came.push([key, trace, payload].map(<[u8]>::to_vec)));
            let went =
                texts.map(|(key, trace, payload)| [key, trace, payload].map(|text| text.as_bytes().to_vec()));
            assert_eq!(came, went);
        }
        // The room for them is kept, but not that of a rush.
        queue.push(b"", b"", &vec![b'x'; 3 * KEPT_BYTES], sent(None));
        queue.drain(|_, _, _, _| ());
        assert!((1..=KEPT_BYTES).contains(&queue.texts.capacity()));
    }
}
