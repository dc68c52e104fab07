//! Taking events: from native JSON, from Segment's clients, from browsers.
//!
//! | module | takes |
//! |---|---|
//! | [`native`] | `/v1/events`, `/v1/conversions`, `/v1/sales`, `/v1/refunds` |
//! | [`segment`] | Segment's HTTP tracking API |
//! | [`browser`] | `/t.js`, `/p.gif` |
//! | [`erasure`] | `DELETE /v1/visitors/{id}` |
//! | [`webhook`] | Stripe's and Shopify's webhooks |
//! | [`body`] | bodies, with their limits |
//! | [`sender`] | who sends, and what a sender may |

pub(crate) mod body;
pub(crate) mod browser;
pub(crate) mod erasure;
pub(crate) mod native;
pub(crate) mod segment;
pub(crate) mod sender;
pub(crate) mod webhook;

use std::collections::HashMap;

use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use domain::event::Event;
use domain::ids::EventId;
use domain::refusal::Refusal;
use serde::Serialize;
use serde_json::Value;

use crate::error::ApiError;
use crate::limits::TooMuch;
use crate::outbox::NotRecorded;
use crate::seen::{Seen, SeenIds};
use crate::server::{App, record};
use crate::spool::Record;

/// An id or an amount of somebody else's JSON, where it may be text or a number.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What became of one event of a request.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct EventResult {
    index: usize,
    pub(crate) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// In a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// It is recorded.
    Accepted,
    /// It was recorded before.
    Duplicate,
    /// It never will be, as it is.
    Invalid,
    /// It is too large.
    TooLarge,
    /// The sender has sent too much; the same event may be taken later.
    RateLimited,
    /// It is not recorded; the same event may be taken later.
    Unavailable,
}

impl Status {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The reason of an event whose id is another's.
pub(crate) const ID_CLASH: &str = "id_clash";

/// An event that was read, and whether its id was the sender's choice.
pub(crate) struct Taken {
    pub(crate) event: Event,
    pub(crate) named: bool,
}

/// Why an event was not taken.
#[derive(Clone, Debug)]
pub(crate) enum NotTaken {
    /// It never will be, as it is.
    Refused(Refusal),
    /// Its sender has sent too much.
    TooMuch(TooMuch),
}

impl From<Refusal> for NotTaken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NotTaken> for ApiError {
    fn from(not_taken: NotTaken) -> Self {
        match not_taken {
            NotTaken::Refused(refusal) => refusal.into(),
            NotTaken::TooMuch(too_much) => Self::too_much(too_much, "this key sends too much"),
        }
    }
}

/// The status of an answer to several events. If one may be taken later the
/// sender is told to send all again; those that were taken are then repeats.
pub(crate) fn status_of(results: &[EventResult]) -> StatusCode {
    let any = |status: Status| results.iter().any(|result| result.status == status);
    let recorded = any(Status::Accepted) || any(Status::Duplicate);
    if any(Status::Unavailable) {
        StatusCode::SERVICE_UNAVAILABLE
    } else if any(Status::RateLimited) {
        StatusCode::TOO_MANY_REQUESTS
    } else if recorded || results.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    }
}

/// The answer to several events.
pub(crate) fn answer_with(status: StatusCode, body: impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

/// What is to be done with the events of one request.
struct Sorted<'a> {
    /// One for each event, as if all that is new could be recorded.
    results: Vec<EventResult>,
    /// The new ones, with their places.
    new: Vec<(usize, &'a Taken)>,
    /// Those whose id is another's.
    clashes: Vec<&'a Taken>,
    /// Places of repeats of an event further up, and that one's.
    repeats: Vec<(usize, usize)>,
}

/// Tells what is new from what was there before. Ids are remembered only when
/// their events are durable, so an event is compared with those above it as
/// well.
fn sort<'a>(ids: &SeenIds, taken: &'a [Result<Taken, NotTaken>]) -> Sorted<'a> {
    let results = Vec::with_capacity(taken.len());
    let mut sorted = Sorted { results, new: Vec::new(), clashes: Vec::new(), repeats: Vec::new() };
    let mut above: HashMap<EventId, (usize, &Event)> = HashMap::new();
    for (index, taken) in taken.iter().enumerate() {
        let result = match taken {
            Err(NotTaken::Refused(refusal)) => refused(refusal),
            Err(NotTaken::TooMuch(_)) => {
                let message = "this key sends too much; send it again later, with the same id".to_owned();
                EventResult::because(Status::RateLimited, "rate_limited", message)
            }
            Ok(taken) => {
                let first = above.get(&taken.event.id);
                let seen = match first {
                    Some((_, first)) if first.payload_hash == taken.event.payload_hash => Seen::Repeat,
                    Some(_) => Seen::Clash,
                    None => ids.look(taken),
                };
                match seen {
                    Seen::New => {
                        if taken.named {
                            above.insert(taken.event.id, (index, &taken.event));
                        }
                        sorted.new.push((index, taken));
                        EventResult::of(Status::Accepted)
                    }
                    Seen::Repeat => {
                        sorted.repeats.extend(first.map(|(first, _)| (index, *first)));
                        EventResult::of(Status::Duplicate)
                    }
                    Seen::Clash => {
                        sorted.clashes.push(taken);
                        let message = "another event has this id; it is kept on the dead-letter topic";
                        EventResult::because(Status::Invalid, ID_CLASH, message.to_owned())
                    }
                }
            }
        };
        let event_id = taken.as_ref().ok().map(|taken| taken.event.id);
        sorted.results.push(EventResult { index, event_id, ..result });
    }
    sorted
}

