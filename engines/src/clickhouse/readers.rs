//! Users beside `default`, who only read: who they are, what they may read and
//! how much of it.
//!
//! libchdb has one user and makes no others at run time. The statements that make a
//! reader on a server ([`super::user_statement`]) are carried out here instead, and kept
//! as they came.
//!
//! A reader's statements run on a connection that has taken [`ROLE`], which may
//! read databases of one prefix and nothing else: that is the engine's own access
//! control. To it every connection is `default`'s, and the role is every reader's, so
//! the views in these databases have to look at a setting, `log_comment`, which their
//! readers have fixed. What would get around that is refused by [`super::reading`].

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::library::EngineError;
use super::user_statement::{Change, Setting, understand};

/// The role that readers' connections take.
pub(super) const ROLE: &str = "reader";
/// So many queries of a reader, and of all readers, run at a time: each holds a thread.
const AT_ONCE: usize = 4;
const OF_ALL_AT_ONCE: usize = 16;
const QUOTA_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Who may read, kept in a file.
pub(super) struct Readers {
    file: PathBuf,
    /// How the names of the databases begin that [`ROLE`] may read.
    prefix: String,
    readers: Mutex<BTreeMap<String, Arc<Reader>>>,
    running: Arc<Semaphore>,
}

/// One of them. Replaced as a whole when a statement changes them.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    name: String,
    password_sha256: String,
    settings: Vec<Setting>,
    /// What they may read; nothing before the grant.
    pub(super) database: Option<String>,
    quota: Option<Quota>,
    /// Stays what it is when the reader is changed.
    used: Arc<Mutex<Option<Used>>>,
    running: Arc<Semaphore>,
    /// By which statements they came to be so: user, grant and quota.
    statements: [Option<String>; 3],
}

