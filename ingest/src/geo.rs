//! Where an address is and whose network it is in, by any MaxMind or DB-IP
//! file; read again when the file changes.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use maxminddb::Reader;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::remembered::{Found, Remembered};

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
    places: Option<Watched<PlaceEntry>>,
    networks: Option<Watched<NetworkEntry>>,
}

/// What the files say of an address.
#[derive(Default)]
pub(crate) struct Place {
    entry: Option<Found<usize, PlaceEntry>>,
    /// The number of its autonomous system.
    pub(crate) asn: Option<u32>,
}

impl Place {
    /// Its country, by ISO 3166's two letters.
    pub(crate) fn country(&self) -> Option<&str> {
        self.entry.as_ref()?.country.iso_code.as_deref()
    }

    /// Its city's English name.
    pub(crate) fn city(&self) -> Option<&str> {
        self.entry.as_ref()?.city.names.en.as_deref()
    }

    #[cfg(test)]
    pub(crate) fn of(country: &str, city: &str) -> Self {
        let entry = PlaceEntry {
            country: CountryEntry { iso_code: Some(country.to_owned()) },
            city: CityEntry { names: Names { en: Some(city.to_owned()) } },
        };
        Self { entry: Remembered::default().get(&0, || Some(entry)), asn: None }
    }
}

/// What is read of an entry of a file of places; there is ten times as much in one,
/// in eight languages.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct PlaceEntry {
    country: CountryEntry,
    city: CityEntry,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct CountryEntry {
    iso_code: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct CityEntry {
    names: Names,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Names {
    en: Option<String>,
}

/// What is read of an entry of a file of networks.
#[derive(Deserialize)]
struct NetworkEntry {
    autonomous_system_number: Option<u32>,
}

/// A file, as it was when it last changed.
struct Watched<T> {
    path: PathBuf,
    current: ArcSwap<Loaded<T>>,
}

struct Loaded<T> {
    reader: Reader<Vec<u8>>,
    changed: Option<SystemTime>,
    /// By where they stand in the file. Many addresses share an entry, and to read one
    /// took longer than anything else a click does.
    remembered: Remembered<usize, T>,
}

impl<T: DeserializeOwned> Loaded<T> {
    fn new(path: &Path) -> Result<Self, GeoError> {
        // Before it is read: what changes meanwhile is read again.
        let changed = changed(path);
        let reader = Reader::open_readfile(path);
        let reader = reader.map_err(|source| GeoError { path: path.to_owned(), source })?;
        Ok(Self { reader, changed, remembered: Remembered::default() })
    }

    /// The entry of an address, if there is one that can be read.
    fn entry(&self, address: IpAddr) -> Option<Found<usize, T>> {
        let found = self.reader.lookup(address).ok()?;
        self.remembered.get(&found.offset()?, || found.decode().ok().flatten())
    }
}

impl<T: DeserializeOwned> Watched<T> {
    fn open(path: &Path) -> Result<Self, GeoError> {
        Ok(Self { path: path.to_owned(), current: ArcSwap::from_pointee(Loaded::new(path)?) })
    }

    /// Reads the file again if it has changed; keeps the old content if the new
    /// cannot be used.
    fn refresh(&self) {
        let now = changed(&self.path);
        if now.is_none() || now == self.current.load().changed {
            return;
        }
        match Loaded::new(&self.path) {
            Ok(loaded) => {
                tracing::info!(path = %self.path.display(), "GeoIP file read again");
                self.current.store(Arc::new(loaded));
            }
            Err(error) => tracing::warn!(%error, "the changed file is not used"),
        }
    }
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
        if let Some(places) = &self.places {
            places.refresh();
        }
        if let Some(networks) = &self.networks {
            networks.refresh();
        }
    }

    pub(crate) fn place(&self, address: IpAddr) -> Place {
        let entry = self.places.as_ref().and_then(|places| places.current.load().entry(address));
        let network = self.networks.as_ref().and_then(|networks| networks.current.load().entry(address));
        Place { entry, asn: network.and_then(|network| network.autonomous_system_number) }
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
        let place = geo.place("81.2.69.142".parse().unwrap());
        assert_eq!((place.country(), place.city(), place.asn), (None, None, None));
    }

    #[test]
    fn an_entry_is_read_once() {
        let networks = Loaded::<NetworkEntry>::new(&test_file("GeoLite2-ASN-Test.mmdb")).unwrap();
        let entry = |address: &str| networks.entry(address.parse().unwrap()).unwrap();
        // Of one network.
        assert!(std::ptr::eq(&raw const *entry("1.128.0.1"), &raw const *entry("1.159.255.1")));
        assert!(!std::ptr::eq(&raw const *entry("1.128.0.1"), &raw const *entry("12.81.92.1")));
        assert!(networks.entry("127.0.0.1".parse().unwrap()).is_none());
        assert_eq!(networks.remembered.len(), 2);
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
        assert_eq!((place.country(), place.city()), (Some("GB"), None));
        assert_eq!(geo.place("1.128.0.1".parse().unwrap()).asn, Some(1_221));
        // A file that is no database changes nothing; a better one does.
        let later = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        std::fs::write(&places, "nonsense").unwrap();
        geo.refresh();
        assert_eq!(geo.place(london).country(), Some("GB"));
        std::fs::copy(city, &places).unwrap();
        std::fs::File::open(&places).unwrap().set_modified(later(2_000_000_000)).unwrap();
        geo.refresh();
        assert_eq!(geo.place(london).city(), Some("London"));
        assert!(Geo::open(&GeoSettings { places: Some(dir.path().join("none")), networks: None }).is_err());
    }
}
