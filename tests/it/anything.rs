//! Whatever strangers send to whichever address, they get an answer that says
//! what is wrong; nothing makes the collector panic or answer with a 500.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::Context as _;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use serde_json::{Value, json};
use tests::{Stack, World, hmac_sha256};

/// Requests of each kind.
const CASES: u32 = 4_000;
const STRIPE_SECRET: &str = "whsec_0123456789";
const SHOPIFY_SECRET: &str = "shopify_0123456789";

/// Where requests go to, and what makes some of them be taken.
#[derive(Clone)]
struct Target {
    port: u16,
    key: String,
    code: String,
}

#[derive(Clone)]
struct Request {
    method: String,
    path: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// An answer, as far as it is looked at.
struct Answer {
    status: u16,
    is_json: bool,
    body: Vec<u8>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes()))
    }
}

impl Request {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.method.as_bytes(), b" ", &self.path, b" HTTP/1.1\r\nhost: x\r\n"].concat();
        bytes.extend_from_slice(b"connection: close\r\n");
        for (name, value) in &self.headers {
            bytes.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Sends bytes as they are, and reads what comes back until the end. What may
/// be no whole request is followed by an end, or more of it would be waited for.
fn exchange(port: u16, bytes: &[u8], is_request: bool) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    // An answer may come before all is sent.
    let sent = stream.write_all(bytes);
    if !is_request {
        stream.shutdown(Shutdown::Write).ok();
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        // Closed with something unread, after an answer or without one.
        Err(error)
            if error.kind() == std::io::ErrorKind::ConnectionReset && (!is_request || !answer.is_empty()) => {
        }
        Err(error) => return Err(error).with_context(|| format!("no answer; sent: {sent:?}")),
    }
    Ok(answer)
}

fn parse(answer: &[u8]) -> anyhow::Result<Answer> {
    let mut reader = BufReader::new(answer);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).with_context(|| format!("no status: {line:?}"))?.parse()?;
    let (mut is_json, mut is_chunked) = (false, false);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.trim().to_ascii_lowercase();
        is_json |= header.starts_with("content-type: application/json");
        is_chunked |= header.starts_with("transfer-encoding: chunked");
        if header.is_empty() {
            break;
        }
    }
    anyhow::ensure!(!is_chunked, "answers have a length");
    let mut body = Vec::new();
    reader.read_to_end(&mut body)?;
    Ok(Answer { status, is_json, body })
}

/// Whether an answer is one that this request may get.
fn check(request: &Request, answer: &Answer) -> Result<(), String> {
    let body = String::from_utf8_lossy(&answer.body);
    if !(200..500).contains(&answer.status) {
        return Err(format!("answered with {}: {body}", answer.status));
    }
    if request.method == "HEAD" || answer.status < 400 && !answer.is_json {
        return Ok(());
    }
    let json: Value = serde_json::from_slice(&answer.body)
        .map_err(|error| format!("{} without JSON: {body:?}: {error}", answer.status))?;
    let says_why = |error: &Value| {
        [&error["reason"], &error["message"]]
            .iter()
            .all(|text| text.as_str().is_some_and(|text| !text.is_empty()))
    };
    let results = json["results"].as_array();
    let each = results.is_some_and(|results| {
        results.iter().all(|result| {
            result["status"] == "accepted" || result["status"] == "duplicate" || says_why(result)
        })
    });
    match answer.status {
        _ if results.is_some() => each.then_some(()),
        ..400 => Some(()),
        _ => says_why(&json["error"]).then_some(()).or_else(|| says_why(&json["result"]).then_some(())),
    }
    .ok_or_else(|| format!("{} does not say why: {body}", answer.status))
}

/// Bytes that may stand in a request's target.
fn target_byte() -> impl Strategy<Value = u8> {
    // Others are no HTTP, and get an answer without a body.
    let may_stand =
        |byte: &u8| !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
    prop_oneof![4 => (0x21..0x7F_u8).prop_filter("no URI", may_stand), 1 => Just(b'%'), 1 => Just(b'/')]
}

