//! Answers to costly questions, kept for seconds: a dashboard asks the same for everybody
//! who looks at it, panel by panel. What is asked while it is being answered already waits
//! for that answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, AGE, AUTHORIZATION, CACHE_CONTROL};
use axum::http::{HeaderValue, Method, Response as HttpResponse, response};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use moka::future::Cache;
use sha2::{Digest, Sha256};

use crate::server::App;

/// What took less is asked anew each time.
const COSTLY: Duration = Duration::from_millis(100);
/// All that is kept, in bytes.
const CAPACITY_BYTES: u64 = 64 << 20;
/// No single answer takes more of it.
const LARGEST_BYTES: usize = 8 << 20;

/// Who asked what: no secret stands in it.
type Question = [u8; 32];

/// The answers that are kept.
pub(crate) struct KeptAnswers(Option<Cache<Question, Arc<Answer>>>);

struct Answer {
    parts: response::Parts,
    body: Bytes,
    since: Instant,
}

impl KeptAnswers {
    /// Keeps them for so long; nothing, if that is 0.
    pub(crate) fn new(kept_for: Duration) -> Self {
        let cache = Cache::builder()
            .time_to_live(kept_for)
            .max_capacity(CAPACITY_BYTES)
            .weigher(|_, answer: &Arc<Answer>| u32::try_from(answer.body.len()).unwrap_or(u32::MAX));
        Self((!kept_for.is_zero()).then(|| cache.build()))
    }

    async fn forget(&self, question: &Question) {
        if let Some(cache) = &self.0 {
            cache.invalidate(question).await;
        }
    }

    /// The answer that is kept or on its way, or else what `answering` gives.
    async fn answer(&self, question: Question, answering: impl Future<Output = Response> + Send) -> Response {
        let Some(cache) = &self.0 else { return answering.await };
        let is_fresh = AtomicBool::new(false);
        let answering = async {
            let since = Instant::now();
            let answer = Answer::read(answering.await, since).await;
            is_fresh.store(true, Ordering::Relaxed);
            let is_kept = answer.parts.status.is_success() && answer.body.len() <= LARGEST_BYTES;
            // Whoever waited for one that is not kept gets it all the same.
            if is_kept && since.elapsed() >= COSTLY { Ok(Arc::new(answer)) } else { Err(answer) }
        };
        match cache.try_get_with(question, answering).await {
            Ok(answer) | Err(answer) => answer.told(is_fresh.into_inner()),
        }
    }
}

impl Answer {
    /// What is told at the end is of about when it was asked for.
    async fn read(response: Response, since: Instant) -> Self {
        let (parts, body) = response.into_parts();
        match to_bytes(body, usize::MAX).await {
            Ok(body) => Self { parts, body, since },
            Err(error) => {
                tracing::warn!(%error, "an answer broke off");
                let (parts, _) = axum::http::StatusCode::BAD_GATEWAY.into_response().into_parts();
                Self { parts, body: Bytes::new(), since }
            }
        }
    }

    fn told(&self, is_fresh: bool) -> Response {
        let mut response = HttpResponse::from_parts(self.parts.clone(), Body::from(self.body.clone()));
        let age_s = self.since.elapsed().as_secs();
        // Of one that is told at once there is nothing to say.
        if age_s > 0 && !is_fresh {
            response.headers_mut().insert(AGE, HeaderValue::from(age_s));
        }
        response
    }
}

/// Who asks, for what, in which form.
fn question(request: &Request) -> Question {
    let mut hash = Sha256::new();
    for name in [AUTHORIZATION, ACCEPT] {
        let value = request.headers().get(name).map_or(&[][..], HeaderValue::as_bytes);
        hash.update((value.len() as u64).to_be_bytes());
        hash.update(value);
    }
    hash.update(request.uri().to_string());
    hash.finalize().into()
}

fn asks_anew(request: &Request) -> bool {
    let control = request.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok());
    control.is_some_and(|control| control.contains("no-cache"))
}

/// Keeps what is answered from here on.
pub(crate) async fn keep(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let question = question(&request);
    if asks_anew(&request) {
        let answer = next.run(request).await;
        // Or else an older one would be told after this.
        app.kept_answers.forget(&question).await;
        return answer;
    }
    app.kept_answers.answer(question, next.run(request)).await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use axum::http::StatusCode;

    use super::*;

    struct Asked {
        answers: KeptAnswers,
        count: AtomicU32,
    }

    impl Asked {
        /// Asks for what takes `cost`; how often that was answered until now, as the answer says.
        async fn ask(&self, question: u8, cost: Duration, status: StatusCode) -> String {
            let answering = async {
                tokio::time::sleep(cost).await;
                let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
                (status, count.to_string()).into_response()
            };
            let answer = self.answers.answer([question; 32], answering).await;
            assert_eq!(answer.status(), status);
            let body = to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
            String::from_utf8(body.to_vec()).expect("a number")
        }
    }

    const SLOW: Duration = Duration::from_millis(150);
    const FAST: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn costly_answers_are_kept() {
        let asked = |kept_for| Asked { answers: KeptAnswers::new(kept_for), count: AtomicU32::new(0) };
        let (ok, failed) = (StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR);
        for (kept_for_ms, cost, status, first, second) in [
            (60_000, SLOW, ok, "1", "1"),
            (60_000, FAST, ok, "1", "2"),
            (60_000, SLOW, failed, "1", "2"),
            (0, SLOW, ok, "1", "2"),
        ] {
            let asked = asked(Duration::from_millis(kept_for_ms));
            assert_eq!(asked.ask(1, cost, status).await, first);
            assert_eq!(asked.ask(1, cost, status).await, second, "{kept_for_ms} {cost:?} {status}");
        }
        let asked = asked(Duration::from_millis(300));
        // Side by side, somebody else's, and when its time is over.
        let (a, b) = tokio::join!(asked.ask(1, SLOW, ok), asked.ask(1, SLOW, ok));
        assert_eq!((a, b), ("1".to_owned(), "1".to_owned()));
        assert_eq!(asked.ask(2, SLOW, ok).await, "2");
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(asked.ask(1, SLOW, ok).await, "3");
    }

    #[test]
    fn whoever_asks_for_something_else_asks_anew() {
        let request = |token: &str, uri: &str| {
            Request::builder().uri(uri).header(AUTHORIZATION, token).body(Body::empty()).expect("a request")
        };
        let one = question(&request("Bearer a", "/v1/reports/pages?limit=1"));
        assert_eq!(one, question(&request("Bearer a", "/v1/reports/pages?limit=1")));
        for (token, uri) in [
            ("Bearer b", "/v1/reports/pages?limit=1"),
            ("Bearer a", "/v1/reports/pages?limit=10"),
            ("Bearer a", "/v1/reports/sessions?limit=1"),
        ] {
            assert_ne!(one, question(&request(token, uri)), "{token} {uri}");
        }
    }
}
