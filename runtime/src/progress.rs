//! How far readers of a topic have come.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::util::Timeout;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::KafkaError;

const TIMEOUT: Timeout = Timeout::After(Duration::from_secs(10));

/// Asks the broker on behalf of a group, without joining it. Blocks.
pub struct Progress {
    client: BaseConsumer,
    brokers: String,
}

impl Progress {
    /// Asks on behalf of `group`.
    ///
    /// # Errors
    /// When the settings are not valid.
    pub fn new(brokers: &str, group: &str) -> Result<Self, KafkaError> {
        let client = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", group)
            .create()
            .map_err(|source| KafkaError::Client { brokers: brokers.to_owned(), source })?;
        Ok(Self { client, brokers: brokers.to_owned() })
    }

    fn failed(&self) -> impl Fn(rdkafka::error::KafkaError) -> KafkaError {
        |source| KafkaError::Client { brokers: self.brokers.clone(), source }
    }

    /// The offset after the last message, by partition.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn end_offsets(&self, topic: &str) -> Result<Vec<(i32, i64)>, KafkaError> {
        let metadata = self.client.fetch_metadata(Some(topic), TIMEOUT).map_err(self.failed())?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        partitions
            .map(|partition| {
                let (_, end) =
                    self.client.fetch_watermarks(topic, partition.id(), TIMEOUT).map_err(self.failed())?;
                Ok((partition.id(), end))
            })
            .collect()
    }

    /// The offsets of a partition's first message and after its last.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn bounds(&self, topic: &str, partition: i32) -> Result<(i64, i64), KafkaError> {
        self.client.fetch_watermarks(topic, partition, TIMEOUT).map_err(self.failed())
    }

    /// The offset of a partition's first message at or after `since_ms`, by
    /// Kafka's own time; none if there is no such message.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn offset_since(
        &self,
        topic: &str,
        partition: i32,
        since_ms: i64,
    ) -> Result<Option<i64>, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(since_ms.max(0)))
            .map_err(self.failed())?;
        let found = self.client.offsets_for_times(list, TIMEOUT).map_err(self.failed())?;
        Ok(found.elements().first().and_then(|element| match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }))
    }

    /// The group's reported positions, by partition; none where it has not
    /// reported yet.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn reported(&self, topic: &str, partitions: &[i32]) -> Result<Vec<(i32, Option<i64>)>, KafkaError> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(topic, *partition);
        }
        let committed = self.client.committed_offsets(list, TIMEOUT).map_err(self.failed())?;
        let position = |offset| match offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Ok(committed.elements().iter().map(|e| (e.partition(), position(e.offset()))).collect())
    }
}
