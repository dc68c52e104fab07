//! The statements that make a reader, in the form in which Tributary's API writes them:
//!
//! ```text
//! CREATE USER OR REPLACE name IDENTIFIED WITH sha256_hash BY 'hex' DEFAULT DATABASE database
//!     SETTINGS a = 'value', b = 30 MIN 1 MAX 60 CHANGEABLE_IN_READONLY, …
//! GRANT SELECT ON database.* TO name
//! CREATE QUOTA OR REPLACE name FOR INTERVAL 1 HOUR MAX queries = 5000, execution_time = 600 TO name
//! DROP USER IF EXISTS name
//! DROP QUOTA IF EXISTS name
//! ```

/// A statement about users.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Create { name: String, password_sha256: String, settings: Vec<Setting> },
    Grant { database: String, to: String },
    Limit { to: String, queries: u64, execution_s: u64 },
    Drop { name: String },
    DropQuota,
}

/// A setting in force on each of a reader's connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
    /// Within what bounds a request may set another; not at all without.
    pub(super) changeable: Option<(u64, u64)>,
}

/// What a statement says, if it is one of these.
pub(super) fn understand(sql: &str) -> Option<Change> {
    let first = sql.split_whitespace().next();
    first.filter(|word| ["CREATE", "GRANT", "DROP"].contains(word))?;
    let tokens = tokens(sql.trim().trim_end_matches(';'))?;
    let words: Vec<&str> = tokens.iter().map(String::as_str).collect();
    match words.as_slice() {
        [
            "CREATE",
            "USER",
            "OR",
            "REPLACE",
            name,
            "IDENTIFIED",
            "WITH",
            "sha256_hash",
            "BY",
            hash,
            "DEFAULT",
            "DATABASE",
            _,
            rest @ ..,
        ] => {
            let name = (*name).to_owned();
            let settings = settings(rest)?;
            Some(Change::Create { name, password_sha256: (*hash).to_owned(), settings })
        }
        ["GRANT", "SELECT", "ON", database, ".", "*", "TO", to] => {
            Some(Change::Grant { database: (*database).to_owned(), to: (*to).to_owned() })
        }
        [
            "CREATE",
            "QUOTA",
            "OR",
            "REPLACE",
            _,
            "FOR",
            "INTERVAL",
            "1",
            "HOUR",
            "MAX",
            "queries",
            "=",
            queries,
            ",",
            "execution_time",
            "=",
            execution_s,
            "TO",
            to,
        ] => Some(Change::Limit {
            to: (*to).to_owned(),
            queries: queries.parse().ok()?,
            execution_s: execution_s.parse().ok()?,
        }),
        ["DROP", "USER", "IF", "EXISTS", name] => Some(Change::Drop { name: (*name).to_owned() }),
        ["DROP", "QUOTA", "IF", "EXISTS", _] => Some(Change::DropQuota),
        _ => None,
    }
}

/// `SETTINGS a = 'b', …`, or nothing.
fn settings(words: &[&str]) -> Option<Vec<Setting>> {
    let Some((&"SETTINGS", list)) = words.split_first() else {
        return words.is_empty().then(Vec::new);
    };
    let setting = |part: &[&str]| {
        let (name, value, changeable) = match part {
            [name, "=", value] => (name, value, None),
            [name, "=", value, "MIN", min, "MAX", max, "CHANGEABLE_IN_READONLY"] => {
                (name, value, Some((min.parse().ok()?, max.parse().ok()?)))
            }
            _ => return None,
        };
        Some(Setting { name: (*name).to_owned(), value: (*value).to_owned(), changeable })
    };
    list.split(|word| *word == ",").map(setting).collect()
}

/// Words, signs, and what is quoted, without its quotes; `None` for a quote that
/// does not end, or has an escape in it: nobody here writes such.
fn tokens(sql: &str) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    let mut rest = sql.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = if matches!(first, '\'' | '`') {
            let inside = &rest[1..];
            let end = inside.find(first)?;
            (&inside[..end], end + 2)
        } else {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let length = word.max(first.len_utf8());
            (&rest[..length], length)
        };
        if token.contains('\\') {
            return None;
        }
        tokens.push(token.to_owned());
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}
