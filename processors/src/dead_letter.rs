//! Messages that cannot be read are kept, with the reason, on a topic of their
//! own: a processor neither stops for them nor loses them.

use std::time::Duration;

use runtime::consumer::Batch;
use runtime::dead_letter::{Source, letter};
use runtime::producer::Publisher;
use runtime::retry::Backoff;
use runtime::shutdown::CancellationToken;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

/// Where unreadable messages go.
pub(crate) struct DeadLetter {
    pub(crate) publisher: Publisher,
    pub(crate) topic: String,
}

impl DeadLetter {
    /// Reads a batch's messages, with their offsets; those that cannot be read
    /// are kept here. `None` when told to stop before all were kept: the batch must then not
    /// be passed over.
    pub(crate) fn read_batch<T: DeserializeOwned>(
        &self,
        topic: &str,
        batch: &Batch,
        handle: &Handle,
        stop: &CancellationToken,
    ) -> Option<Vec<(i64, T)>> {
        let mut read = Vec::with_capacity(batch.messages.len());
        for message in &batch.messages {
            match serde_json::from_slice(&message.payload) {
                Ok(value) => read.push((message.offset, value)),
                Err(error) => {
                    let source = (topic, batch.partition, message.offset);
                    let reason = error.to_string();
                    if !handle.block_on(self.keep(source, &message.payload, &reason, stop)) {
                        return None;
                    }
                }
            }
        }
        Some(read)
    }

    /// Keeps a message; tries until Kafka has it or `stop` is cancelled, in
    /// which case the message is not passed over. `true` if it was kept.
    async fn keep(
        &self,
        source: (&str, i32, i64),
        payload: &[u8],
        reason: &str,
        stop: &CancellationToken,
    ) -> bool {
        let (topic, partition, offset) = source;
        tracing::warn!(topic, partition, offset, reason, "unreadable message goes to the dead-letter topic");
        metrics::counter!("tributary_dead_letters_total", "topic" => topic.to_owned()).increment(1);
        let letter =
            letter(&Source { topic, partition: Some(partition), offset: Some(offset) }, reason, payload);
        let key = format!("{topic}/{partition}/{offset}");
        let mut backoff = Backoff::default();
        while !stop.is_cancelled() {
            match self.publisher.publish(&self.topic, key.as_bytes(), &letter).await {
                Ok(()) => return true,
                Err(error) => tracing::warn!(%error, "cannot write to the dead-letter topic"),
            }
            let wait: Duration = backoff.next_wait();
            tokio::time::sleep(wait).await;
        }
        false
    }
}
