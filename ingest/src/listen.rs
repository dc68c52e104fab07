//! Connections: accepted, bounded in number, and cut off when they dawdle.

mod dawdlers;

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use runtime::shutdown::CancellationToken;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use self::dawdlers::{Dawdlers, Turn};
use crate::server::Front;

/// How connections are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// At a time; more wait to be accepted.
    pub max_connections: usize,
    /// A request's head must be there within this, or a little longer, and so
    /// must the next one on a connection that is kept: its answer has to be taken
    /// by then.
    pub head_within: Duration,
}

/// A request's head is no larger.
const MAX_HEAD_BYTES: usize = 32_768;

/// Serves until `stop` is cancelled; then lets requests in progress end, for at
/// most `drain_within`.
///
/// # Errors
/// When the listener fails for good.
pub(crate) async fn serve(
    listener: TcpListener,
    front: Arc<Front>,
    settings: ConnectionSettings,
    stop: &CancellationToken,
    drain_within: Duration,
) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(settings.max_connections));
    let dawdlers = Arc::new(Dawdlers::new(settings.head_within));
    let watching = Arc::clone(&dawdlers);
    let _watched = AbortOnDropHandle::new(tokio::spawn(async move { watching.watch().await }));
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place.map_err(io::Error::other)?,
        };
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely; it passes.
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let turn = dawdlers.turn();
        let connection = graceful.watch(connection(stream, peer.ip(), Arc::clone(&front), Arc::clone(&turn)));
        let connected = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(place);
        });
        dawdlers.add(turn, connected.abort_handle());
    }
    drop(listener);
    if tokio::time::timeout(drain_within, graceful.shutdown()).await.is_err() {
        tracing::warn!(?drain_within, "requests still in progress were cut off");
    }
    Ok(())
}

fn connection(
    stream: TcpStream,
    peer: IpAddr,
    front: Arc<Front>,
    turn: Arc<Turn>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection cannot be set to answer at once");
    }
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (front, turn) = (Arc::clone(&front), Arc::clone(&turn));
        async move {
            let Some(_ours) = turn.ours() else { return std::future::pending().await };
            let (head, body) = request.into_parts();
            Ok::<_, Infallible>(front.answer(peer, head, body).await)
        }
    });
    // Answers are small: to write one from a single place takes the kernel less time
    // than to gather it.
    let mut http = http1::Builder::new();
    http.max_buf_size(MAX_HEAD_BYTES).writev(false).serve_connection(TokioIo::new(stream), service)
}
