//! Sends refunds whose sale is settled to the sale's campaign. They stand in
//! Postgres until Kafka has them; one that is sent twice is a repeat.

use std::time::{Duration, Instant};

use domain::command::Command;
use domain::refund::Clawback;
use runtime::producer::Publisher;
use store::{Pool, StoreError};

/// This many at once.
const CHUNK: i64 = 500;
/// Others' refunds, and what a crash left behind, are looked for this often.
const EVERY: Duration = Duration::from_secs(1);

pub(super) struct Clawbacks {
    pool: Pool,
    publisher: Publisher,
    topic: String,
    looked_at: Option<Instant>,
}

impl Clawbacks {
    pub(super) fn new(pool: Pool, publisher: Publisher, topic: String) -> Self {
        Self { pool, publisher, topic, looked_at: None }
    }

    /// There are `count` more to send.
    pub(super) fn expect(&mut self, count: usize) {
        if count > 0 {
            self.looked_at = None;
        }
    }

    /// Sends what is to be sent, if it is time to look. What fails is tried
    /// again.
    pub(super) async fn send(&mut self) {
        if self.looked_at.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.looked_at = Some(Instant::now());
        loop {
            match self.send_chunk().await {
                Ok(0) => return,
                Ok(count) => metrics::counter!("tributary_settlement_clawbacks_total").increment(count),
                Err(error) => {
                    tracing::warn!(%error, "refunds not sent to their campaigns yet; trying again");
                    return;
                }
            }
        }
    }

    async fn send_chunk(&self) -> Result<u64, StoreError> {
        let unsent = store::refunds::unsent(&self.pool, CHUNK).await?;
        let mut sent: Vec<Clawback> = Vec::new();
        for clawback in unsent {
            let command = Command::Clawback(clawback.clone());
            let payload = serde_json::to_vec(&command).expect("commands are JSON");
            let key = command.key().to_string();
            if let Err(error) = self.publisher.publish(&self.topic, key.as_bytes(), &payload).await {
                tracing::warn!(%error, "a refund was not sent to its campaign yet; trying again");
                break;
            }
            sent.push(clawback);
        }
        if !sent.is_empty() {
            store::refunds::sent(&self.pool, &sent).await?;
        }
        Ok(sent.len() as u64)
    }
}
