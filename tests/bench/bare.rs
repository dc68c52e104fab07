//! The limit of the click path: axum answering a 302, and nothing else.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

/// The argument that makes this program such a server.
pub(crate) const MODE: &str = "bare";

/// A bare server in a process of its own, as the collector is; stopped when
/// dropped.
pub(crate) struct Bare {
    child: Child,
    pub(crate) port: u16,
}

impl Bare {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let port = tests::free_port();
        let mut command = Command::new(std::env::current_exe()?);
        command.args([MODE, &port.to_string()]).stdin(Stdio::null());
        let child = command.spawn()?;
        Ok(Self { child, port })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) async fn serve(port: u16) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    axum::serve(listener, Router::new().route("/{code}", get(redirect))).await?;
    Ok(())
}

async fn redirect() -> impl IntoResponse {
    let headers = [(header::LOCATION, "https://shop.example/p?x=1#top"), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::FOUND, headers)
}
