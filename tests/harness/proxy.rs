//! Something between a program and Postgres that breaks at a named point.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// When it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before Postgres sees the first statement with this text in it.
    Before(&'static str),
    /// When Postgres has answered it, before the program hears of it.
    Unanswered(&'static str),
}

impl Point {
    fn text(self) -> &'static str {
        match self {
            Self::Before(text) | Self::Unanswered(text) => text,
        }
    }
}

/// What happens besides, just before the connection is cut.
type Action = Box<dyn FnOnce() + Send>;

/// A proxy before a Postgres. It breaks once for each time it is set.
pub struct Proxy {
    port: u16,
    trap: Arc<Mutex<Option<(Point, Action)>>>,
    broken: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts one before the Postgres at `port`.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let proxy =
            Self { port: listener.local_addr()?.port(), trap: Arc::default(), broken: Arc::default() };
        let (trap, broken) = (Arc::clone(&proxy.trap), Arc::clone(&proxy.broken));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                let Ok(server) = TcpStream::connect(server).await else { continue };
                tokio::spawn(carry(client, server, Arc::clone(&trap), Arc::clone(&broken)));
            }
        });
        Ok(proxy)
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks at `point`, the next time it comes, and does `action` then.
    pub fn break_at(&self, point: Point, action: impl FnOnce() + Send + 'static) {
        self.broken.store(false, Ordering::SeqCst);
        *self.trap.lock().expect("no panic") = Some((point, Box::new(action)));
    }

    /// Whether it broke since.
    #[must_use]
    pub fn has_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }
}

/// Carries a connection's messages until one is the point to break at.
async fn carry(
    client: TcpStream,
    server: TcpStream,
    trap: Arc<Mutex<Option<(Point, Action)>>>,
    broken: Arc<AtomicBool>,
) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let swallow = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(tokio::sync::Notify::new());
    let answers = tokio::spawn(answer(from_server, to_client, Arc::clone(&swallow), Arc::clone(&answered)));
    let action = ask(from_client, to_server, &trap, &swallow, &answered).await;
    if let Some(action) = action {
        broken.store(true, Ordering::SeqCst);
        action();
    }
    answers.abort();
}

/// Carries what the server says, or swallows it.
async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    swallow: Arc<AtomicBool>,
    answered: Arc<tokio::sync::Notify>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if swallow.load(Ordering::SeqCst) {
            answered.notify_one();
        } else if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Carries what the client asks; gives what to do where it is to break.
async fn ask(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    trap: &Mutex<Option<(Point, Action)>>,
    swallow: &AtomicBool,
    answered: &tokio::sync::Notify,
) -> Option<Action> {
    const ENCRYPTION: [u8; 4] = 80_877_103_u32.to_be_bytes();
    // Requests for encryption, and the start, have a length and no type.
    let mut is_started = false;
    let mut unanswered: Option<Action> = None;
    loop {
        let (kind, body) = tokio::select! {
            () = answered.notified(), if unanswered.is_some() => return unanswered,
            // One that is cut off in the middle is of no more use.
            message = read(&mut from, is_started) => message?,
        };
        is_started |= !body.starts_with(&ENCRYPTION);
        let is_statement = matches!(kind, Some(b'P' | b'Q'));
        let text = String::from_utf8_lossy(&body);
        let armed =
            trap.lock().expect("no panic").take_if(|(point, _)| is_statement && text.contains(point.text()));
        match armed {
            Some((Point::Before(_), action)) => return Some(action),
            Some((Point::Unanswered(_), action)) => {
                swallow.store(true, Ordering::SeqCst);
                unanswered = Some(action);
            }
            None => {}
        }
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend((body.len() as u32 + 4).to_be_bytes());
        message.extend(body);
        to.write_all(&message).await.ok()?;
    }
}

/// The next message's type, if it has one, and what it says.
async fn read(from: &mut OwnedReadHalf, is_started: bool) -> Option<(Option<u8>, Vec<u8>)> {
    let kind = if is_started { Some(from.read_u8().await.ok()?) } else { None };
    let length = from.read_u32().await.ok()?;
    let mut body = vec![0; usize::try_from(length).ok()?.checked_sub(4)?];
    from.read_exact(&mut body).await.ok()?;
    Some((kind, body))
}
