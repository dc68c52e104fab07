//! The limits of the click path: axum answering a 302 and nothing else, and
//! axum answering it after Kafka's acknowledgement of a message as large as a
//! click.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use runtime::producer::{ProducerSettings, Publisher};
use tokio::net::TcpListener;

use crate::running::Running;

/// The argument that makes this program such a server.
pub(crate) const MODE: &str = "bare";
/// As the collector does, so that messages are gathered by partition.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// A click on Kafka, without its key.
pub(crate) const MESSAGE_BYTES: usize = 611;

/// A bare server in a process of its own, as the collector is; stopped when
/// dropped.
pub(crate) struct Bare {
    _process: Running,
    pub(crate) port: u16,
}

impl Bare {
    /// One that only answers.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// One that publishes first.
    pub(crate) fn start_publishing(brokers: &str, topic: &str) -> anyhow::Result<Self> {
        Self::start_with(&[brokers, topic])
    }

    fn start_with(arguments: &[&str]) -> anyhow::Result<Self> {
        let port = tests::free_port();
        let mut command = Command::new(std::env::current_exe()?);
        let process = Running::start(command.args([MODE, &port.to_string()]).args(arguments))?;
        Ok(Self { _process: process, port })
    }
}

/// Serves; `arguments` are the port, and a broker and a topic if it is to
/// publish.
pub(crate) async fn serve(arguments: &[String]) -> anyhow::Result<()> {
    let (port, router) = match arguments {
        [port] => (port, Router::new().route("/{code}", get(redirect))),
        [port, brokers, topic] => {
            let publisher = Publisher::new(brokers, ProducerSettings::default())?;
            ensure!(publisher.connect(topic, CONNECT_WITHIN), "Kafka does not answer");
            let publishing = Arc::new((publisher, topic.clone()));
            (port, Router::new().route("/{code}", get(publish)).with_state(publishing))
        }
        _ => bail!("{MODE} PORT [BROKERS TOPIC]"),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?)).await?;
    axum::serve(listener, router).await?;
    Ok(())
}

async fn publish(
    State(publishing): State<Arc<(Publisher, String)>>,
) -> Result<impl IntoResponse, StatusCode> {
    let (publisher, topic) = &*publishing;
    let key = runtime::random::hex_id();
    match publisher.publish(topic, key.as_bytes(), &[b'x'; MESSAGE_BYTES]).await {
        Ok(()) => Ok(redirect().await),
        Err(_not_taken) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

async fn redirect() -> impl IntoResponse {
    let headers = [(header::LOCATION, "https://shop.example/p?x=1#top"), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::FOUND, headers)
}
