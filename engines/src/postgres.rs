//! The machine's own Postgres: where it is, whom it may run as, how it starts.
//!
//! Postgres refuses to run as root. Where this program does, the server is
//! started as the user `postgres` (or `nobody`); if that user cannot enter the
//! data directory, for example under `/root`, it is started in a user
//! namespace in which root's files belong to an ordinary user instead.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, User};

/// The superuser of the embedded server.
pub const SUPERUSER: &str = "tributary";
/// The database that `tributary up` works in.
pub const DATABASE: &str = "tributary";

/// What went wrong with Postgres.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No server on this machine.
    #[error(
        "no Postgres server found in {searched}: install one (Debian: apt-get install postgresql) \
         or name its bin directory with --postgres-bin"
    )]
    NotFound {
        /// Where it was looked for.
        searched: String,
    },
    /// A helper program failed.
    #[error("{program} failed: {output}")]
    Failed {
        /// The program, for example `initdb`.
        program: String,
        /// What it printed.
        output: String,
    },
    /// A file or directory of its data cannot be used.
    #[error("Postgres data directory {path}: {source}")]
    DataDir {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Whom the server runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RunAs {
    /// The user who runs this program.
    Caller,
    /// Another user, because the caller is root.
    User { uid: Uid, gid: Gid },
    /// The caller, seen as an ordinary user inside a namespace.
    Namespace,
}

/// A Postgres server that can be started on a data directory.
#[derive(Clone, Debug)]
pub struct Postgres {
    bin_dir: PathBuf,
    data_dir: PathBuf,
    port: u16,
    run_as: RunAs,
}

impl Postgres {
    /// Finds the server (`bin_dir`, or the newest installed) for `data_dir`.
    ///
    /// # Errors
    /// When there is none, or the directory cannot be made.
    pub fn find(bin_dir: Option<&Path>, data_dir: &Path, port: u16) -> Result<Self, PostgresError> {
        let bin_dir = find_bin_dir(bin_dir)?;
        let at = |source| PostgresError::DataDir { path: data_dir.to_owned(), source };
        std::fs::create_dir_all(data_dir).map_err(at)?;
        let run_as = run_as(data_dir);
        if let RunAs::User { uid, gid } = run_as {
            std::os::unix::fs::chown(data_dir, Some(uid.as_raw()), Some(gid.as_raw())).map_err(at)?;
        }
        Ok(Self { bin_dir, data_dir: data_dir.to_owned(), port, run_as })
    }

    /// Makes the data directory ready: creates it where it is new, and ends a
    /// server that an earlier, killed run has left behind.
    ///
    /// # Errors
    /// When `initdb` or `pg_ctl` fails.
    pub fn prepare(&self) -> Result<(), PostgresError> {
        if self.data_dir.join("PG_VERSION").exists() {
            return self.stop_leftover();
        }
        let mut initdb = self.command("initdb");
        initdb.args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"]);
        initdb.arg(format!("--username={SUPERUSER}"));
        self.run(initdb)?;
        let settings = "\n# Written by tributary when it made this directory.\n\
            listen_addresses = '127.0.0.1'\n\
            unix_socket_directories = ''\n\
            shared_buffers = 256MB\n\
            max_wal_size = 2GB\n\
            wal_compression = on\n\
            timezone = 'UTC'\n";
        let path = self.data_dir.join("postgresql.conf");
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(settings.as_bytes()))
            .map_err(|source| PostgresError::DataDir { path, source })
    }

    fn stop_leftover(&self) -> Result<(), PostgresError> {
        let Ok(pid_file) = std::fs::read_to_string(self.data_dir.join("postmaster.pid")) else {
            return Ok(());
        };
        let pid = pid_file.lines().next().unwrap_or_default().trim();
        let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if command.trim() != "postgres" {
            return Ok(());
        }
        tracing::warn!(pid, "stopping a Postgres server left by an earlier run");
        let mut pg_ctl = self.command("pg_ctl");
        pg_ctl.args(["stop", "--mode=fast", "--wait", "--timeout=30"]);
        match self.run(pg_ctl) {
            // It was stopping of its own accord, for its parent is gone.
            Err(_) if !self.data_dir.join("postmaster.pid").exists() => Ok(()),
            stopped => stopped,
        }
    }

    /// Creates [`DATABASE`] where it is missing; the server must run.
    ///
    /// # Errors
    /// When `psql` or `createdb` fails.
    pub fn create_database(&self) -> Result<(), PostgresError> {
        let client = |program: &str, database: &str| {
            let mut command = Command::new(self.bin_dir.join(program));
            command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", SUPERUSER]);
            command.args(["-w", database]);
            command
        };
        let mut exists = client("psql", "postgres");
        exists.args(["-Atc", &format!("SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'")]);
        if self.output(exists)?.trim() == "1" {
            return Ok(());
        }
        self.run(client("createdb", DATABASE))
    }

    /// Whether the server answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        Command::new(self.bin_dir.join("pg_isready"))
            .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .status()
            .is_ok_and(|status| status.success())
    }

    /// The server itself, to be run in the foreground.
    #[must_use]
    pub fn server_command(&self) -> Command {
        let mut command = self.command("postgres");
        command.args(["-p", &self.port.to_string()]);
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin_dir.join(program));
        command.arg("-D").arg(&self.data_dir).stdin(Stdio::null());
        // The caller's directory may be closed to the server's user.
        command.current_dir("/");
        become_user(&mut command, &self.run_as);
        command
    }

    fn run(&self, command: Command) -> Result<(), PostgresError> {
        self.output(command).map(|_output| ())
    }

    fn output(&self, mut command: Command) -> Result<String, PostgresError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |output: String| PostgresError::Failed { program: program.clone(), output };
        let output = command.output().map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let both = [output.stderr, output.stdout].concat();
        Err(failed(format!("{}, as {:?}: {}", output.status, self.run_as, String::from_utf8_lossy(&both))))
    }
}

