//! Keys that are settings, or files of the data directory that `up` wrote.

use std::path::PathBuf;

use anyhow::Context as _;
use runtime::sealed::SealingKey;

use super::Settings;

impl Settings {
    /// The admin key: the setting, or the file that `up` wrote.
    pub(crate) fn admin_key(&self) -> anyhow::Result<String> {
        if let Some(key) = &self.admin_key {
            return Ok(key.clone());
        }
        let path = self.admin_key_file();
        let key = std::fs::read_to_string(&path).with_context(|| {
            format!("no admin key: set --admin-key, or run `tributary up`, which writes {}", path.display())
        })?;
        Ok(key.trim().to_owned())
    }

    pub(crate) fn admin_key_file(&self) -> PathBuf {
        self.data_dir.join("admin.key")
    }

    /// What tokens are sealed with: the setting, or the file that `up` wrote, if either is
    /// there.
    pub(crate) fn secrets_key(&self) -> anyhow::Result<Option<SealingKey>> {
        let path = self.secrets_key_file();
        let text = match self.secrets_key.as_deref() {
            // Empty, as a variable of docker-compose.yml is that nobody has set.
            Some("") => return Ok(None),
            Some(key) => key.to_owned(),
            None if path.exists() => {
                std::fs::read_to_string(&path).with_context(|| path.display().to_string())?
            }
            None => return Ok(None),
        };
        Ok(Some(
            SealingKey::from_hex(&text)
                .with_context(|| format!("--secrets-key, or {}, cannot be used", path.display()))?,
        ))
    }

    pub(crate) fn secrets_key_file(&self) -> PathBuf {
        self.data_dir.join("secrets.key")
    }
}
