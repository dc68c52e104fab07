//! What an HTTP request asks of ClickHouse: its query string and headers, read
//! as the server reads them.

use axum::http::HeaderMap;

use super::library::Parameter;

/// Query-string names that steer the HTTP exchange itself, in ClickHouse's
/// HTTP handler; they are no settings.
const EXCHANGE_PARAMETERS: [&str; 16] = [
    "buffer_size",
    "client_protocol_version",
    "close_session",
    "default_format",
    "enable_http_compression",
    "framing",
    "http_headers_progress_interval_ms",
    "output_format_native_encode_types_in_binary_format_http",
    "quota_key",
    "role",
    "send_progress_in_http_headers",
    "session_check",
    "session_timeout",
    "stacktrace",
    "user_agent",
    "wait_end_of_query",
];

/// A request, understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct QueryRequest {
    pub(super) query: String,
    pub(super) database: Option<String>,
    pub(super) default_format: Option<String>,
    pub(super) query_id: Option<String>,
    pub(super) session_id: Option<String>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) settings: Vec<(String, String)>,
    /// Answer in compressed blocks (`compress=1`).
    pub(super) compress: bool,
    /// The body comes in compressed blocks (`decompress=1`).
    pub(super) decompress: bool,
    /// The answer may be gzip or zstd, as `Accept-Encoding` allows.
    pub(super) http_compression: bool,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// To take before the statement runs; nothing of the request's own.
    pub(super) role: Option<&'static str>,
}

/// Reads the query string (form-encoded) and the `X-ClickHouse-*` headers;
/// the query string wins, as in the server.
pub(super) fn read(query_string: &str, headers: &HeaderMap) -> QueryRequest {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let mut request = QueryRequest {
        database: header("x-clickhouse-database"),
        default_format: header("x-clickhouse-format"),
        query_id: header("x-clickhouse-query-id"),
        user: header("x-clickhouse-user"),
        password: header("x-clickhouse-key"),
        ..QueryRequest::default()
    };
    if request.user.is_none()
        && let Some((user, password)) = basic_credentials(headers)
    {
        request.user = Some(user);
        request.password = Some(password);
    }
    for (name, value) in form_urlencoded::parse(query_string.as_bytes()) {
        request.set(&name, value.into_owned());
    }
    request.database = request.database.filter(|name| !name.is_empty());
    request
}

fn is_true(value: &str) -> bool {
    matches!(value, "1" | "true")
}

fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    use base64::Engine as _;
    let value = headers.get("authorization")?.to_str().ok()?.strip_prefix("Basic ")?;
    let plain = base64::engine::general_purpose::STANDARD.decode(value).ok()?;
    let plain = String::from_utf8(plain).ok()?;
    let (user, password) = plain.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

impl QueryRequest {
    /// Takes a parameter of the query string, or a field of a form.
    pub(super) fn set(&mut self, name: &str, value: String) {
        match name {
            "query" => self.query = value,
            "database" => self.database = Some(value),
            "default_format" => self.default_format = Some(value),
            "query_id" => self.query_id = Some(value),
            "session_id" => self.session_id = Some(value),
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "compress" => self.compress = is_true(&value),
            "decompress" => self.decompress = is_true(&value),
            "enable_http_compression" => self.http_compression = is_true(&value),
            name if EXCHANGE_PARAMETERS.contains(&name) => {}
            name => match name.strip_prefix("param_") {
                Some(parameter) => self.parameters.push((parameter.to_owned(), value)),
                None => self.settings.push((name.to_owned(), value)),
            },
        }
    }

    /// The statements that put a session into this request's state, or what
    /// is wrong with a setting's name.
    pub(super) fn prelude(&self, read_only: bool) -> Result<Option<String>, String> {
        let mut statements = Vec::new();
        if let Some(database) = &self.database {
            statements.push(format!("USE {}", quote_identifier(database)));
        }
        let mut assignments = Vec::new();
        for (name, value) in &self.settings {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            if name.is_empty() || !name.chars().all(plain) {
                return Err(format!(
                    "Code: 115. DB::Exception: Setting {name:?} is not a setting's name. (UNKNOWN_SETTING)"
                ));
            }
            assignments.push(format!("{name} = {}", quote_string(value)));
        }
        if read_only {
            assignments.push("readonly = 2".to_owned());
        }
        if !assignments.is_empty() {
            statements.push(format!("SET {}", assignments.join(", ")));
        }
        if let Some(role) = self.role {
            statements.push(format!("SET ROLE {role}"));
        }
        Ok((!statements.is_empty()).then(|| statements.join("; ")))
    }
}

fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

fn quote_string(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_string_wins_over_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("x-clickhouse-database", "from_header".parse().unwrap());
        headers.insert("x-clickhouse-format", "JSON".parse().unwrap());
        let request = read("database=d&query=SELECT+%7Ba%3AInt8%7D&param_a=1&max_threads=2", &headers);
        assert_eq!(request.database.as_deref(), Some("d"));
        assert_eq!(request.default_format.as_deref(), Some("JSON"));
        assert_eq!(request.query, "SELECT {a:Int8}");
        assert_eq!(request.parameters, [("a".to_owned(), "1".to_owned())]);
        assert_eq!(request.settings, [("max_threads".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn basic_credentials_are_read() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "Basic ZGVmYXVsdDpwOnc=".parse().unwrap());
        let request = read("", &headers);
        assert_eq!((request.user.as_deref(), request.password.as_deref()), (Some("default"), Some("p:w")));
    }

    #[test]
    fn prelude_quotes_what_it_is_given() {
        let request = read("database=a%60b&log_comment=it%27s", &HeaderMap::new());
        assert_eq!(
            request.prelude(true).unwrap().unwrap(),
            "USE `a\\`b`; SET log_comment = 'it\\'s', readonly = 2"
        );
        let request = read("a%20%3D1%3B+DROP=1", &HeaderMap::new());
        assert!(request.prelude(false).unwrap_err().contains("Code: 115"));
        assert_eq!(read("query=SELECT+1", &HeaderMap::new()).prelude(false), Ok(None));
    }
}
