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
        match self.send_chunk().await {
            Ok((sent, is_all)) => {
                metrics::counter!("tributary_settlement_clawbacks_total").increment(sent);
                // The rest has its turn after the next batches.
                if !is_all && sent > 0 {
                    self.looked_at = None;
                }
            }
            Err(error) => tracing::warn!(%error, "refunds not sent to their campaigns yet; trying again"),
        }
    }

    /// Sends the next refunds; gives how many, and whether that was all.
    async fn send_chunk(&self) -> Result<(u64, bool), StoreError> {
        let unsent = store::refunds::unsent(&self.pool, CHUNK).await?;
        let is_all = (unsent.len() as i64) < CHUNK;
        let mut in_flight = Vec::with_capacity(unsent.len());
        for clawback in unsent {
            let command = Command::Clawback(clawback.clone());
            let payload = serde_json::to_vec(&command).expect("commands are JSON");
            match self.publisher.send(&self.topic, command.key().to_string().as_bytes(), &payload) {
                Ok(pending) => in_flight.push((clawback, pending)),
                Err(error) => {
                    tracing::debug!(%error, "the rest is not sent yet");
                    break;
                }
            }
        }
        let mut sent: Vec<Clawback> = Vec::with_capacity(in_flight.len());
        for (clawback, pending) in in_flight {
            match pending.acknowledged().await {
                Ok(()) => sent.push(clawback),
                Err(error) => {
                    tracing::warn!(%error, "a refund was not sent to its campaign yet; trying again")
                }
            }
        }
        if !sent.is_empty() {
            store::refunds::sent(&self.pool, &sent).await?;
        }
        Ok((sent.len() as u64, is_all))
    }
}
