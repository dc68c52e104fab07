//! How much one sender may ask for, and how much is worked on at a time.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};

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
    in_flight: Semaphore,
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
            in_flight: Semaphore::new(settings.max_in_flight),
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

/// Lets a request in, or turns it away at once. It has its place until what is
/// given is dropped.
///
/// # Errors
/// When its sender asks for too much, or everybody together does.
pub(crate) fn admit<'a>(
    limits: &'a Limits,
    caller: CallerAddress,
    path: &str,
) -> Result<Option<SemaphorePermit<'a>>, ApiError> {
    // Whoever watches must see a collector that is overrun.
    if matches!(path, "/healthz" | "/readyz" | "/metrics") {
        return Ok(None);
    }
    if let Err(too_much) = limits.address(caller.0) {
        return Err(ApiError::too_much(too_much, "this address asks for too much"));
    }
    match limits.in_flight.try_acquire() {
        Ok(place) => Ok(Some(place)),
        Err(_none_free) => {
            let message = "more is asked for than can be worked on; try again";
            Err(ApiError::unavailable("overloaded", message))
        }
    }
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
    fn without_limits_nothing_is_counted() {
        let limits = limits(0, 0);
        assert!(
            (0..1_000)
                .all(|_| limits.key(1).is_ok() && limits.address("203.0.113.1".parse().unwrap()).is_ok())
        );
    }
}
