//! A request's body: out of forms, LZ4 frames and compressed blocks.

use std::io::Read as _;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::compressed;
use super::library::EngineError;
use super::request::QueryRequest;

/// A reader's, parameters included.
const MAX_READER_SQL_BYTES: usize = 1 << 20;

/// Marks a body that is an LZ4 frame (`Content-Encoding: lz4`, what Python's
/// clickhouse-connect sends), which the decompression layer does not know.
#[derive(Clone, Copy)]
struct Lz4Body;

pub(super) async fn take_lz4(mut http: Request) -> Request {
    let encoding = http.headers().get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"lz4")) {
        http.headers_mut().remove(header::CONTENT_ENCODING);
        http.extensions_mut().insert(Lz4Body);
    }
    http
}

/// The plain body behind an LZ4 frame; gathered whole, unlike all others.
async fn unpack_lz4(body: Body) -> Result<Body, EngineError> {
    let bad = |error: String| {
        EngineError(format!("Code: 271. DB::Exception: lz4 body: {error}. (CANNOT_DECOMPRESS)"))
    };
    let packed = axum::body::to_bytes(body, usize::MAX).await.map_err(|error| bad(error.to_string()))?;
    let mut plain = Vec::new();
    lz4_flex::frame::FrameDecoder::new(&packed[..])
        .read_to_end(&mut plain)
        .map_err(|error| bad(error.to_string()))?;
    Ok(Body::from(plain))
}

/// The body to read the statement and its rows from; of a reader all of it, for there
/// is no more of it than a statement.
pub(super) async fn read(
    parts: &Parts,
    body: Body,
    is_readers: bool,
    request: &mut QueryRequest,
) -> Result<Body, EngineError> {
    let is_lz4 = parts.extensions.get::<Lz4Body>().is_some();
    if is_readers {
        let too_long = |why: String| {
            EngineError(format!(
                "Code: 62. DB::Exception: a reader sends plain statements of at most {MAX_READER_SQL_BYTES} bytes: {why}. (SYNTAX_ERROR)"
            ))
        };
        if is_lz4 || request.decompress {
            return Err(too_long("this one is packed".to_owned()));
        }
        let whole = axum::body::to_bytes(body, MAX_READER_SQL_BYTES).await;
        let whole = Body::from(whole.map_err(|error| too_long(error.to_string()))?);
        return read_form(&parts.headers, whole, request).await;
    }
    let body = if is_lz4 { unpack_lz4(body).await? } else { body };
    read_form(&parts.headers, body, request).await
}

/// Takes the fields of a form (`multipart/form-data`), which is how clients
/// send long parameters; any other body is left as it is.
async fn read_form(headers: &HeaderMap, body: Body, request: &mut QueryRequest) -> Result<Body, EngineError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some(boundary) = content_type.and_then(|text| multer::parse_boundary(text).ok()) else {
        return Ok(body);
    };
    let bad = |error: multer::Error| {
        EngineError(format!("Code: 210. DB::Exception: form: {error}. (NETWORK_ERROR)"))
    };
    let mut form = multer::Multipart::new(body.into_data_stream(), boundary);
    while let Some(field) = form.next_field().await.map_err(bad)? {
        let name = field.name().unwrap_or_default().to_owned();
        if field.file_name().is_some() {
            let message = "Code: 48. DB::Exception: external tables are not supported. (NOT_IMPLEMENTED)";
            return Err(EngineError(message.to_owned()));
        }
        let value = field.text().await.map_err(bad)?;
        if request.query.is_empty() || name != "query" {
            request.set(&name, value);
        } else {
            request.query.push_str(&value);
        }
    }
    Ok(Body::empty())
}

/// The request's body, out of its compressed blocks.
pub(super) struct Input {
    body: axum::body::BodyDataStream,
    decoder: Option<compressed::Decoder>,
}

impl Input {
    pub(super) fn new(body: Body, is_compressed: bool) -> Self {
        let decoder = is_compressed.then(compressed::Decoder::default);
        Self { body: body.into_data_stream(), decoder }
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        let bad = |reason: String| EngineError(format!("Code: 210. DB::Exception: {reason}"));
        match self.body.next().await {
            Some(Ok(piece)) => match &mut self.decoder {
                None => Ok(Some(piece)),
                Some(decoder) => {
                    let plain = decoder.push(&piece).map_err(|error| bad(error.to_string()))?;
                    Ok(Some(Bytes::from(plain)))
                }
            },
            Some(Err(error)) => Err(bad(format!("the request's body broke off: {error}. (NETWORK_ERROR)"))),
            None => {
                if let Some(decoder) = &self.decoder {
                    decoder.finish().map_err(|error| bad(error.to_string()))?;
                }
                Ok(None)
            }
        }
    }
}
