//! Keeps connections busy with requests written out beforehand, and reads no
//! more of an answer than it must: the generator shares the cores with what it
//! measures.

use std::net::Ipv4Addr;
use std::sync::Arc;
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
    pub(crate) duration: Duration,
}

/// What came of it.
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) latency_us: Histogram<u64>,
}

impl Measured {
    pub(crate) fn percentiles(&self) -> String {
        let ms = |quantile: f64| self.latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
        format!("p50 {:.1} ms, p99 {:.1} ms", ms(0.5), ms(0.99))
    }
}

impl Load {
    /// Runs the load: each connection sends its next request when it has the
    /// answer to the one before.
    pub(crate) async fn run(&self) -> anyhow::Result<Measured> {
        let started = Instant::now();
        let mut running = tokio::task::JoinSet::new();
        for connection in 0..self.connections {
            let load = self.clone();
            running.spawn(async move { load.keep_busy(connection, started + load.duration).await });
        }
        let mut latency_us = Histogram::new(3)?;
        while let Some(ended) = running.join_next().await {
            latency_us.add(ended??)?;
        }
        let per_second = latency_us.len() as f64 / started.elapsed().as_secs_f64();
        Ok(Measured { per_second, latency_us })
    }

    async fn keep_busy(&self, connection: usize, until: Instant) -> anyhow::Result<Histogram<u64>> {
        let mut stream = connect(self.port).await?;
        stream.set_nodelay(true)?;
        let mut latency_us = Histogram::new(3)?;
        let mut answer = Vec::with_capacity(4_096);
        let mut next = connection;
        while Instant::now() < until {
            let request = &self.requests[next % self.requests.len()];
            next += self.connections;
            let sent = Instant::now();
            stream.write_all(request).await?;
            read_answer(&mut stream, &mut answer).await?;
            latency_us.record(u64::try_from(sent.elapsed().as_micros())?)?;
            let as_expected = answer.starts_with(self.expected.as_bytes());
            ensure!(as_expected, "unexpected answer: {}", String::from_utf8_lossy(&answer));
        }
        Ok(latency_us)
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
