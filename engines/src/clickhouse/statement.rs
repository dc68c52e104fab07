//! Finds where an INSERT's SQL ends and its rows begin.
//!
//! Over HTTP the two may come in one body (`INSERT INTO t FORMAT CSV\n1,2`),
//! and libchdb wants them apart: rows appended to the SQL text would be cut at
//! the parser's size limit without a word.

/// An INSERT whose rows follow it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Insert<'a> {
    /// `INSERT INTO …`, without its FORMAT clause.
    pub(super) sql: &'a str,
    /// The rows' format.
    pub(super) format: &'a str,
    /// Where the rows begin, counted from the start of the text.
    pub(super) rows_at: usize,
}

/// What a text turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Statement<'a> {
    /// Rows follow the SQL.
    InsertRows(Insert<'a>),
    /// Anything else, `INSERT … SELECT` included: it is whole as it stands.
    Other,
    /// An INSERT that does not yet say where its rows begin; more text may.
    Unfinished,
}

/// A word or sign at the top level of a statement, outside of quotes,
/// comments and brackets.
struct Token<'a> {
    text: &'a str,
    end: usize,
}

/// Reads the head of `text`, which may go on with rows in any encoding.
pub(super) fn read(text: &[u8]) -> Statement<'_> {
    // Only the SQL has to be text; the rows behind it need not be.
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).expect("valid up to here"),
    };
    let mut tokens = Tokens { text, at: 0 };
    let Some(first) = tokens.next() else { return Statement::Unfinished };
    if !first.text.eq_ignore_ascii_case("insert") {
        return Statement::Other;
    }
    while let Some(token) = tokens.next() {
        let word = |w: &str| token.text.eq_ignore_ascii_case(w);
        let sql_end = token.end - token.text.len();
        if word("select") || word("with") || word("watch") || word(";") {
            return Statement::Other;
        }
        if word("values") {
            // `FORMAT VALUES` never comes here: FORMAT takes its name below.
            return Statement::InsertRows(Insert {
                sql: &text[..sql_end],
                format: "Values",
                rows_at: token.end,
            });
        }
        if word("format") {
            let Some(name) = tokens.next() else { return Statement::Unfinished };
            return Statement::InsertRows(Insert {
                sql: &text[..sql_end],
                format: name.text,
                rows_at: after_format(text, name.end),
            });
        }
    }
    Statement::Unfinished
}

/// Rows begin after the spaces and the one line break that follow the format's
/// name, as ClickHouse's parser has it.
fn after_format(text: &str, name_end: usize) -> usize {
    let rest = text[name_end..].trim_start_matches([' ', '\t', '\r', ';']);
    let rest = rest.strip_prefix('\n').unwrap_or(rest);
    text.len() - rest.len()
}

struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let mut depth = 0_usize;
        loop {
            let rest = &self.text[self.at..];
            let first = rest.chars().next()?;
            let length = if rest.starts_with("--") || rest.starts_with('#') {
                rest.find('\n').map_or(rest.len(), |n| n + 1)
            } else if rest.starts_with("/*") {
                rest.find("*/").map_or(rest.len(), |n| n + 2)
            } else if matches!(first, '\'' | '"' | '`') {
                quoted(rest, first)
            } else if first.is_alphanumeric() || first == '_' {
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            self.at += length;
            match first {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                '\'' | '"' | '`' => {}
                _ if first.is_whitespace() || length > 1 && !first.is_alphanumeric() && first != '_' => {}
                _ if depth > 0 => {}
                _ => return Some(Token { text: &rest[..length], end: self.at }),
            }
        }
    }
}

/// Length of the quoted run at the start of `rest`, both quotes included.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> (String, String, String) {
        match read(text.as_bytes()) {
            Statement::InsertRows(insert) => {
                (insert.sql.trim().to_owned(), insert.format.to_owned(), text[insert.rows_at..].to_owned())
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn rows_begin_after_the_format() {
        for (text, sql, format, data) in [
            ("INSERT INTO t FORMAT CSV\n1,2\n", "INSERT INTO t", "CSV", "1,2\n"),
            ("insert into t(a, b) format RowBinary\n", "insert into t(a, b)", "RowBinary", ""),
            ("INSERT INTO t FORMAT RowBinary", "INSERT INTO t", "RowBinary", ""),
            ("INSERT INTO t (`format`) VALUES (1)", "INSERT INTO t (`format`)", "Values", " (1)"),
            ("INSERT INTO t FORMAT Values (1),(2)", "INSERT INTO t", "Values", "(1),(2)"),
            (
                "/* why */ INSERT INTO d.t SETTINGS x = 'format', y = 1 FORMAT JSONEachRow {\"a\":1}",
                "/* why */ INSERT INTO d.t SETTINGS x = 'format', y = 1",
                "JSONEachRow",
                "{\"a\":1}",
            ),
            ("INSERT INTO t -- format X\nFORMAT TSV\n\nrow", "INSERT INTO t -- format X", "TSV", "\nrow"),
        ] {
            assert_eq!(rows(text), (sql.to_owned(), format.to_owned(), data.to_owned()));
        }
    }

    #[test]
    fn whole_statements_are_left_alone() {
        for text in [
            "SELECT 1",
            "INSERT INTO t SELECT 1 FORMAT CSV",
            "INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x",
            "CREATE TABLE insert (a Int) ENGINE = Memory",
            "SELECT 'INSERT INTO t FORMAT CSV'",
        ] {
            assert_eq!(read(text.as_bytes()), Statement::Other, "{text}");
        }
    }

    #[test]
    fn more_text_may_finish_it() {
        for text in ["", "INSERT INTO t", "INSERT INTO t (a, b) FORMAT", "INSERT INTO t SETTINGS a = 1"] {
            assert_eq!(read(text.as_bytes()), Statement::Unfinished, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _read = read(&bytes);
            let mut insert = b"INSERT INTO t ".to_vec();
            insert.extend(bytes);
            let _read = read(&insert);
        }
    }
}