#[derive(Clone, Copy, Debug)]
struct Quota {
    queries: u64,
    execution_time: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Used {
    since: Instant,
    queries: u64,
    execution_time: Duration,
}

impl Readers {
    /// The readers of before, out of `file`.
    pub(super) fn open(file: PathBuf, prefix: &str) -> std::io::Result<Self> {
        let readers = Self {
            file,
            prefix: prefix.to_owned(),
            readers: Mutex::default(),
            running: Arc::new(Semaphore::new(OF_ALL_AT_ONCE)),
        };
        let text = match std::fs::read_to_string(&readers.file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        for line in text.lines() {
            let Some(change) = understand(line) else {
                let message = format!("{}: cannot read the line {line:?}", readers.file.display());
                return Err(std::io::Error::other(message));
            };
            // Of another database's: they read nothing here.
            if let Err(error) = readers.apply(change, line) {
                tracing::warn!(%error, line, "not granted any more");
            }
        }
        Ok(readers)
    }

    /// Carries `sql` out if it is about users; `None` if it is about anything else.
    pub(super) fn change(&self, sql: &str) -> Option<Result<(), EngineError>> {
        let change = understand(sql)?;
        // The file has one statement to the line.
        let line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(self.apply(change, &line).and_then(|()| {
            self.save().map_err(|error| {
                EngineError(format!(
                    "Code: 1002. DB::Exception: {}: {error}. (UNKNOWN_EXCEPTION)",
                    self.file.display()
                ))
            })
        }))
    }

    fn apply(&self, change: Change, statement: &str) -> Result<(), EngineError> {
        let statement = Some(statement.to_owned());
        let mut readers = self.readers.lock().expect("no panic while held");
        let unknown = |name: &str| {
            let message = format!("Code: 192. DB::Exception: There is no user `{name}`. (UNKNOWN_USER)");
            EngineError(message)
        };
        match change {
            Change::Create { name, password_sha256, settings } => {
                let before = readers.get(&name);
                let used = before.map(|reader| Arc::clone(&reader.used)).unwrap_or_default();
                let running = before.map(|reader| Arc::clone(&reader.running));
                let reader = Reader {
                    name: name.clone(),
                    password_sha256,
                    settings,
                    database: None,
                    quota: None,
                    used,
                    running: running.unwrap_or_else(|| Arc::new(Semaphore::new(AT_ONCE))),
                    statements: [statement, None, None],
                };
                readers.insert(name, Arc::new(reader));
            }
            Change::Grant { database, to } => {
                if !database.starts_with(&self.prefix) {
                    return Err(EngineError(format!(
                        "Code: 497. DB::Exception: of the embedded engine, readers are granted only \
                         databases whose names begin with {}. (ACCESS_DENIED)",
                        self.prefix
                    )));
                }
                let reader = readers.get_mut(&to).ok_or_else(|| unknown(&to))?;
                let mut granted = Reader::clone(reader);
                granted.database = Some(database);
                granted.statements[1] = statement;
                *reader = Arc::new(granted);
            }
            Change::Limit { to, queries, execution_s } => {
                let reader = readers.get_mut(&to).ok_or_else(|| unknown(&to))?;
                let mut limited = Reader::clone(reader);
                limited.quota = Some(Quota { queries, execution_time: Duration::from_secs(execution_s) });
                limited.statements[2] = statement;
                *reader = Arc::new(limited);
            }
            Change::Drop { name } => drop(readers.remove(&name)),
            // Goes with its user, whom it cannot outlive here.
            Change::DropQuota => {}
        }
        Ok(())
    }

    fn save(&self) -> std::io::Result<()> {
        let readers = self.readers.lock().expect("no panic while held");
        let beside = self.file.with_extension("new");
        let mut file = std::fs::File::create(&beside)?;
        for statement in readers.values().flat_map(|reader| reader.statements.iter().flatten()) {
            writeln!(file, "{statement}")?;
        }
        file.sync_all()?;
        std::fs::rename(&beside, &self.file)
    }

    /// The reader of that name and password.
    pub(super) fn find(&self, name: &str, password: &str) -> Option<Arc<Reader>> {
        let hash = hex::encode(Sha256::digest(password.as_bytes()));
        let readers = self.readers.lock().expect("no panic while held");
        readers.get(name).filter(|reader| reader.password_sha256.eq_ignore_ascii_case(&hash)).cloned()
    }

    /// A place for one more query of the reader's.
    ///
    /// # Errors
    /// When too many run already.
    pub(super) fn turn(&self, reader: &Reader) -> Result<Turn, EngineError> {
        let place = |running: &Arc<Semaphore>| {
            Arc::clone(running).try_acquire_owned().map_err(|_full| {
                EngineError(format!(
                    "Code: 202. DB::Exception: {AT_ONCE} queries of a reader run at a time, {OF_ALL_AT_ONCE} of \
                     all readers'. (TOO_MANY_SIMULTANEOUS_QUERIES)"
                ))
            })
        };
        Ok(Turn { _of_reader: place(&reader.running)?, _of_all: place(&self.running)? })
    }
}

/// Held while a reader's query runs.
pub(super) struct Turn {
    _of_reader: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Reader {
    /// The settings in force for a request that wants `asked`.
    ///
    /// # Errors
    /// When it wants what it may not have.
    pub(super) fn settings(&self, asked: &[(String, String)]) -> Result<Vec<(String, String)>, EngineError> {
        for (name, value) in asked {
            let known = self.settings.iter().find(|setting| setting.name == *name);
            let Some((min, max)) = known.and_then(|setting| setting.changeable) else {
                return Err(EngineError(format!(
                    "Code: 164. DB::Exception: Cannot modify '{name}' setting in readonly mode. (READONLY)"
                )));
            };
            if !value.parse().is_ok_and(|value| (min..=max).contains(&value)) {
                return Err(EngineError(format!(
                    "Code: 452. DB::Exception: Setting {name} should be from {min} to {max}. \
                     (SETTING_CONSTRAINT_VIOLATION)"
                )));
            }
        }
        let asked = |name: &str| asked.iter().rfind(|(asked, _)| asked == name).map(|(_, value)| value);
        let in_force = |setting: &Setting| {
            let value = asked(&setting.name).unwrap_or(&setting.value);
            (setting.name.clone(), value.clone())
        };
        Ok(self.settings.iter().map(in_force).collect())
    }

    /// Counts one more query at `now`.
    ///
    /// # Errors
    /// When the hour's queries or their time are used up.
    pub(super) fn begin(&self, now: Instant) -> Result<(), EngineError> {
        let Some(quota) = self.quota else { return Ok(()) };
        let mut used = self.used.lock().expect("no panic while held");
        let fresh = Used { since: now, queries: 0, execution_time: Duration::ZERO };
        let used = match &mut *used {
            Some(used) if now.duration_since(used.since) < QUOTA_INTERVAL => used,
            over => over.insert(fresh),
        };
        let spent = if used.queries >= quota.queries {
            format!("queries = {}/{}", used.queries + 1, quota.queries)
        } else if used.execution_time >= quota.execution_time {
            format!("execution_time = {:?}/{:?}", used.execution_time, quota.execution_time)
        } else {
            used.queries += 1;
            return Ok(());
        };
        let left = QUOTA_INTERVAL.saturating_sub(now.duration_since(used.since)).as_secs();
        Err(EngineError(format!(
            "Code: 201. DB::Exception: Quota for user `{}` for 3600s has been exceeded: {spent}. \
             The interval ends in {left}s. (QUOTA_EXCEEDED)",
            self.name
        )))
    }

    /// Counts the time that a query took.
    pub(super) fn spent(&self, execution_time: Duration) {
        if let Some(used) = &mut *self.used.lock().expect("no panic while held") {
            used.execution_time += execution_time;
        }
    }
}

/// What the engine is configured with: `default`, who may everything but takes
/// [`ROLE`] for readers. Gives the path to hand to libchdb.
pub(super) fn write_config(directory: &Path, prefix: &str) -> std::io::Result<PathBuf> {
    let users = directory.join("users.xml");
    let config = directory.join("config.xml");
    std::fs::create_dir_all(directory)?;
    // Of the profile the empty one; networks are the listener's business.
    let text = format!(
        "<clickhouse>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
    <roles>
        <owner><grants><query>GRANT ALL ON *.* WITH GRANT OPTION</query></grants></owner>
        <{ROLE}><grants><query>GRANT SELECT ON {prefix}*.*</query></grants></{ROLE}>
    </roles>
    <users>
        <default>
            <password/>
            <networks><ip>::/0</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants><query>GRANT owner</query><query>GRANT {ROLE}</query></grants>
        </default>
    </users>
</clickhouse>
"
    );
    std::fs::write(&users, text)?;
    let path = users.display().to_string().replace('&', "&amp;").replace('<', "&lt;");
    let text = format!("<clickhouse><users_config>{path}</users_config></clickhouse>\n");
    std::fs::write(&config, text)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: &str = "CREATE USER OR REPLACE `tributary_a-b` IDENTIFIED WITH sha256_hash BY \
        '2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90' DEFAULT DATABASE bi SETTINGS log_comment = 'w', max_execution_time = 30 MIN 1 MAX 60 CHANGEABLE_IN_READONLY, readonly = 1";
    const GRANT: &str = "GRANT SELECT ON `bi`.* TO `tributary_a-b`";
    const LIMIT: &str = "CREATE QUOTA OR REPLACE `tributary_a-b` FOR INTERVAL 1 HOUR \
        MAX queries = 2, execution_time = 10 TO `tributary_a-b`";

    fn open(file: &Path) -> Readers {
        Readers::open(file.to_owned(), "bi").unwrap()
    }

    fn scratch(name: &str) -> PathBuf {
        let file = std::env::temp_dir().join(format!("tributary-readers-{name}-{}", std::process::id()));
        let _absent = std::fs::remove_file(&file);
        file
    }

    #[test]
    fn readers_are_made_and_stay_made() {
        let file = scratch("made");
        let readers = open(&file);
        for sql in [CREATE, GRANT, LIMIT] {
            readers.change(sql).unwrap().unwrap();
        }
        for readers in [readers, open(&file)] {
            assert!(readers.find("tributary_a-b", "bob").is_none(), "another's password");
            assert!(readers.find("somebody", "alice").is_none());
            let reader = readers.find("tributary_a-b", "alice").expect("their own");
            assert_eq!(reader.database.as_deref(), Some("bi"));
            for (asked, expected) in [
                (&[][..], Ok("30")),
                (&[("max_execution_time", "60")], Ok("60")),
                (&[("max_execution_time", "61")], Err("Code: 452")),
                (&[("max_execution_time", "0")], Err("Code: 452")),
                (&[("max_execution_time", "60"), ("log_comment", "v")], Err("Code: 164")),
                (&[("readonly", "0")], Err("Code: 164")),
                (&[("max_threads", "1")], Err("Code: 164")),
            ] {
                let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
                let asked: Vec<(String, String)> = asked.iter().map(owned).collect();
                match (reader.settings(&asked), expected) {
                    (Ok(settings), Ok(seconds)) => {
                        let all = [("log_comment", "w"), ("max_execution_time", seconds), ("readonly", "1")];
                        assert_eq!(settings, all.map(|(name, value)| (name.to_owned(), value.to_owned())));
                    }
                    (Err(error), Err(code)) => assert!(error.0.starts_with(code), "{asked:?}: {error}"),
                    (found, _) => panic!("{asked:?}: {found:?}"),
                }
            }
        }
        let readers = open(&file);
        readers.change("DROP USER IF EXISTS `tributary_a-b`").unwrap().unwrap();
        readers.change("DROP QUOTA IF EXISTS `tributary_a-b`").unwrap().unwrap();
        assert!(open(&file).find("tributary_a-b", "alice").is_none());
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let readers = open(&scratch("refused"));
        for (sql, expected) in
            [(GRANT, "Code: 192"), (LIMIT, "Code: 192"), ("GRANT SELECT ON `other`.* TO `x`", "Code: 497")]
        {
            let error = readers.change(sql).expect("about users").unwrap_err();
            assert!(error.0.starts_with(expected), "{sql}: {error}");
        }
        for sql in ["SELECT 1", "CREATE USER x", "GRANT ALL ON *.* TO x", "CREATE USER 'x", ""] {
            assert!(readers.change(sql).is_none(), "{sql} is left to the engine, which refuses it");
        }
    }

    #[test]
    fn few_queries_run_at_a_time() {
        let readers = open(&scratch("turns"));
        readers.change(CREATE).unwrap().unwrap();
        let reader = || readers.find("tributary_a-b", "alice").unwrap();
        let turns: Vec<_> = (0..AT_ONCE).map(|_| readers.turn(&reader()).unwrap()).collect();
        // Nor does another password make room.
        readers.change(CREATE).unwrap().unwrap();
        assert!(readers.turn(&reader()).is_err_and(|error| error.0.contains("Code: 202")));
        drop(turns);
        assert!(readers.turn(&reader()).is_ok());
    }

    #[test]
    fn who_may_no_longer_read_is_left_without() {
        let file = scratch("moved");
        let readers = open(&file);
        for sql in [CREATE, GRANT] {
            readers.change(sql).unwrap().unwrap();
        }
        let moved = Readers::open(file, "elsewhere").unwrap();
        assert_eq!(moved.find("tributary_a-b", "alice").expect("there").database, None);
    }

    #[test]
    fn an_hours_quota_is_an_hours() {
        let readers = open(&scratch("quota"));
        for sql in [CREATE, GRANT, LIMIT] {
            readers.change(sql).unwrap().unwrap();
        }
        let reader = || readers.find("tributary_a-b", "alice").unwrap();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(reader().begin(start).is_ok());
        assert!(reader().begin(after(10)).is_ok());
        let error = reader().begin(after(20)).unwrap_err().0;
        assert!(error.contains("queries = 3/2") && error.contains("Code: 201"), "{error}");
        for sql in [CREATE, GRANT, LIMIT] {
            readers.change(sql).unwrap().unwrap();
        }
        assert!(reader().begin(after(30)).is_err(), "another password gives nothing back");
        assert!(reader().begin(after(3_600)).is_ok(), "another hour");
        reader().spent(Duration::from_secs(11));
        let error = reader().begin(after(3_610)).unwrap_err().0;
        assert!(error.contains("execution_time = 11s/10s"), "{error}");
    }
}
