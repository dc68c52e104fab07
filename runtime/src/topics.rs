//! The topics, and making sure that they are there.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use crate::KafkaError;

/// The names of the topics, with one prefix for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Everything the collector takes, keyed by visitor.
    pub events: String,
    /// Everything that may move money, keyed by campaign.
    pub credits: String,
    /// What could not be processed, with the reason.
    pub dead_letter: String,
}

impl Topics {
    /// The names under `prefix`, which may be empty.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self {
            events: format!("{prefix}events"),
            credits: format!("{prefix}credits"),
            dead_letter: format!("{prefix}dead-letter"),
        }
    }
}

/// How topics are made where they are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// Partitions of `events` and `credits`. Fixed for their life: state and
    /// offsets are kept by partition.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication: i32,
    /// How long `events` are kept; must cover the attribution window, lateness
    /// and parking.
    pub retention: Duration,
}

/// Makes the topics that are missing, and refuses others' partition counts.
///
/// # Errors
/// When the broker does not answer, refuses, or has a topic with another
/// number of partitions.
pub async fn ensure(brokers: &str, topics: &Topics, settings: TopicSettings) -> Result<(), KafkaError> {
    let client = |source| KafkaError::Client { brokers: brokers.to_owned(), source };
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().map_err(client)?;
    let retention_ms = settings.retention.as_millis().to_string();
    let wanted = [
        (&topics.events, settings.partitions),
        (&topics.credits, settings.partitions),
        (&topics.dead_letter, 1),
    ];
    let new: Vec<NewTopic<'_>> = wanted
        .iter()
        .map(|(topic, partitions)| {
            NewTopic::new(topic, *partitions, TopicReplication::Fixed(settings.replication))
                .set("retention.ms", &retention_ms)
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(15)));
    for result in admin.create_topics(&new, &options).await.map_err(client)? {
        match result {
            Ok(topic) => tracing::info!(topic, "topic created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(KafkaError::Topic { topic, message: code.to_string() }),
        }
    }
    check_partitions(&admin, brokers, &wanted).await
}

/// Makes the broker forget consumer groups that nobody is in. Positions are not
/// kept there, so nothing is lost; a member that was killed is not waited for.
///
/// # Errors
/// When the client cannot be made. A group that cannot be forgotten is left.
pub async fn forget_groups(brokers: &str, groups: &[String]) -> Result<(), KafkaError> {
    let client = |source| KafkaError::Client { brokers: brokers.to_owned(), source };
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().map_err(client)?;
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(5)));
    for result in admin.delete_groups(&groups, &options).await.map_err(client)? {
        if let Err((group, code)) = result {
            tracing::debug!(group, %code, "group not forgotten");
        }
    }
    Ok(())
}

async fn check_partitions(
    admin: &AdminClient<DefaultClientContext>,
    brokers: &str,
    wanted: &[(&String, i32)],
) -> Result<(), KafkaError> {
    for (topic, expected) in wanted {
        // A new topic takes a moment to show up.
        for attempt in 0.. {
            let metadata = admin
                .inner()
                .fetch_metadata(Some(topic), Duration::from_secs(5))
                .map_err(|source| KafkaError::Client { brokers: brokers.to_owned(), source })?;
            let found = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
            if i32::try_from(found) == Ok(*expected) {
                break;
            }
            if found != 0 || attempt == 50 {
                let message = format!(
                    "has {found} partitions, the settings say {expected}; state is kept by \
                     partition, so set --partitions {found} or start with new topics"
                );
                return Err(KafkaError::Topic { topic: (*topic).clone(), message });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}
