//! Where an address is, by any MaxMind or DB-IP city or country file.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use maxminddb::{Reader, geoip2};

/// A GeoIP file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("GeoIP file {path}: {source}")]
pub struct GeoError {
    path: PathBuf,
    source: maxminddb::MaxMindDbError,
}

/// A GeoIP file, in memory.
pub struct GeoReader {
    reader: Reader<Vec<u8>>,
}

/// A country, and a city where it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) country: Option<String>,
    pub(crate) city: Option<String>,
}

impl GeoReader {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read or is no MaxMind database.
    pub fn open(path: &Path) -> Result<Self, GeoError> {
        let reader =
            Reader::open_readfile(path).map_err(|source| GeoError { path: path.to_owned(), source })?;
        Ok(Self { reader })
    }

    pub(crate) fn place(&self, address: IpAddr) -> Place {
        let found = self.reader.lookup(address).and_then(|found| found.decode::<geoip2::City<'_>>());
        let Ok(Some(found)) = found else { return Place::default() };
        Place {
            country: found.country.iso_code.map(ToOwned::to_owned),
            city: found.city.names.english.map(ToOwned::to_owned),
        }
    }
}
