//! Connections: accepted, bounded in number, and cut off when they dawdle.

mod dawdlers;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use runtime::shutdown::CancellationToken;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

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
    let (connections, ending) = (TaskTracker::new(), Arc::new(Ending::default()));
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
        let (front, ending, its_turn) = (Arc::clone(&front), Arc::clone(&ending), Arc::clone(&turn));
        let connected = connections.spawn(async move {
            if let Err(error) = connection(stream, peer.ip(), front, its_turn, &ending).await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(place);
        });
        dawdlers.add(turn, connected.abort_handle());
    }
    drop(listener);
    ending.begin();
    connections.close();
    if tokio::time::timeout(drain_within, connections.wait()).await.is_err() {
        tracing::warn!(?drain_within, "requests still in progress were cut off");
    }
    Ok(())
}

/// Whether connections are to end after the request they are at.
#[derive(Default)]
struct Ending {
    has_begun: AtomicBool,
    begun: CancellationToken,
}

impl Ending {
    fn begin(&self) {
        self.has_begun.store(true, Ordering::Release);
        self.begun.cancel();
    }

    /// Runs a connection until it ends; `end` is called once it should.
    ///
    /// As often as a connection is polled, the token would take a lock that all of them
    /// share, twice a click. It is asked once, which is enough to be woken by it.
    async fn run<C: Future>(&self, mut connection: Pin<&mut C>, end: impl Fn(Pin<&mut C>)) -> C::Output {
        let mut begun = pin!(self.begun.cancelled());
        let (mut is_awaited, mut is_ending) = (false, false);
        poll_fn(|context| {
            let is_to_ask = !is_awaited || self.has_begun.load(Ordering::Acquire);
            if !is_ending && is_to_ask {
                is_awaited = true;
                is_ending = begun.as_mut().poll(context).is_ready();
                if is_ending {
                    end(connection.as_mut());
                }
            }
            connection.as_mut().poll(context)
        })
        .await
    }
}

async fn connection(
    stream: TcpStream,
    peer: IpAddr,
    front: Arc<Front>,
    turn: Arc<Turn>,
    ending: &Ending,
) -> hyper::Result<()> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection cannot be set to answer at once");
    }
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (front, turn) = (&front, &turn);
        async move {
            let Some(_ours) = turn.ours() else { return std::future::pending().await };
            let (head, body) = request.into_parts();
            Ok::<_, Infallible>(front.answer(peer, head, body).await)
        }
    });
    // Answers are small: to write one from a single place takes the kernel less time
    // than to gather it.
    let mut http = http1::Builder::new();
    http.max_buf_size(MAX_HEAD_BYTES).writev(false);
    let connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    ending.run(connection, |connection| connection.graceful_shutdown()).await
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use tokio::sync::Notify;

    use super::*;

    /// Ends as soon as it is told to.
    struct Idle(bool);

    impl Future for Idle {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<()> {
            if self.0 { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    #[tokio::test]
    async fn who_is_idle_hears_of_the_end() {
        let ending = Arc::new(Ending::default());
        let run = |ending: Arc<Ending>| {
            tokio::spawn(async move { ending.run(pin!(Idle(false)), |mut idle| idle.0 = true).await })
        };
        let before = run(Arc::clone(&ending));
        tokio::task::yield_now().await;
        assert!(!before.is_finished());
        ending.begin();
        let after = run(ending);
        for connection in [before, after] {
            tokio::time::timeout(Duration::from_secs(10), connection).await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn who_is_busy_is_told_once_and_goes_on() {
        let (ending, woken) = (Ending::default(), Notify::new());
        let told = std::cell::Cell::new(0);
        let busy = pin!(async {
            for _round in 0..5 {
                woken.notified().await;
            }
        });
        let wake = async {
            for round in 0..5 {
                if round == 2 {
                    ending.begin();
                }
                woken.notify_one();
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(ending.run(busy, |_| told.set(told.get() + 1)), wake);
        assert_eq!(told.get(), 1);
    }
}
