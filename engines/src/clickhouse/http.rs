//! ClickHouse's HTTP interface: routes, headers, exception codes.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use bytes::Bytes;
use tokio::sync::mpsc;
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;
use uuid::Uuid;

use super::body::{self, Input};
use super::compressed;
use super::library::{EngineError, Output};
use super::readers::{self, Reader, Readers};
use super::reading;
use super::request::{self, QueryRequest};
use super::session::{Rows, Sessions};
use super::statement::{self, Statement};

/// Pieces of an insert that may wait for the engine.
const ROWS_IN_FLIGHT: usize = 16;
/// The SQL of a statement, or the head of an insert, may be this long.
const MAX_SQL_BYTES: usize = 64 << 20;

/// Marks a response that may be sent as gzip or zstd.
#[derive(Clone, Copy)]
struct MayCompress;

/// What requests run on.
pub(super) struct Engine {
    pub(super) sessions: Sessions,
    pub(super) readers: Readers,
}

/// Who may ask at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// `default`, who has no password, and readers.
    Everybody,
    /// Readers, by their passwords.
    Readers,
}

/// Who asks.
enum Asker {
    Owner,
    Reader(Arc<Reader>),
}

/// Serves `listener` until `stop` is done.
pub(super) async fn serve(
    listener: tokio::net::TcpListener,
    engine: Arc<Engine>,
    audience: Audience,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let compress = CompressionLayer::new().compress_when(
        |_: StatusCode, _: axum::http::Version, _: &HeaderMap, extensions: &axum::http::Extensions| {
            extensions.get::<MayCompress>().is_some()
        },
    );
    let router = Router::new()
        .route("/ping", get(|| async { "Ok.\n" }))
        .route("/replicas_status", get(|| async { "Ok.\n" }))
        .route("/", any(handle))
        .layer(DefaultBodyLimit::disable())
        .layer(RequestDecompressionLayer::new())
        .layer(axum::middleware::map_request(body::take_lz4))
        .layer(compress)
        .with_state((engine, audience));
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

async fn handle(State((engine, audience)): State<(Arc<Engine>, Audience)>, http: Request) -> Response {
    let started = Instant::now();
    let (parts, body) = http.into_parts();
    let mut request = request::read(parts.uri.query().unwrap_or_default(), &parts.headers);
    let query_id = request.query_id.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    if parts.method == Method::GET && request.query.is_empty() {
        return "Ok.\n".into_response();
    }
    if !is_from_here(&parts.headers) {
        // Any page in a browser on this machine could ask otherwise.
        let message = "Code: 516. DB::Exception: the embedded engine answers no pages of other origins. \
                       (AUTHENTICATION_FAILED)";
        return exception(&EngineError(message.to_owned()));
    }
    let (outcome, format) = match authenticate(&engine.readers, audience, &request) {
        Err(error) => (Err(error), String::new()),
        Ok(asker) => match body::read(&parts, body, matches!(asker, Asker::Reader(_)), &mut request).await {
            Err(error) => (Err(error), String::new()),
            Ok(body) => run(&engine, &asker, &mut request, body, parts.method == Method::GET).await,
        },
    };
    let mut response = match outcome {
        Ok(output) => success(output, &request, &format, started),
        Err(error) => exception(&error),
    };
    set_header(&mut response, "x-clickhouse-query-id", &query_id);
    set_header(&mut response, "x-clickhouse-server-display-name", "tributary");
    set_header(&mut response, "x-clickhouse-timezone", "UTC");
    response
}

/// Whether a request is from a program, or from a page of this machine.
fn is_from_here(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _port)| name));
    matches!(name, Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// `default`, who has no password, or a reader by theirs.
fn authenticate(readers: &Readers, audience: Audience, request: &QueryRequest) -> Result<Asker, EngineError> {
    let user = request.user.as_deref().unwrap_or("default");
    let password = request.password.as_deref().unwrap_or_default();
    let is_default = (user.is_empty() || user == "default") && password.is_empty();
    if is_default && audience == Audience::Everybody {
        return Ok(Asker::Owner);
    }
    if let Some(reader) = readers.find(user, password) {
        return Ok(Asker::Reader(reader));
    }
    Err(EngineError(format!(
        "Code: 516. DB::Exception: {user}: Authentication failed: there is no such user, or the password \
         is another. (AUTHENTICATION_FAILED)"
    )))
}

/// Runs what the request asks for; the second part is the format answered in.
async fn run(
    engine: &Arc<Engine>,
    asker: &Asker,
    request: &mut QueryRequest,
    body: Body,
    read_only: bool,
) -> (Result<Output, EngineError>, String) {
    let default_format = request.default_format.clone().unwrap_or_else(|| "TabSeparated".to_owned());
    let mut input = Input::new(body, request.decompress);
    // The statement is the `query` parameter followed by the body. Of an
    // insert only the head is gathered; its rows are passed on as they come.
    let mut text = std::mem::take(&mut request.query).into_bytes();
    if !text.is_empty() {
        text.push(b'\n');
    }
    let mut at_end = false;
    loop {
        match statement::read(&text) {
            Statement::InsertRows(_) if read_only || matches!(asker, Asker::Reader(_)) => {
                let error = "Code: 164. DB::Exception: readers and GET requests only read. (READONLY)";
                return (Err(EngineError(error.to_owned())), default_format);
            }
            Statement::InsertRows(insert) => {
                let (sql, format) = (insert.sql.to_owned(), insert.format.to_owned());
                let first = Bytes::copy_from_slice(&text[insert.rows_at..]);
                let result = insert_rows(engine, request, sql, format, first, input, at_end).await;
                return (result, default_format);
            }
            Statement::Unfinished | Statement::Other if at_end => break,
            Statement::Unfinished | Statement::Other => {}
        }
        match input.next().await {
            Ok(Some(piece)) => text.extend_from_slice(&piece),
            Ok(None) => at_end = true,
            Err(error) => return (Err(error), default_format),
        }
        if text.len() > MAX_SQL_BYTES {
            let error = EngineError(format!(
                "Code: 62. DB::Exception: the statement is longer than {MAX_SQL_BYTES} bytes. (SYNTAX_ERROR)"
            ));
            return (Err(error), default_format);
        }
    }
    let Ok(sql) = String::from_utf8(text) else {
        let error = "Code: 62. DB::Exception: the statement is not UTF-8. (SYNTAX_ERROR)".to_owned();
        return (Err(EngineError(error)), default_format);
    };
    let format = explicit_format(&sql).unwrap_or(&default_format).to_owned();
    let (engine, request) = (Arc::clone(engine), request_for_worker(request));
    let run: Box<dyn FnOnce() -> Result<Output, EngineError> + Send> = match asker {
        Asker::Owner => {
            Box::new(move || run_for_owner(&engine, &request, sql.trim(), &default_format, read_only))
        }
        Asker::Reader(reader) => {
            let reader = Arc::clone(reader);
            let turn = match engine.readers.turn(&reader) {
                Ok(turn) => turn,
                Err(error) => return (Err(error), default_format),
            };
            Box::new(move || {
                let result = run_for_reader(&engine.sessions, &reader, request, sql.trim(), &default_format);
                drop(turn);
                result
            })
        }
    };
    (blocking(run).await, format)
}

fn run_for_owner(
    engine: &Engine,
    request: &QueryRequest,
    sql: &str,
    format: &str,
    read_only: bool,
) -> Result<Output, EngineError> {
    if !read_only && let Some(changed) = engine.readers.change(sql) {
        return changed.map(|()| Output::default());
    }
    let result = engine.sessions.query(request, sql, format, read_only);
    if let Err(error) = &result {
        tracing::info!(%error, sql, "query failed");
    }
    result
}

/// Runs a reader's statement as [`readers::ROLE`], with the reader's settings.
fn run_for_reader(
    sessions: &Sessions,
    reader: &Reader,
    request: QueryRequest,
    sql: &str,
    format: &str,
) -> Result<Output, EngineError> {
    reading::check(sql, request.parameters.iter().map(|(_, value)| value.as_str()))?;
    let settings = reader.settings(&request.settings)?;
    let started = Instant::now();
    reader.begin(started)?;
    let request = QueryRequest {
        database: reader.database.clone(),
        settings,
        role: Some(readers::ROLE),
        parameters: request.parameters,
        ..QueryRequest::default()
    };
    let result = sessions.query(&request, sql, format, false);
    reader.spent(started.elapsed());
    result
}

async fn insert_rows(
    engine: &Arc<Engine>,
    request: &mut QueryRequest,
    sql: String,
    format: String,
    first: Bytes,
    mut input: Input,
    at_end: bool,
) -> Result<Output, EngineError> {
    let (sender, receiver) = mpsc::channel(ROWS_IN_FLIGHT);
    let (engine, request) = (Arc::clone(engine), request_for_worker(request));
    let worker = tokio::spawn(blocking(move || engine.sessions.insert(&request, &sql, &format, receiver)));
    // A send fails when the engine has refused the rows; its answer says why.
    let mut engine_listens = sender.send(Rows::Piece(first)).await.is_ok();
    let mut whole = at_end;
    while !whole && engine_listens {
        match input.next().await {
            Ok(Some(piece)) => engine_listens = sender.send(Rows::Piece(piece)).await.is_ok(),
            Ok(None) => whole = true,
            Err(error) => {
                drop(sender);
                let _cancelled = worker.await;
                return Err(error);
            }
        }
    }
    if whole {
        engine_listens = sender.send(Rows::End).await.is_ok();
    }
    drop(sender);
    let result = worker.await.map_err(|error| EngineError(panicked(&error)))?;
    debug_assert!(engine_listens || result.is_err(), "the engine stops listening only on an error");
    result
}

/// Settings and parameters for the worker's thread.
fn request_for_worker(request: &mut QueryRequest) -> QueryRequest {
    QueryRequest {
        database: request.database.take(),
        session_id: request.session_id.take(),
        parameters: std::mem::take(&mut request.parameters),
        settings: std::mem::take(&mut request.settings),
        ..QueryRequest::default()
    }
}

async fn blocking(
    work: impl FnOnce() -> Result<Output, EngineError> + Send + 'static,
) -> Result<Output, EngineError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(EngineError(panicked(&error))))
}