fn find_bin_dir(given: Option<&Path>) -> Result<PathBuf, PostgresError> {
    let has_server = |dir: &PathBuf| dir.join("postgres").exists() && dir.join("initdb").exists();
    let mut candidates: Vec<PathBuf> = match given {
        Some(dir) => vec![dir.to_owned()],
        None => debian_bin_dirs(),
    };
    if given.is_none() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        candidates.extend(std::env::split_paths(&path));
    }
    candidates.iter().find(|dir| has_server(dir)).cloned().ok_or_else(|| PostgresError::NotFound {
        searched: given
            .map_or_else(|| "/usr/lib/postgresql/*/bin and PATH".to_owned(), |dir| dir.display().to_string()),
    })
}

/// Debian's server directories, newest first.
fn debian_bin_dirs() -> Vec<PathBuf> {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, dir)| dir).collect()
}

fn run_as(data_dir: &Path) -> RunAs {
    if !Uid::effective().is_root() {
        return RunAs::Caller;
    }
    let user = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
    match user {
        Some(user) if may_enter(data_dir, user.uid, user.gid) => RunAs::User { uid: user.uid, gid: user.gid },
        _ => RunAs::Namespace,
    }
}

/// Whether every directory above `data_dir` lets this user through.
fn may_enter(data_dir: &Path, uid: Uid, gid: Gid) -> bool {
    let Ok(absolute) = data_dir.canonicalize() else { return false };
    absolute.ancestors().skip(1).all(|dir| {
        dir.metadata().is_ok_and(|meta| {
            let wanted = match (meta.uid() == uid.as_raw(), meta.gid() == gid.as_raw()) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            meta.mode() & wanted != 0
        })
    })
}

fn become_user(command: &mut Command, run_as: &RunAs) {
    use std::os::unix::process::CommandExt as _;
    let namespace = *run_as == RunAs::Namespace;
    if let RunAs::User { uid, gid } = run_as {
        command.uid(uid.as_raw()).gid(gid.as_raw());
    }
    let before_exec = move || {
        if namespace {
            enter_user_namespace()?;
        }
        die_with_parent()
    };
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(before_exec);
    }
}

/// Root outside is user 1000 inside, so the files stay reachable and Postgres
/// is content.
#[cfg(target_os = "linux")]
fn enter_user_namespace() -> std::io::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER)?;
    for (file, map) in [
        ("/proc/self/setgroups", "deny"),
        ("/proc/self/uid_map", "1000 0 1"),
        ("/proc/self/gid_map", "1000 0 1"),
    ] {
        std::fs::OpenOptions::new().write(true).open(file)?.write_all(map.as_bytes())?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn enter_user_namespace() -> std::io::Result<()> {
    Err(std::io::Error::other("user namespaces are Linux's; run as an ordinary user"))
}

/// A killed parent cannot stop its server; the kernel does it (fast shutdown).
#[cfg(target_os = "linux")]
fn die_with_parent() -> std::io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGINT)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent() -> std::io::Result<()> {
    Ok(())
}
