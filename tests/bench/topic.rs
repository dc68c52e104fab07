//! A topic of events to measure with: filling it, and reading it.

use std::time::{Duration, Instant};

use domain::event::Event;
use runtime::consumer::BatchLimits;
use runtime::producer::{ProducerSettings, Publisher};
use runtime::topics::{TopicSettings, Topics};
use tests::{Stack, reader};

/// Publishes `count` events, by visitor, to four partitions.
pub(crate) async fn fill(
    stack: &Stack,
    topics: &Topics,
    count: u64,
    event: impl Fn(u64) -> Event,
) -> anyhow::Result<()> {
    let settings = TopicSettings { partitions: 4, replication: 1, retention: Duration::from_secs(86_400) };
    runtime::topics::ensure(&stack.brokers(), topics, settings).await?;
    let publisher = Publisher::new(&stack.brokers(), ProducerSettings::default())?;
    let mut pending = Vec::new();
    for number in 0..count {
        let event = event(number);
        let key = event.visitor.to_string();
        pending.push(publisher.send(&topics.events, key.as_bytes(), &serde_json::to_vec(&event)?)?);
        if pending.len() == 20_000 || number + 1 == count {
            for delivery in pending.drain(..) {
                delivery.acknowledged().await?;
            }
        }
    }
    Ok(())
}

/// Messages a second that a consumer gets, does this with, and drops.
pub(crate) async fn read(
    stack: &Stack,
    topic: String,
    count: u64,
    limits: BatchLimits,
    each: impl Fn(&[u8]) -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<f64> {
    let consumer = reader(&stack.brokers(), &topic)?;
    let reading = tokio::task::spawn_blocking(move || {
        let (mut done, mut first) = (0, None);
        while done < count {
            for batch in consumer.poll(Duration::from_millis(100), limits)? {
                batch.messages.iter().try_for_each(|message| each(&message.payload))?;
                done += batch.messages.len() as u64;
                first.get_or_insert((Instant::now(), done));
            }
        }
        let (since, before) = first.expect("there were messages");
        anyhow::Ok((count - before) as f64 / since.elapsed().as_secs_f64())
    });
    reading.await?
}