fn panicked(error: &tokio::task::JoinError) -> String {
    format!("Code: 1002. DB::Exception: the request's thread failed: {error}. (UNKNOWN_EXCEPTION)")
}

/// The name behind a statement's last FORMAT, for the response's headers.
fn explicit_format(sql: &str) -> Option<&str> {
    let mut words = sql.trim_end_matches(|c: char| c == ';' || c.is_whitespace()).rsplit(char::is_whitespace);
    let name = words.next()?;
    let keyword = words.find(|word| !word.is_empty())?;
    keyword.eq_ignore_ascii_case("format").then_some(name)
}

fn success(output: Output, request: &QueryRequest, format: &str, started: Instant) -> Response {
    let summary = format!(
        r#"{{"read_rows":"{}","read_bytes":"{}","written_rows":"{}","written_bytes":"{}","total_rows_to_read":"0","result_rows":"0","result_bytes":"{}","elapsed_ns":"{}"}}"#,
        output.read_rows,
        output.read_bytes,
        output.written_rows,
        output.written_bytes,
        output.body.len(),
        started.elapsed().as_nanos(),
    );
    let body = if request.compress { compressed::encode(&output.body) } else { output.body };
    let mut response = Response::new(Body::from(body));
    set_header(&mut response, "x-clickhouse-summary", &summary);
    set_header(&mut response, "x-clickhouse-format", format);
    set_header(&mut response, header::CONTENT_TYPE.as_str(), content_type(format));
    if request.http_compression && !request.compress {
        response.extensions_mut().insert(MayCompress);
    }
    response
}

