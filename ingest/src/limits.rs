//! How much one sender may ask for, and how much is worked on at a time.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::caller::CallerAddress;
use crate::error::ApiError;

/// The limits; where one is absent, nothing is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Events of one key in a second; a burst of as many is taken.
    pub key_events_per_second: Option<NonZeroU32>,
    /// Requests of one address (v6: of its /64) in a second; a burst of twice
    /// as many is taken. This machine and trusted proxies are not counted.
    pub address_requests_per_second: Option<NonZeroU32>,
    /// Requests that are worked on at a time; more are turned away, so that
    /// those within do not wait long.
    pub max_in_flight: usize,
}

/// Too much was asked for; the same may be taken after this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch(pub(crate) Duration);

/// Counts what is asked for.
pub(crate) struct Limits {
    keys: Option<DefaultKeyedRateLimiter<u64>>,
    addresses: Option<DefaultKeyedRateLimiter<IpAddr>>,
    clock: DefaultClock,
    max_in_flight: usize,
    in_flight: Counter,
}

impl Limits {
    pub(crate) fn new(settings: LimitSettings) -> Self {
        let per_second = |rate: NonZeroU32, burst: NonZeroU32| Quota::per_second(rate).allow_burst(burst);
        Self {
            keys: settings.key_events_per_second.map(|rate| RateLimiter::dashmap(per_second(rate, rate))),
            addresses: settings.address_requests_per_second.map(|rate| {
                RateLimiter::dashmap(per_second(rate, rate.saturating_mul(NonZeroU32::MIN.saturating_add(1))))
            }),
            clock: DefaultClock::default(),
            max_in_flight: settings.max_in_flight,
            in_flight: Counter::default(),
        }
    }

    /// Counts an event of a key.
    pub(crate) fn key(&self, key: u64) -> Result<(), TooMuch> {
        let Some(keys) = &self.keys else { return Ok(()) };
        keys.check_key(&key).map_err(|until| TooMuch(until.wait_time_from(self.clock.now())))
    }

    /// Counts a request of an address.
    fn address(&self, address: IpAddr) -> Result<(), TooMuch> {
        let Some(addresses) = &self.addresses else { return Ok(()) };
        if address.is_loopback() {
            return Ok(());
        }
        let one = match address {
            IpAddr::V4(_) => address,
            // A household has a /64, and may choose any address in it.
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        };
        addresses.check_key(&one).map_err(|until| TooMuch(until.wait_time_from(self.clock.now())))
    }

    /// Forgets those who have not been heard of for a while.
    pub(crate) fn forget_idle(&self) {
        if let Some(keys) = &self.keys {
            keys.retain_recent();
        }
        if let Some(addresses) = &self.addresses {
            addresses.retain_recent();
        }
    }
}

/// A counter in cache lines of its own: all threads write it with each request, and
/// would otherwise take what stands beside it away from each other.
#[derive(Default)]
#[repr(align(128))]
struct Counter(AtomicUsize);

/// One of the requests that are worked on, until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted<'a>(&'a AtomicUsize);

impl<'a> Admitted<'a> {
    /// None if `max` have one.
    fn take(taken: &'a AtomicUsize, max: usize) -> Option<Self> {
        let is_free = taken.fetch_add(1, Ordering::Relaxed) < max;
        // If not, it is given back at once.
        let admitted = Self(taken);
        is_free.then_some(admitted)
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets a request in, or turns it away at once. It has its place until what is
/// given is dropped.
///
/// # Errors
/// When its sender asks for too much, or everybody together does.
pub(crate) fn admit<'a>(
    limits: &'a Limits,
    caller: CallerAddress,
    path: &str,
) -> Result<Option<Admitted<'a>>, ApiError> {
    // Whoever watches must see a collector that is overrun.
    if matches!(path, "/healthz" | "/readyz" | "/metrics") {
        return Ok(None);
    }
    if let Err(too_much) = limits.address(caller.0) {
        return Err(ApiError::too_much(too_much, "this address asks for too much"));
    }
    let admitted = Admitted::take(&limits.in_flight.0, limits.max_in_flight);
    let message = "more is asked for than can be worked on; try again";
    admitted.map(Some).ok_or_else(|| ApiError::unavailable("overloaded", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(keys: u32, addresses: u32) -> Limits {
        Limits::new(LimitSettings {
            key_events_per_second: NonZeroU32::new(keys),
            address_requests_per_second: NonZeroU32::new(addresses),
            max_in_flight: 1,
        })
    }

    #[test]
    fn keys_and_addresses_are_counted_apart() {
        let limits = limits(10, 5);
        assert_eq!((0..100).filter(|_| limits.key(1).is_ok()).count(), 10);
        assert_eq!((0..100).filter(|_| limits.key(2).is_ok()).count(), 10);
        let TooMuch(wait) = limits.key(1).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(100), "{wait:?}");
        let taken =
            |address: &str| (0..100).filter(|_| limits.address(address.parse().unwrap()).is_ok()).count();
        for (address, expected) in [
            ("203.0.113.1", 10),
            ("203.0.113.2", 10),
            ("2001:db8::1", 10),
            // Of the same /64.
            ("2001:db8::2", 0),
            ("2001:db8:0:1::1", 10),
            ("127.0.0.1", 100),
            ("::1", 100),
        ] {
            assert_eq!(taken(address), expected, "{address}");
        }
    }

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let (limits, caller) = (limits(0, 0), CallerAddress("203.0.113.1".parse().unwrap()));
        let enter = |path| admit(&limits, caller, path);
        let first = enter("/abc").unwrap();
        for _ in 0..3 {
            assert_eq!(enter("/abc").unwrap_err().reason, "overloaded");
            assert!(enter("/healthz").is_ok(), "whoever watches is let in");
        }
        drop(first);
        assert!(enter("/abc").unwrap().is_some());
    }

    #[test]
    fn without_limits_nothing_is_counted() {
        let limits = limits(0, 0);
        assert!(
            (0..1_000)
                .all(|_| limits.key(1).is_ok() && limits.address("203.0.113.1".parse().unwrap()).is_ok())
        );
    }
}