/// Makes what can be durable; one result for each, in their order.
pub(crate) async fn record_taken(
    app: &App,
    headers: &HeaderMap,
    taken: &[Result<Taken, NotTaken>],
) -> Vec<EventResult> {
    let Sorted { mut results, new, clashes, repeats } = sort(&app.seen, taken);
    if !clashes.is_empty() {
        let clashes: Vec<Record> = clashes.into_iter().map(|taken| record(&taken.event, headers)).collect();
        app.outbox.quarantine(&clashes, ID_CLASH).await;
    }
    if !new.is_empty() {
        let records: Vec<Record> = new.iter().map(|(_, taken)| record(&taken.event, headers)).collect();
        for ((index, taken), recorded) in new.into_iter().zip(app.outbox.record_all(&records).await) {
            match recorded {
                Ok(()) => app.seen.remember(taken),
                Err(error) => {
                    let event_id = Some(taken.event.id);
                    results[index] = EventResult { index, event_id, ..not_recorded(&error) };
                }
            }
        }
    }
    // What could not be recorded further up is no duplicate here.
    for (index, first) in repeats {
        if results[first].status != Status::Accepted {
            results[index] = EventResult { index, ..results[first].clone() };
        }
    }
    count(&results);
    results
}

/// Counts results, each sort of them at once: to look a counter up costs as much
/// as to read a small event.
fn count(results: &[EventResult]) {
    let mut counts: HashMap<(&'static str, &'static str), u64> = HashMap::new();
    for result in results {
        *counts.entry((result.status.code(), result.reason.unwrap_or("none"))).or_default() += 1;
    }
    for ((status, reason), count) in counts {
        metrics::counter!("tributary_ingest_events_total", "status" => status, "reason" => reason)
            .increment(count);
    }
}

impl EventResult {
    fn of(status: Status) -> Self {
        Self { index: 0, status, event_id: None, reason: None, message: None }
    }

    fn because(status: Status, reason: &'static str, message: String) -> Self {
        Self { reason: Some(reason), message: Some(message), ..Self::of(status) }
    }
}

fn refused(refusal: &Refusal) -> EventResult {
    let status = match refusal {
        Refusal::TooLarge { .. } => Status::TooLarge,
        _ => Status::Invalid,
    };
    EventResult::because(status, refusal.code(), refusal.to_string())
}

fn not_recorded(error: &NotRecorded) -> EventResult {
    match error {
        NotRecorded::Refused(message) => {
            EventResult::because(Status::Invalid, "refused_by_kafka", message.clone())
        }
        NotRecorded::Spool(error) => {
            let message =
                format!("not recorded: Kafka does not answer, and {error}; send it again, with the same id");
            EventResult::because(Status::Unavailable, "not_durable", message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answers_status_says_whether_to_send_again() {
        use Status::{Accepted, Duplicate, Invalid, RateLimited, TooLarge, Unavailable};
        for (statuses, expected) in [
            (vec![], 200),
            (vec![Accepted], 200),
            (vec![Duplicate], 200),
            (vec![Invalid], 400),
            (vec![TooLarge, Invalid], 400),
            (vec![Accepted, Invalid], 200),
            (vec![Accepted, RateLimited], 429),
            (vec![Accepted, RateLimited, Unavailable], 503),
        ] {
            let results: Vec<EventResult> = statuses.iter().map(|status| EventResult::of(*status)).collect();
            assert_eq!(status_of(&results).as_u16(), expected, "{statuses:?}");
        }
    }
}