fn exception(error: &EngineError) -> Response {
    let code = exception_code(&error.0);
    let mut response = (status_of(code), format!("{}\n", error.0)).into_response();
    set_header(&mut response, "x-clickhouse-exception-code", &code.to_string());
    response
}

/// The number in `Code: N. DB::Exception`; 1002 (UNKNOWN_EXCEPTION) without.
fn exception_code(message: &str) -> u32 {
    message
        .split_once("Code: ")
        .and_then(|(_, rest)| rest.split_once('.'))
        .and_then(|(code, _)| code.parse().ok())
        .unwrap_or(1002)
}

/// As ClickHouse's `exceptionCodeToHTTPStatus` sorts them.
fn status_of(code: u32) -> StatusCode {
    match code {
        497 | 164 => StatusCode::FORBIDDEN,
        516 | 192 | 193 | 194 => StatusCode::FORBIDDEN,
        60 | 46 | 63 | 47 | 16 | 51 | 81 | 115 | 50 => StatusCode::NOT_FOUND,
        62 | 271 | 6 | 26 | 27 | 33 | 38 | 41 | 43 | 53 | 70 | 72 | 117 | 131 | 210 | 456 | 457 => {
            StatusCode::BAD_REQUEST
        }
        159 => StatusCode::REQUEST_TIMEOUT,
        48 => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn content_type(format: &str) -> &'static str {
    if format.starts_with("JSONEachRow") || format.starts_with("JSONCompactEachRow") {
        "application/x-ndjson; charset=UTF-8"
    } else if format.starts_with("JSON") {
        "application/json; charset=UTF-8"
    } else if format.starts_with("CSV") {
        "text/csv; charset=UTF-8"
    } else if format.starts_with("TabSeparated") || format.starts_with("TSV") {
        "text/tab-separated-values; charset=UTF-8"
    } else if matches!(format, "Native" | "Parquet" | "Arrow" | "ArrowStream")
        || format.starts_with("RowBinary")
    {
        "application/octet-stream"
    } else {
        "text/plain; charset=UTF-8"
    }
}

fn set_header(response: &mut Response, name: &str, value: &str) {
    let name = HeaderName::from_bytes(name.as_bytes()).expect("header names here are constants");
    // A client's query id or format may hold what a header cannot.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exception_codes_and_statuses() {
        for (message, code, status) in [
            ("Code: 60. DB::Exception: Table x does not exist", 60, 404),
            ("Code: 62. DB::Exception: Syntax error", 62, 400),
            ("Code: 164. DB::Exception: readonly", 164, 403),
            ("Code: 241. DB::Exception: Memory limit", 241, 500),
            ("no code at all", 1002, 500),
        ] {
            assert_eq!(exception_code(message), code);
            assert_eq!(status_of(code).as_u16(), status);
        }
    }

    #[test]
    fn explicit_formats_are_seen() {
        for (sql, format) in [
            ("SELECT 1 FORMAT JSON", Some("JSON")),
            ("SELECT 1\nformat\n CSV ;\n", Some("CSV")),
            ("SELECT 1", None),
            ("x", None),
        ] {
            assert_eq!(explicit_format(sql), format, "{sql}");
        }
    }
}
