//! A cluster of ClickHouse servers, as far as one embedded engine can be one.
//!
//! All of its shards are the engine itself, and so each row of two shards is there twice for
//! whoever asks both: what asks for a workspace's rows, and not its shard only, counts them
//! twice, and a test sees it. The engine has neither a queue of statements for all
//! servers nor replicas; a proxy before it carries out at once what is for all, and makes
//! plain tables of replicated ones. That the engine understands the statements as they
//! were sent is looked at first.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::{die_with_test, free_port, program};

/// What the cluster is called.
pub(crate) const CLUSTER: &str = "main";
const ON_CLUSTER: &str = " ON CLUSTER `main`";
/// A statement is read up to here.
const MAX_STATEMENT_BYTES: usize = 1 << 24;
const START_WITHIN: Duration = Duration::from_secs(60);

/// The engine and the proxy; both end with it.
pub(crate) struct Cluster {
    engine: Child,
    port: u16,
    /// The proxy's thread ends when this is gone.
    _running: tokio::sync::oneshot::Sender<()>,
}

impl Cluster {
    /// Starts one of one shard or two, with its data in `directory`.
    pub(crate) fn start(directory: &Path, shards: usize) -> anyhow::Result<Self> {
        let (inside, between) = (free_port(), free_port());
        let config = directory.join("tributary/config.d");
        std::fs::create_dir_all(&config)?;
        // Two names of one server: it knows itself under both.
        let shard =
            |host| format!("<shard><replica><host>{host}</host><port>{between}</port></replica></shard>");
        let all: String = ["127.0.0.1", "localhost"].into_iter().take(shards).map(shard).collect();
        let text = format!(
            "<clickhouse><tcp_port>{between}</tcp_port>\
             <remote_servers><{CLUSTER}>{all}</{CLUSTER}></remote_servers></clickhouse>"
        );
        std::fs::write(config.join("cluster.xml"), text)?;
        let mut command = Command::new(program());
        command.args(["engine", "clickhouse", "--port", &inside.to_string(), "--data"]).arg(directory);
        // It ends when its input does.
        command.args(["--readers-databases", "tributary_bi_"]).stdin(Stdio::piped());
        die_with_test(&mut command);
        let engine = command.spawn().context("cannot start tributary")?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (running, ended) = tokio::sync::oneshot::channel::<()>();
        // Of its own: a test that waits for a program blocks its runtime's threads.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || runtime.block_on(serve(listener, inside, ended)));
        let mut cluster = Self { engine, port, _running: running };
        let started = Instant::now();
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, inside)).is_err() {
            if started.elapsed() > START_WITHIN || cluster.engine.try_wait()?.is_some() {
                bail!("the engine did not start");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(cluster)
    }

    /// Where to ask.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.engine.kill().ok();
        self.engine.wait().ok();
    }
}

/// Whether a statement makes or changes what every server has to have.
fn is_for_all(statement: &str) -> bool {
    let mut lines = statement.lines().filter(|line| !line.starts_with("--") && !line.trim().is_empty());
    let first = lines.next().and_then(|line| line.split_whitespace().next());
    first.is_some_and(|word| ["CREATE", "ALTER", "DROP", "EXCHANGE", "GRANT"].contains(&word))
}

/// Whether it is about the tables that tests say nothing of.
fn is_ours(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "database" && ["tributary", "tributary_shard"].contains(&&*value))
}

struct Engine {
    client: Client<HttpConnector, Body>,
    port: u16,
}

async fn serve(listener: std::net::TcpListener, port: u16, ended: tokio::sync::oneshot::Receiver<()>) {
    let engine = Arc::new(Engine { client: Client::builder(TokioExecutor::new()).build_http(), port });
    let router = axum::Router::new().fallback(carry).with_state(engine);
    let listener = tokio::net::TcpListener::from_std(listener).expect("it does not block");
    tokio::select! {
        served = axum::serve(listener, router) => served.expect("it serves"),
        _ = ended => {}
    }
}

async fn carry(State(engine): State<Arc<Engine>>, request: Request) -> Response {
    match engine.carry(request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

impl Engine {
    async fn carry(&self, request: Request) -> anyhow::Result<Response> {
        let (mut head, mut body) = request.into_parts();
        let asked = head.uri.query().unwrap_or_default().to_owned();
        // Rows follow where the statement stands in the address.
        if !form_urlencoded::parse(asked.as_bytes()).any(|(name, _)| name == "query") {
            let text = axum::body::to_bytes(body, MAX_STATEMENT_BYTES).await?;
            let text = match std::str::from_utf8(&text) {
                Ok(text) if is_for_all(text) && !text.contains(ON_CLUSTER) && is_ours(&asked) => {
                    bail!("{text}\nis for every server, and does not say so");
                }
                Ok(text) if text.contains(ON_CLUSTER) => {
                    self.understand(text).await?;
                    Bytes::from(text.replace(ON_CLUSTER, "").replace("ENGINE = Replicated", "ENGINE = "))
                }
                _ => text,
            };
            head.headers.insert("content-length", text.len().into());
            head.headers.remove("transfer-encoding");
            body = Body::from(text);
        }
        head.uri = self.uri(&asked)?;
        let answer = self.client.request(Request::from_parts(head, body)).await?;
        Ok(answer.map(Body::new))
    }

    fn uri(&self, query: &str) -> anyhow::Result<Uri> {
        Ok(format!("http://127.0.0.1:{}/?{query}", self.port).parse()?)
    }

    /// Fails if the engine cannot read a statement.
    async fn understand(&self, statement: &str) -> anyhow::Result<()> {
        let quoted = statement.replace('\\', "\\\\").replace('\'', "\\'");
        let question = format!("SELECT formatQuery('{quoted}')");
        let request = Request::post(self.uri("")?).body(Body::from(question))?;
        let answer = self.client.request(request).await?;
        if !answer.status().is_success() {
            let told = axum::body::to_bytes(Body::new(answer.into_body()), MAX_STATEMENT_BYTES).await?;
            bail!("{statement}\nis not understood: {}", String::from_utf8_lossy(&told));
        }
        Ok(())
    }
}
