//! Where settings come from beside the command line: the environment, and a TOML file,
//! whose keys are the flags' names with `_` for `-`. It sets defaults, which the
//! environment and the command line override.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context as _, bail};

/// Variables that look like settings and are none: misspelt, most likely.
pub(crate) fn misspelt(command: &clap::Command, variables: impl Iterator<Item = String>) -> Vec<String> {
    let commands = std::iter::once(command).chain(command.get_subcommands());
    let known: HashSet<&OsStr> =
        commands.flat_map(clap::Command::get_arguments).filter_map(clap::Arg::get_env).collect();
    variables
        .filter(|name| name.starts_with("TRIBUTARY_") && !known.contains(OsStr::new(name)))
        // The Makefile's.
        .filter(|name| name != "TRIBUTARY_CACHE" && !name.starts_with("TRIBUTARY_TEST_"))
        .collect()
}

/// Takes the values of a TOML file as defaults of `command`'s flags.
pub(crate) fn with_file(mut command: clap::Command, path: &Path) -> anyhow::Result<clap::Command> {
    let text = std::fs::read_to_string(path).with_context(|| format!("settings file {}", path.display()))?;
    let table: toml::Table = text.parse().with_context(|| format!("settings file {}", path.display()))?;
    for (key, value) in table {
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            other => {
                bail!("settings file {}: {key} is a {}, not a plain value", path.display(), other.type_str())
            }
        };
        if key == "config" || !command.get_arguments().any(|arg| arg.get_id().as_str() == key) {
            bail!("settings file {}: there is no setting {key:?}; see `tributary --help`", path.display());
        }
        // Defaults live as long as the program.
        let value: &'static str = value.leak();
        command = command.mut_arg(&key, |arg| arg.default_value(value));
    }
    Ok(command)
}
