//! Keeps connections busy with requests written out beforehand, and reads no
//! more of an answer than it must: the generator shares the cores with what it
//! measures.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A load on one port of this machine.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) port: u16,
    pub(crate) connections: usize,
    /// What is sent, in turn.
    pub(crate) requests: Arc<Vec<Vec<u8>>>,
    /// What every answer begins with.
    pub(crate) expected: &'static str,
    /// Requests a second; none: as many as are answered.
    pub(crate) per_second: Option<f64>,
    pub(crate) until: Until,
}

/// When a load ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Over(Duration),
    /// After so many requests.
    Sent(u64),
}

/// When each of several senders is to send next, so that together they send so
/// many a second. Latency counts from when it was to be sent.
pub(crate) struct Pace {
    next: tokio::time::Instant,
    every: Duration,
}

impl Pace {
    pub(crate) fn new(per_second: f64, sender: usize, senders: usize) -> Self {
        let every = Duration::from_secs_f64(senders as f64 / per_second);
        let first = every.mul_f64(sender as f64 / senders as f64);
        Self { next: tokio::time::Instant::now() + first, every }
    }

    /// Waits for the next turn; gives when it was due.
    pub(crate) async fn turn(&mut self) -> Instant {
        let due = self.next;
        tokio::time::sleep_until(due).await;
        self.next += self.every;
        due.into_std()
    }
}

/// What came of it.
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) latency_us: Histogram<u64>,
}

impl Measured {
    pub(crate) fn percentiles(&self) -> String {
        format!("p50 {:.1} ms, p99 {:.1} ms", self.quantile_ms(0.5), self.quantile_ms(0.99))
    }

    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latency_us.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

impl Load {
    /// Runs the load: each connection sends its next request when it has the
    /// answer to the one before.
    pub(crate) async fn run(&self) -> anyhow::Result<Measured> {
        let started = Instant::now();
        let mut running = tokio::task::JoinSet::new();
        let left = Arc::new(AtomicU64::new(match self.until {
            Until::Sent(requests) => requests,
            Until::Over(_) => u64::MAX,
        }));
        for connection in 0..self.connections {
            let (load, left) = (self.clone(), Arc::clone(&left));
            running.spawn(async move { load.keep_busy(connection, started, &left).await });
        }
        let mut latency_us = Histogram::new(3)?;
        while let Some(ended) = running.join_next().await {
            latency_us.add(ended??)?;
        }
        let per_second = latency_us.len() as f64 / started.elapsed().as_secs_f64();
        Ok(Measured { per_second, latency_us })
    }

    async fn keep_busy(
        &self,
        connection: usize,
        started: Instant,
        left: &AtomicU64,
    ) -> anyhow::Result<Histogram<u64>> {
        let mut stream = connect(self.port).await?;
        stream.set_nodelay(true)?;
        let mut latency_us = Histogram::new(3)?;
        let mut answer = Vec::with_capacity(4_096);
        let mut next = connection;
        let mut pace = self.per_second.map(|rate| Pace::new(rate, connection, self.connections));
        loop {
            let sent = match &mut pace {
                Some(pace) => pace.turn().await,
                None => Instant::now(),
            };
            let is_over = match self.until {
                Until::Over(duration) => sent >= started + duration,
                Until::Sent(_) => left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err(),
            };
            if is_over {
                return Ok(latency_us);
            }
            let request = &self.requests[next % self.requests.len()];
            next += self.connections;
            stream.write_all(request).await?;
            read_answer(&mut stream, &mut answer).await?;
            latency_us.record(u64::try_from(sent.elapsed().as_micros())?)?;
            let as_expected = answer.starts_with(self.expected.as_bytes());
            ensure!(as_expected, "unexpected answer: {}", String::from_utf8_lossy(&answer));
        }
    }
}

/// Connects, as soon as somebody listens.
async fn connect(port: u16) -> anyhow::Result<TcpStream> {
    for _ in 0..100 {
        if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            return Ok(stream);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?)
}

/// Reads one answer with a content length, or with none.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<()> {
    answer.clear();
    loop {
        ensure!(stream.read_buf(answer).await? > 0, "the connection was closed");
        let Some(end) = find(answer, b"\r\n\r\n") else { continue };
        let length = content_length(&answer[..end])?;
        while answer.len() < end + 4 + length {
            ensure!(stream.read_buf(answer).await? > 0, "the connection was closed");
        }
        return Ok(());
    }
}

fn content_length(head: &[u8]) -> anyhow::Result<usize> {
    const NAME: &[u8] = b"content-length: ";
    let Some(at) = find(head, NAME) else { return Ok(0) };
    let digits = head[at + NAME.len()..].split(|byte| *byte == b'\r').next().unwrap_or_default();
    std::str::from_utf8(digits)?.parse().context("a content length")
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
