//! What a reader's statement may not hold.
//!
//! The engine's role keeps readers from all tables but those they are granted,
//! from files, addresses and changes. It does not keep them from each other's
//! running queries; from output files, which it takes for the program's own wish; or
//! from settings, which a subquery may change in spite of `readonly` (ClickHouse before
//! 26.7.6.49, github.com/ClickHouse/ClickHouse/pull/115397). So a reader sends one
//! statement that reads, without settings, and names of the system's tables only those
//! that tell of the engine and of what they may read. The check looks at the text alone
//! and rather refuses too much.

use super::library::EngineError;

/// What a reader's statement begins with.
const READING: [&str; 9] = ["SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "("];
/// Tables of `system` that show a reader nothing of others: those of fixed
/// contents, and those that the engine filters by grants.
const SYSTEM_TABLES: [&str; 15] = [
    "build_options",
    "columns",
    "contributors",
    "data_type_families",
    "databases",
    "formats",
    "functions",
    "licenses",
    "numbers",
    "one",
    "server_settings",
    "settings",
    "tables",
    "table_engines",
    "time_zones",
];
/// Words of ways around. In this library the function `file` asks for no grant, and the
/// table function `eval` runs text that is put together from pieces.
const REFUSED: [(&str, &str); 7] = [
    ("eval", "runs no text as a query"),
    ("file", "reads no files"),
    ("outfile", "writes no files"),
    ("processlist", "does not see what others ask"),
    ("parallel", "sends one statement at a time"),
    ("identifier", "takes no identifiers as parameters"),
    ("settings", "has no settings of their own"),
];

/// Why a reader may not run `sql` with these parameters' values; `Ok` if they may.
pub(super) fn check<'a>(sql: &str, values: impl Iterator<Item = &'a str>) -> Result<(), EngineError> {
    let sql = uncommented(sql).trim_end_matches(|c: char| c == ';' || c.is_whitespace()).to_ascii_lowercase();
    let refuse = |why: String| {
        Err(EngineError(format!(
            "Code: 497. DB::Exception: a reader of the embedded engine {why}. (ACCESS_DENIED)"
        )))
    };
    let first = READING.iter().find(|word| {
        let rest = sql.strip_prefix(&word.to_ascii_lowercase());
        rest.is_some_and(|rest| **word == "(" || !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    });
    if first.is_none() {
        return refuse(format!("sends statements that begin with {}", READING.join(", ")));
    }
    if sql.contains(';') {
        return refuse("sends one statement at a time, without a semicolon in it".to_owned());
    }
    if sql.contains('\\') && sql.contains(['"', '`']) {
        return refuse("does not have backslashes and quoted names in one statement".to_owned());
    }
    let words = sql.replace("system.settings", "");
    for word in words.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == word) {
            return refuse(format!("{why} ({word:?})"));
        }
    }
    for text in values.map(str::to_ascii_lowercase).chain([sql]) {
        for (at, word) in text.match_indices("system") {
            let behind = text[at + word.len()..].trim_start_matches(['"', '`']);
            let table = behind.strip_prefix('.').map(|name| name.trim_start_matches(['"', '`']));
            let name = table.map(|name| {
                let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                &name[..end.unwrap_or(name.len())]
            });
            if !name.is_some_and(|name| SYSTEM_TABLES.contains(&name)) {
                let tables = SYSTEM_TABLES.join(", ");
                return refuse(format!("names `system` only before a dot and one of {tables}"));
            }
        }
    }
    Ok(())
}

/// `sql` from its first word on.
fn uncommented(sql: &str) -> &str {
    let mut rest = sql.trim_start();
    loop {
        let comment = if rest.starts_with("--") {
            rest.find('\n').map(|end| end + 1)
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|end| end + 2)
        } else {
            return rest;
        };
        rest = comment.map_or("", |end| rest[end..].trim_start());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_allowed_and_ways_around_are_not() {
        let allowed = [
            "SELECT 1",
            " select count() FROM clicks WHERE url = 'a b' ;\n",
            "-- of today\n/* really */ WITH x AS (SELECT 1) SELECT * FROM x",
            "(SELECT 1) UNION ALL SELECT 2",
            "FROM clicks SELECT count()",
            "SHOW TABLES",
            "DESCRIBE TABLE clicks",
            "EXPLAIN SELECT 1",
            "SELECT name FROM system.settings",
            "SELECT name FROM \"system\".\"columns\" WHERE database = 'x'",
            "SELECT count() FROM clicks WHERE url = '/profile/files'",
            "SELECT match(url, '\\\\d+') FROM clicks",
        ];
        for sql in allowed {
            assert_eq!(check(sql, std::iter::empty()).map_err(|error| error.0), Ok(()), "{sql}");
        }
        let refused = [
            "",
            "SET ROLE owner",
            "/* SELECT */ SET ROLE owner",
            "-- SELECT",
            "SELECTED",
            "SELECT 1; SET ROLE owner",
            "SELECT ';'",
            "SELECT * FROM clicks INTO OUTFILE '/tmp/x'",
            "SELECT file('/etc/passwd')",
            "SELECT `file`('/etc/passwd')",
            "SELECT file /* of what? */ ('/etc/passwd')",
            "SELECT * FROM eval('SELECT 1')",
            "SELECT * FROM (SELECT * FROM clicks SETTINGS log_comment = 'x')",
            "SELECT * FROM (SELECT * FROM clicks sEtTiNgS/**/log_comment = 'x')",
            "SELECT 1 PARALLEL WITH KILL QUERY WHERE 1",
            "SHOW PROCESSLIST",
            "KILL QUERY WHERE 1",
            "SELECT * FROM system.processes",
            "SELECT * FROM `system`.`processes`",
            "SELECT * FROM SyStEm . processes",
            "SELECT * FROM system/**/.processes",
            "SELECT * FROM merge('system', '^proc')",
            "SELECT * FROM \"s\\x79stem\".processes",
            "SELECT * FROM {d:Identifier}.{t:Identifier}",
            "INSERT INTO clicks VALUES (1)",
            "DROP TABLE clicks",
        ];
        for sql in refused {
            assert!(check(sql, std::iter::empty()).is_err(), "{sql}");
        }
        assert!(check("SELECT * FROM merge({x:String}, '.')", ["system"].into_iter()).is_err());
    }
}
