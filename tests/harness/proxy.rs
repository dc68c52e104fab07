//! Something between a program and a server that breaks at a named point.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// When it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before the server sees the first request with this text in it.
    Before(&'static str),
    /// When the server has seen it, and so many bytes of what comes after.
    Amid(&'static str, usize),
    /// When the server has answered it, before the program hears of it.
    Unanswered(&'static str),
    /// The same of a statement that is prepared first: when it has been executed.
    Executed(&'static str),
}

impl Point {
    fn text(self) -> &'static str {
        match self {
            Self::Before(text) | Self::Amid(text, _) | Self::Unanswered(text) | Self::Executed(text) => text,
        }
    }

    /// Of how many answers the program hears before the one that is lost.
    fn answers_before(self) -> usize {
        usize::from(matches!(self, Self::Executed(_)))
    }
}

/// What happens besides, just before the connection is cut.
type Action = Box<dyn FnOnce() + Send>;
type Trap = Arc<Mutex<Option<(Point, Action)>>>;

/// A proxy before a server. It breaks once for each time it is set.
pub struct Proxy {
    port: u16,
    trap: Trap,
    broken: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts one before the server at `port`.
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
                let (trap, broken) = (Arc::clone(&trap), Arc::clone(&broken));
                tokio::spawn(async move {
                    // Both ends are closed when it returns.
                    if let Ok(Some(action)) = carry(client, server, &trap).await {
                        broken.store(true, Ordering::SeqCst);
                        action();
                    }
                });
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

/// Carries what both sides say until the point comes to break at; gives what to do
/// then, or nothing where a side hung up.
async fn carry(mut client: TcpStream, mut server: TcpStream, trap: &Trap) -> std::io::Result<Option<Action>> {
    let (mut said, mut answer) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    // The end of what was said before: a text may come in two pieces.
    let mut tail: Vec<u8> = Vec::new();
    let mut armed: Option<(Point, Action)> = None;
    let (mut answers, mut seen) = (0, 0);
    loop {
        tokio::select! {
            count = client.read(&mut said) => {
                let count = count?;
                if count == 0 {
                    return Ok(None);
                }
                tail.extend(&said[..count]);
                if armed.is_some() {
                    seen += count;
                } else {
                    let text = String::from_utf8_lossy(&tail);
                    armed = trap.lock().expect("no panic").take_if(|(point, _)| text.contains(point.text()));
                }
                tail.drain(..tail.len().saturating_sub(512));
                match armed.take() {
                    Some((Point::Before(_), action)) => return Ok(Some(action)),
                    other => armed = other,
                }
                server.write_all(&said[..count]).await?;
                match armed.take() {
                    Some((Point::Amid(_, bytes), action)) if seen >= bytes => return Ok(Some(action)),
                    other => armed = other,
                }
            }
            count = server.read(&mut answer) => {
                let count = count?;
                if count == 0 {
                    return Ok(None);
                }
                match armed.take() {
                    Some((point @ (Point::Unanswered(_) | Point::Executed(_)), action)) => {
                        if answers == point.answers_before() {
                            return Ok(Some(action));
                        }
                        answers += 1;
                        armed = Some((point, action));
                    }
                    other => armed = other,
                }
                client.write_all(&answer[..count]).await?;
            }
        }
    }
}
