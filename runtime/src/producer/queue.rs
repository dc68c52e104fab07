//! Messages that wait for their lane.

use std::sync::Arc;

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
}

/// How long its texts are, and who waits for it.
struct Message {
    key: usize,
    trace: usize,
    payload: usize,
    slot: Arc<Slot>,
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

    pub(super) fn push(&mut self, key: &[u8], trace: &[u8], payload: &[u8], slot: Arc<Slot>) {
        for text in [key, trace, payload] {
            self.texts.extend_from_slice(text);
        }
        self.messages.push(Message { key: key.len(), trace: trace.len(), payload: payload.len(), slot });
    }

    /// Takes all out: key, trace and payload of each, and who waits for it.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&[u8], &[u8], &[u8], Arc<Slot>)) {
        let mut texts = &self.texts[..];
        for Message { key, trace, payload, slot } in self.messages.drain(..) {
            let [key, trace, payload] =
                [key, trace, payload].map(|length| texts.split_off(..length).expect("it was put there"));
            each(key, trace, payload, slot);
        }
        self.texts.clear();
        self.texts.shrink_to(KEPT_BYTES);
        self.messages.shrink_to(KEPT_BYTES / size_of::<Message>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_goes_as_it_came() {
        let texts = [("key", "", "payload"), ("", "trace", ""), ("", "", ""), ("k", "t", "p")];
        let mut queue = Queue::default();
        for _again in 0..2 {
            for (key, trace, payload) in texts {
                let slot = Arc::default();
                queue.push(key.as_bytes(), trace.as_bytes(), payload.as_bytes(), slot);
            }
            let mut came = Vec::new();
            queue.drain(|key, trace, payload, _slot| came.push([key, trace, payload].map(<[u8]>::to_vec)));
            let went =
                texts.map(|(key, trace, payload)| [key, trace, payload].map(|text| text.as_bytes().to_vec()));
            assert_eq!(came, went);
        }
        // The room for them is kept, but not that of a rush.
        queue.push(b"", b"", &vec![b'x'; 3 * KEPT_BYTES], Arc::default());
        queue.drain(|_, _, _, _| ());
        assert!((1..=KEPT_BYTES).contains(&queue.texts.capacity()));
    }
}