/// Bytes that may stand in a header.
fn header_byte() -> impl Strategy<Value = u8> {
    prop_oneof![6 => 0x20..0x7F_u8, 1 => 0x80..=0xFF_u8, 1 => Just(b'\t')]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 30, 6, |inner| {
        let name = prop_oneof![field(), ".{0,8}".prop_map(|name| name)];
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((name, inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Names that mean something somewhere.
fn field() -> impl Strategy<Value = String> {
    let names = [
        "type",
        "id",
        "timestamp",
        "sent_at",
        "visitor_id",
        "user_id",
        "tcid",
        "url",
        "name",
        "goal",
        "order_id",
        "refund_id",
        "value",
        "items",
        "properties",
        "amount_minor",
        "currency",
        "sku",
        "quantity",
        "unit_price_minor",
        "ip",
        "user_agent",
        "batch",
        "anonymousId",
        "userId",
        "messageId",
        "event",
        "context",
        "traits",
        "writeKey",
        "sentAt",
        "data",
        "object",
        "created",
        "payment_status",
        "metadata",
        "amount_total",
        "line_items",
        "total_price",
        "transactions",
        "price",
        "kind",
        "status",
        "amount",
        "products",
        "total",
    ];
    proptest::sample::select(names.to_vec()).prop_map(ToOwned::to_owned)
}

/// A good event with one of its fields changed.
fn nearly_good() -> impl Strategy<Value = Value> {
    let kinds = ["page", "track", "identify", "conversion", "sale", "refund"];
    (proptest::sample::select(kinds.to_vec()), field(), any_json(), any::<bool>()).prop_map(
        |(kind, name, value, leave)| {
            let mut event = json!({ "type": kind, "visitor_id": "v", "user_id": "u", "url": "https://x.example/",
                "name": "n", "goal": "g", "order_id": "o", "refund_id": "r",
                "value": { "amount_minor": 1, "currency": "USD" }, "messageId": "m", "event": "Order Completed" });
            if !leave {
                event[name] = value;
            }
            event
        },
    )
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let text = |value: Value| value.to_string().into_bytes();
    prop_oneof![
        vec(any::<u8>(), 0..300),
        any_json().prop_map(text),
        nearly_good().prop_map(text),
        vec(nearly_good(), 0..5).prop_map(move |events| json!({ "batch": events }).to_string().into_bytes()),
        vec(nearly_good(), 0..5).prop_map(move |events| text(Value::from(events))),
        vec(nearly_good(), 0..5).prop_map(|events| {
            events.iter().map(|event| format!("{event}\n")).collect::<String>().into_bytes()
        }),
    ]
}

fn any_headers() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let names = [
        "user-agent",
        "cookie",
        "referer",
        "x-forwarded-for",
        "traceparent",
        "sec-purpose",
        "dnt",
        "accept",
        "idempotency-key",
        "content-type",
        "origin",
        "stripe-signature",
        "x-shopify-topic",
        "range",
        "accept-encoding",
        "if-none-match",
    ];
    let any = (proptest::sample::select(names.to_vec()), vec(header_byte(), 0..60))
        .prop_map(|(name, value)| (name.to_owned(), value));
    let encodings = ["gzip", "zstd", "identity", "br", "gzip, gzip", "deflate"];
    let encoding = proptest::sample::select(encodings.to_vec())
        .prop_map(|encoding| ("content-encoding".to_owned(), encoding.as_bytes().to_vec()));
    let topic = proptest::sample::select(vec!["orders/paid", "refunds/create", "orders/create"])
        .prop_map(|topic| ("x-shopify-topic".to_owned(), topic.as_bytes().to_vec()));
    vec(prop_oneof![8 => any, 1 => encoding, 1 => topic], 0..6)
}

fn any_path(code: String) -> impl Strategy<Value = Vec<u8>> {
    let paths = [
        "/v1/events",
        "/v1/conversions",
        "/v1/sales",
        "/v1/refunds",
        "/v1/track",
        "/v1/page",
        "/v1/identify",
        "/v1/batch",
        "/v1/visitors/",
        "/webhooks/stripe/anything",
        "/webhooks/shopify/anything",
        "/webhooks/stripe/",
        "/t.js",
        "/p.gif",
        "/healthz",
        "/readyz",
        "/metrics",
        "/",
        "/v1/",
    ];
    let known = proptest::sample::select(paths.map(ToOwned::to_owned).to_vec());
    let path = prop_oneof![4 => known, 1 => Just(format!("/{code}"))];
    let rest = prop_oneof![2 => Just(Vec::new()), 1 => vec(target_byte(), 0..40)];
    (path, any::<bool>(), rest).prop_map(|(path, is_query, rest)| {
        let joint: &[u8] = if is_query { b"?" } else { b"" };
        [path.as_bytes(), joint, &rest].concat()
    })
}

/// Signs as the provider would, so that the body is looked at.
fn signed(request: &mut Request) {
    let path = String::from_utf8_lossy(&request.path).into_owned();
    if path.starts_with("/webhooks/stripe/") {
        let seconds = runtime::clock::now_ms() / 1_000;
        let text = [format!("{seconds}.").as_bytes(), &request.body].concat();
        let signature = format!("t={seconds},v1={}", hmac_sha256(STRIPE_SECRET.as_bytes(), &text));
        request.headers.push(("stripe-signature".to_owned(), signature.into_bytes()));
    }
}

fn any_request(target: &Target) -> impl Strategy<Value = Request> + use<> {
    let authorization = format!("Bearer {}", target.key);
    let keys = [authorization, "Bearer nonsense".to_owned(), "Basic %%%".to_owned()];
    let key = proptest::sample::select(keys.to_vec());
    let methods = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"];
    let method = prop_oneof![3 => Just("POST"), 1 => proptest::sample::select(methods.to_vec())];
    let parts = (method, any_path(target.code.clone()), any_headers(), key, any_body());
    parts.prop_map(|(method, path, mut headers, key, body)| {
        headers.push(("authorization".to_owned(), key.into_bytes()));
        let mut request = Request { method: method.to_owned(), path, headers, body };
        signed(&mut request);
        request
    })
}

fn run<T: std::fmt::Debug>(
    inputs: &impl Strategy<Value = T>,
    test: impl Fn(T) -> Result<(), String>,
) -> anyhow::Result<()> {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    match runner.run(inputs, |input| test(input).map_err(TestCaseError::fail)) {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, input)) => anyhow::bail!("{reason}\n{input:#?}"),
        Err(error) => anyhow::bail!("{error}"),
    }
}

fn answered(target: &Target, request: &Request) -> Result<(), String> {
    let answer = exchange(target.port, &request.bytes(), true).and_then(|answer| parse(&answer));
    check(request, &answer.map_err(|error| format!("{error:#}"))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn anything_gets_an_answer() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "anything").await?;
    for (provider, secret) in [("stripe", STRIPE_SECRET), ("shopify", SHOPIFY_SECRET)] {
        world.replace("/v1/webhooks", &json!({ "provider": provider, "secret": secret })).await?;
    }
    let code = world.campaign("click", 5, 1_000_000).await?.code;
    let target = Target { port: stack.ports.collector, key: world.key.clone(), code };
    tokio::task::spawn_blocking(move || {
        run(&any_request(&target), |request| answered(&target, &request))?;
        // No HTTP at all: an answer or a closed connection, never a silence.
        run(&vec(any::<u8>(), 1..400), |bytes| {
            let bytes = [&bytes[..], b"\r\n\r\n"].concat();
            let answer = exchange(target.port, &bytes, false).map_err(|error| format!("{error:#}"))?;
            match parse(&answer) {
                Ok(answer) if answer.status >= 500 => Err(format!("answered with {}", answer.status)),
                _ => Ok(()),
            }
        })
    })
    .await??;
    let answer = world.follow("healthz", &[]).await?;
    assert_eq!(answer.status, 200);
    let log = std::fs::read_to_string(stack.log_path())?;
    assert!(!log.contains("panicked"), "{}", stack.log_tail());
    // And whatever was taken goes all the way.
    stack.settle()?;
    stack.reconcile()
}
