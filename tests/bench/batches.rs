//! Events in batches of a hundred over `/v1/events`, beside a bare producer of
//! the same messages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::producer::{ProducerSettings, Publisher};
use serde_json::json;

use crate::collecting::{Collecting, IN_MEMORY};
use crate::load::{Load, Until};
use crate::table::Table;

const CONNECTIONS: usize = 32;
const EVENTS: usize = 100;
const ROUND: Duration = Duration::from_secs(5);
/// About as large as an event of the batches on Kafka.
const MESSAGE_BYTES: usize = 600;

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    println!("batches: {EVENTS} events a request …");
    let collecting = Collecting::start(IN_MEMORY).await?;
    let bare = produced(&collecting).await?;
    table.limit("rdkafka alone, 100 messages at a time", bare, format!("{CONNECTIONS} senders"));
    let load = Load {
        port: collecting.stack.ports.collector,
        connections: CONNECTIONS,
        requests: Arc::new(requests(&collecting.key)),
        expected: "HTTP/1.1 200",
        per_second: None,
        until: Until::Over(ROUND),
    };
    load.run().await?;
    let measured = load.run().await?;
    let events = measured.per_second * EVENTS as f64;
    table.figure("events in batches of 100, acknowledged by Kafka", events, bare, measured.percentiles());
    Ok(())
}

/// Messages a second that a producer has acknowledged.
async fn produced(collecting: &Collecting) -> anyhow::Result<f64> {
    let publisher = Publisher::new(&collecting.stack.brokers(), ProducerSettings::default())?;
    let topic = collecting.stack.topics().events;
    let started = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for sender in 0..CONNECTIONS {
        let (publisher, topic) = (publisher.clone(), topic.clone());
        running.spawn(async move {
            let (payload, mut count) = (vec![b'x'; MESSAGE_BYTES], 0_usize);
            while started.elapsed() < ROUND {
                let mut pending = Vec::with_capacity(EVENTS);
                for number in 0..EVENTS {
                    let key = format!("{:032}", sender * EVENTS + number);
                    pending.push(publisher.send(&topic, key.as_bytes(), &payload)?);
                }
                for delivery in pending {
                    delivery.acknowledged().await?;
                }
                count += EVENTS;
            }
            anyhow::Ok(count)
        });
    }
    let mut count = 0;
    while let Some(ended) = running.join_next().await {
        count += ended??;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// Batches as a shop's server sends them, of a thousand visitors.
fn requests(key: &str) -> Vec<Vec<u8>> {
    (0..100)
        .map(|batch| {
            let event = |number: usize| {
                let visitor = format!("visitor-{:08}", (batch * EVENTS + number) % 1_000);
                json!({ "type": "track", "name": "added_to_basket", "visitor_id": visitor, "user_id": visitor,
                    "properties": { "sku": format!("sku-{number}"), "quantity": number % 5, "page": "/basket" } })
            };
            let body = serde_json::Value::from((0..EVENTS).map(event).collect::<Vec<_>>()).to_string();
            format!(
                "POST /v1/events HTTP/1.1\r\nHost: go.example\r\nAuthorization: Bearer {key}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        })
        .collect()
}
