//! Where an address is and whose network it is in, by any MaxMind or DB-IP
//! file; read again when the file changes.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use maxminddb::{Reader, geoip2};

/// A GeoIP file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("GeoIP file {path}: {source}")]
pub struct GeoError {
    path: PathBuf,
    source: maxminddb::MaxMindDbError,
}

/// Which files to use; none is fine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeoSettings {
    /// Countries, and cities if it has them.
    pub places: Option<PathBuf>,
    /// Autonomous systems.
    pub networks: Option<PathBuf>,
}

/// The files, in memory.
#[derive(Default)]
pub(crate) struct Geo {
    places: Option<Watched>,
    networks: Option<Watched>,
}

/// What the files say of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) country: Option<String>,
    pub(crate) city: Option<String>,
    /// The number of its autonomous system.
    pub(crate) asn: Option<u32>,
}

/// A file, as it was when it last changed.
struct Watched {
    path: PathBuf,
    current: ArcSwap<Loaded>,
}

struct Loaded {
    reader: Reader<Vec<u8>>,
    changed: Option<SystemTime>,
}

impl Watched {
    fn open(path: &Path) -> Result<Self, GeoError> {
        let changed = changed(path);
        let current = ArcSwap::from_pointee(Loaded { reader: read(path)?, changed });
        Ok(Self { path: path.to_owned(), current })
    }

    /// Reads the file again if it has changed; keeps the old content if the new
    /// cannot be used.
    fn refresh(&self) {
        let now = changed(&self.path);
        if now.is_none() || now == self.current.load().changed {
            return;
        }
        match read(&self.path) {
            Ok(reader) => {
                tracing::info!(path = %self.path.display(), "GeoIP file read again");
                self.current.store(Arc::new(Loaded { reader, changed: now }));
            }
            Err(error) => tracing::warn!(%error, "the changed file is not used"),
        }
    }
}

fn read(path: &Path) -> Result<Reader<Vec<u8>>, GeoError> {
    Reader::open_readfile(path).map_err(|source| GeoError { path: path.to_owned(), source })
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

impl Geo {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read or is no MaxMind database.
    pub(crate) fn open(settings: &GeoSettings) -> Result<Self, GeoError> {
        Ok(Self {
            places: settings.places.as_deref().map(Watched::open).transpose()?,
            networks: settings.networks.as_deref().map(Watched::open).transpose()?,
        })
    }

    /// Reads files again that have changed. Blocks.
    pub(crate) fn refresh(&self) {
        for watched in [&self.places, &self.networks].into_iter().flatten() {
            watched.refresh();
        }
    }

    pub(crate) fn place(&self, address: IpAddr) -> Place {
        let mut place = Place::default();
        if let Some(places) = &self.places {
            let current = places.current.load();
            let found = current.reader.lookup(address).and_then(|found| found.decode::<geoip2::City<'_>>());
            if let Ok(Some(found)) = found {
                place.country = found.country.iso_code.map(ToOwned::to_owned);
                place.city = found.city.names.english.map(ToOwned::to_owned);
            }
        }
        if let Some(networks) = &self.networks {
            let current = networks.current.load();
            let found = current.reader.lookup(address).and_then(|found| found.decode::<geoip2::Asn<'_>>());
            place.asn = found.ok().flatten().and_then(|found| found.autonomous_system_number);
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/geoip").join(name)
    }

    #[test]
    fn no_file_says_nothing() {
        let geo = Geo::open(&GeoSettings::default()).unwrap();
        assert_eq!(geo.place("81.2.69.142".parse().unwrap()), Place::default());
    }

    #[test]
    fn files_say_where_and_whose_and_may_change() {
        let city = test_file("GeoLite2-City-Test.mmdb");
        let country = test_file("GeoLite2-Country-Test.mmdb");
        let asn = test_file("GeoLite2-ASN-Test.mmdb");
        let dir = tempfile::tempdir().unwrap();
        let places = dir.path().join("places.mmdb");
        std::fs::copy(country, &places).unwrap();
        let geo = Geo::open(&GeoSettings { places: Some(places.clone()), networks: Some(asn) }).unwrap();
        let london = "81.2.69.142".parse().unwrap();
        let place = geo.place(london);
        assert_eq!((place.country.as_deref(), place.city.as_deref()), (Some("GB"), None));
        assert_eq!(geo.place("1.128.0.1".parse().unwrap()).asn, Some(1_221));
        // A file that is no database changes nothing; a better one does.
        let later = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        std::fs::write(&places, "nonsense").unwrap();
        geo.refresh();
        assert_eq!(geo.place(london).country.as_deref(), Some("GB"));
        std::fs::copy(city, &places).unwrap();
        std::fs::File::open(&places).unwrap().set_modified(later(2_000_000_000)).unwrap();
        geo.refresh();
        assert_eq!(geo.place(london).city.as_deref(), Some("London"));
        assert!(Geo::open(&GeoSettings { places: Some(dir.path().join("none")), networks: None }).is_err());
    }
}
