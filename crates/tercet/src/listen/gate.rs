//! What one address may do: how many connections, how fast, and what a failed login costs.
//!
//! An address is an IPv4 address or an IPv6 /64. The table is bounded; entries with nothing to remember are dropped when
//! it is full, and an address that finds no room is let in within the bound on all unauthenticated connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The gate's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLimits {
    /// False lets everyone in and never delays; a laboratory's setting.
    pub rates: bool,
    /// Connections of one address.
    pub connections: u32,
    /// Connections of one address that have not logged in.
    pub unauthenticated: u32,
    /// Connections of all addresses that have not logged in.
    pub unauthenticated_in_all: u32,
    /// Connections one address may open at once after a pause.
    pub burst: u32,
    /// Connections one address may open per second in the long run.
    pub per_second: u32,
    /// Registration requests one address may make at once after a pause.
    pub registrations: u32,
    /// Seconds until it may make one more.
    pub registration_seconds: u32,
}

impl Default for GateLimits {
    fn default() -> Self {
        GateLimits {
            rates: true,
            connections: 256,
            unauthenticated: 64,
            unauthenticated_in_all: 8192,
            burst: 100,
            per_second: 20,
            registrations: 10,
            registration_seconds: 60,
        }
    }
}

/// Addresses that are remembered.
const ENTRIES: usize = 32_768;
/// Logins that may fail before the answer is delayed.
const FREE_FAILURES: u32 = 3;
/// A failure is forgotten after this time.
const FORGIVEN_AFTER: Duration = Duration::from_secs(20);
/// Failures that are counted: forgotten within 20 minutes at most.
const MOST_FAILURES: u32 = 60;
/// The longest delay of an answer.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// Guards the listeners of the server, all together.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limits: GateLimits,
    /// Beyond the connections that are counted in an entry.
    unauthenticated: u32,
    addresses: HashMap<Key, Entry>,
}

/// Who is counted as one. The standard hasher is keyed: nobody can choose addresses that collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(u64),
    /// The hash of an account's address.
    Account(u64),
}

#[derive(Debug)]
struct Entry {
    open: u32,
    unauthenticated: u32,
    /// Connections opened of late, in thousandths; drains at the permitted rate.
    opened: u64,
    /// Registration requests of late, in milliseconds of waiting; drains by itself.
    registered: u64,
    failures: u32,
    since: Instant,
    failed: Instant,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The address has too many open connections.
    Connections,
    /// The address has too many connections that have not logged in.
    Unauthenticated,
    /// The address opens connections too fast.
    Rate,
    /// The server has too many connections that have not logged in.
    Busy,
}

/// Counts one connection for as long as it exists.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    key: Key,
    unauthenticated: bool,
    /// Counted in the address's entry too.
    entered: bool,
}

impl Gate {
    /// A gate with no one inside.
    pub fn new(limits: GateLimits) -> Arc<Gate> {
        let state = State {
            limits,
            unauthenticated: 0,
            addresses: HashMap::new(),
        };
        Arc::new(Gate {
            state: Mutex::new(state),
        })
    }

    /// Changes the bounds; who is inside stays.
    pub fn set_limits(&self, limits: GateLimits) {
        self.lock().limits = limits;
    }

    /// Lets a connection from `address` in.
    ///
    /// # Errors
    /// The bound that it would exceed.
    pub fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Pass, Refusal> {
        self.count(address, now, true)
    }

    /// Lets something in that counts as a connection of `address` while it lasts, but opens none: a request that came
    /// through a proxy.
    ///
    /// # Errors
    /// The bound that it would exceed, the rate aside.
    pub fn admit_request(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Pass, Refusal> {
        self.count(address, now, false)
    }

    /// Lets a connection of a proxy in, which is counted by its clients, each for itself, and in the sum.
    ///
    /// # Errors
    /// The bound on all connections.
    pub fn admit_proxy(self: &Arc<Self>) -> Result<Pass, Refusal> {
        let mut state = self.lock();
        if state.limits.rates && state.unauthenticated >= state.limits.unauthenticated_in_all {
            return Err(Refusal::Busy);
        }
        state.unauthenticated += 1;
        Ok(Pass {
            gate: self.clone(),
            key: Key::Address(0),
            unauthenticated: true,
            entered: false,
        })
    }

    /// Counts that `address`, which is in by a request, opens a connection.
    ///
    /// # Errors
    /// It opens them too fast.
    pub fn open(&self, address: IpAddr, now: Instant) -> Result<(), Refusal> {
        let mut state = self.lock();
        let limits = state.limits;
        match state.entry(key(address), now) {
            Some(entry) if limits.rates => entry.open_one(&limits, now),
            _ => Ok(()),
        }
    }

    fn count(
        self: &Arc<Self>,
        address: IpAddr,
        now: Instant,
        opens: bool,
    ) -> Result<Pass, Refusal> {
        let key = key(address);
        let mut state = self.lock();
        let limits = state.limits;
        if limits.rates && state.unauthenticated >= limits.unauthenticated_in_all {
            return Err(Refusal::Busy);
        }
        let entry = state.entry(key, now);
        let entered = entry.is_some();
        if let Some(entry) = entry {
            if limits.rates {
                if entry.open >= limits.connections {
                    return Err(Refusal::Connections);
                }
                if entry.unauthenticated >= limits.unauthenticated {
                    return Err(Refusal::Unauthenticated);
                }
                if opens {
                    entry.open_one(&limits, now)?;
                }
            }
            entry.open += 1;
            entry.unauthenticated += 1;
        }
        state.unauthenticated += 1;
        Ok(Pass {
            gate: self.clone(),
            key,
            unauthenticated: true,
            entered,
        })
    }

    /// Notes a failed login and returns for how long its answer is to be held back.
    pub fn login_failed(&self, address: IpAddr, account: Option<u64>, now: Instant) -> Duration {
        let mut state = self.lock();
        if !state.limits.rates {
            return Duration::ZERO;
        }
        let mut delay = Duration::ZERO;
        for key in [Some(key(address)), account.map(Key::Account)] {
            if let Some(entry) = key.and_then(|key| state.entry(key, now)) {
                delay = delay.max(entry.fail(now));
            }
        }
        delay
    }

    /// Whether `address` may make a registration request now, which is then counted.
    pub fn may_register(&self, address: IpAddr, now: Instant) -> bool {
        let mut state = self.lock();
        let limits = state.limits;
        let Some(entry) = state.entry(key(address), now) else {
            // Whoever finds the table full of others waits.
            return !limits.rates;
        };
        entry.drain(&limits, now);
        let each = u64::from(limits.registration_seconds) * 1000;
        if limits.rates && entry.registered + each > each * u64::from(limits.registrations) {
            return false;
        }
        entry.registered += each;
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl State {
    /// The entry of `key`, or None if there is no room for it.
    fn entry(&mut self, key: Key, now: Instant) -> Option<&mut Entry> {
        if self.addresses.len() >= ENTRIES && !self.addresses.contains_key(&key) {
            let limits = self.limits;
            self.addresses.retain(|_, entry| {
                entry.drain(&limits, now);
                !entry.is_blank(now)
            });
            if self.addresses.len() >= ENTRIES {
                return None;
            }
        }
        Some(self.addresses.entry(key).or_insert(Entry {
            open: 0,
            unauthenticated: 0,
            opened: 0,
            registered: 0,
            failures: 0,
            since: now,
            failed: now,
        }))
    }
}

impl Entry {
    fn drain(&mut self, limits: &GateLimits, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let drained = passed.saturating_mul(u64::from(limits.per_second));
        self.opened = self.opened.saturating_sub(drained);
        self.registered = self.registered.saturating_sub(passed);
        self.since = now;
    }

    fn open_one(&mut self, limits: &GateLimits, now: Instant) -> Result<(), Refusal> {
        self.drain(limits, now);
        if self.opened + 1000 > u64::from(limits.burst) * 1000 {
            return Err(Refusal::Rate);
        }
        self.opened += 1000;
        Ok(())
    }

    fn fail(&mut self, now: Instant) -> Duration {
        self.forgive(now);
        self.failures = (self.failures + 1).min(MOST_FAILURES);
        let doublings = self.failures.saturating_sub(FREE_FAILURES);
        match doublings {
            0 => Duration::ZERO,
            n => LONGEST_DELAY.min(Duration::from_millis(250) * (1 << n.min(10))),
        }
    }

    fn forgive(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.failed);
        let forgiven = passed.as_secs() / FORGIVEN_AFTER.as_secs();
        self.failures = self
            .failures
            .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        if forgiven > 0 || self.failures == 0 {
            self.failed = now;
        }
    }

    fn is_blank(&mut self, now: Instant) -> bool {
        self.forgive(now);
        self.open == 0 && self.opened == 0 && self.registered == 0 && self.failures == 0
    }
}

impl Pass {
    /// Whether the connection has logged in.
    pub fn is_authenticated(&self) -> bool {
        !self.unauthenticated
    }

    /// The connection has logged in.
    pub fn authenticated(&mut self) {
        if std::mem::take(&mut self.unauthenticated) {
            let mut state = self.gate.lock();
            state.unauthenticated -= 1;
            if self.entered
                && let Some(entry) = state.addresses.get_mut(&self.key)
            {
                entry.unauthenticated -= 1;
            }
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.authenticated();
        if self.entered
            && let Some(entry) = self.gate.lock().addresses.get_mut(&self.key)
        {
            // An entry is kept while it counts a connection: it is this one's.
            entry.open -= 1;
        }
    }
}

fn key(address: IpAddr) -> Key {
    match address.to_canonical() {
        // No global /64 is below 2^32.
        IpAddr::V4(address) => Key::Address(u64::from(u32::from(address))),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments().map(u64::from);
            match a << 48 | b << 32 | c << 16 | d {
                // ::1 and its like; not an IPv4 address.
                0 => Key::Address(u64::MAX),
                prefix => Key::Address(prefix),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn gate(limits: GateLimits) -> (Arc<Gate>, Instant) {
        (Gate::new(limits), Instant::now())
    }

    #[test]
    fn connections_of_one_address_are_counted_until_they_end() {
        let (gate, now) = gate(GateLimits {
            connections: 3,
            unauthenticated: 2,
            ..GateLimits::default()
        });
        let mut first = gate.admit(HOME, now).unwrap();
        let second = gate.admit(HOME, now).unwrap();
        assert_eq!(gate.admit(HOME, now).unwrap_err(), Refusal::Unauthenticated);
        first.authenticated();
        first.authenticated();
        let third = gate.admit(HOME, now).unwrap();
        drop((second, third));
        let mut fourth = gate.admit(HOME, now).unwrap();
        fourth.authenticated();
        let _fifth = gate.admit(HOME, now).unwrap();
        assert_eq!(gate.admit(HOME, now).unwrap_err(), Refusal::Connections);
        drop(first);
        gate.admit(HOME, now).unwrap();
    }

    #[test]
    fn the_rate_allows_a_burst_and_then_so_many_a_second() {
        let (gate, now) = gate(GateLimits {
            burst: 5,
            per_second: 2,
            ..GateLimits::default()
        });
        for _ in 0..5 {
            gate.admit(HOME, now).unwrap();
        }
        assert_eq!(gate.admit(HOME, now).unwrap_err(), Refusal::Rate);
        let later = now + Duration::from_secs(1);
        gate.admit(HOME, later).unwrap();
        gate.admit(HOME, later).unwrap();
        assert_eq!(gate.admit(HOME, later).unwrap_err(), Refusal::Rate);
        gate.admit("192.0.2.2".parse().unwrap(), now).unwrap();
    }

    #[test]
    fn requests_through_a_proxy_count_for_their_client_and_not_for_the_proxy() {
        let (gate, now) = gate(GateLimits {
            connections: 2,
            unauthenticated_in_all: 6,
            burst: 1,
            per_second: 1,
            ..GateLimits::default()
        });
        let proxies: Vec<_> = (0..4).map(|_| gate.admit_proxy().unwrap()).collect();
        let one = gate.admit_request(HOME, now).unwrap();
        let _two = gate.admit_request(HOME, now).unwrap();
        assert_eq!(gate.admit_proxy().unwrap_err(), Refusal::Busy);
        drop(proxies);
        let three = gate.admit_request(HOME, now);
        assert_eq!(three.unwrap_err(), Refusal::Connections);
        drop(one);
        let _three = gate.admit_request(HOME, now).unwrap();
        assert_eq!(gate.open(HOME, now), Ok(()));
        assert_eq!(gate.open(HOME, now), Err(Refusal::Rate));
        assert_eq!(gate.open(HOME, now + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_mapped_addresses_as_ipv4() {
        let (gate, now) = gate(GateLimits {
            connections: 1,
            ..GateLimits::default()
        });
        let _one = gate.admit("2001:db8:1:2::3".parse().unwrap(), now).unwrap();
        let same = gate.admit("2001:db8:1:2:ffff::9".parse().unwrap(), now);
        assert_eq!(same.unwrap_err(), Refusal::Connections);
        let _other = gate.admit("2001:db8:1:3::3".parse().unwrap(), now).unwrap();
        let _home = gate.admit(HOME, now).unwrap();
        let mapped = gate.admit("::ffff:192.0.2.1".parse().unwrap(), now);
        assert_eq!(mapped.unwrap_err(), Refusal::Connections);
    }

    #[test]
    fn failed_logins_slow_an_address_and_an_account_down_and_are_forgotten() {
        let (gate, now) = gate(GateLimits::default());
        let delays: Vec<_> = (0..6)
            .map(|_| gate.login_failed(HOME, None, now).as_millis())
            .collect();
        assert_eq!(delays, [0, 0, 0, 500, 1000, 2000]);
        for _ in 0..100 {
            assert!(gate.login_failed(HOME, None, now) <= LONGEST_DELAY);
        }
        let elsewhere: Vec<IpAddr> = (1..6).map(|i| IpAddr::from([198, 51, 100, i])).collect();
        let delays: Vec<_> = elsewhere
            .iter()
            .map(|address| gate.login_failed(*address, Some(7), now).as_millis())
            .collect();
        assert_eq!(delays, [0, 0, 0, 500, 1000]);
        let much_later = now + Duration::from_secs(3600);
        assert_eq!(gate.login_failed(HOME, None, much_later), Duration::ZERO);
    }

    #[test]
    fn registrations_are_few_and_the_right_to_them_comes_back() {
        let (gate, now) = gate(GateLimits {
            registrations: 2,
            registration_seconds: 60,
            ..GateLimits::default()
        });
        let at = |seconds| gate.may_register(HOME, now + Duration::from_secs(seconds));
        assert_eq!([0, 1, 2, 62, 63].map(at), [true, true, false, true, false]);
    }

    #[test]
    fn without_rates_nobody_is_refused_or_delayed() {
        let (gate, now) = gate(GateLimits {
            rates: false,
            connections: 1,
            unauthenticated: 1,
            unauthenticated_in_all: 1,
            burst: 1,
            per_second: 1,
            registrations: 1,
            registration_seconds: 1,
        });
        let passes: Vec<_> = (0..100).map(|_| gate.admit(HOME, now).unwrap()).collect();
        assert_eq!(passes.len(), 100);
        for _ in 0..100 {
            assert_eq!(gate.login_failed(HOME, Some(1), now), Duration::ZERO);
            assert!(gate.may_register(HOME, now));
        }
    }

    #[test]
    fn the_table_is_bounded_and_a_stranger_still_gets_in() {
        let (gate, now) = gate(GateLimits::default());
        let address = |i: u32| IpAddr::from(std::net::Ipv4Addr::from(i));
        for i in 0..ENTRIES as u32 + 10 {
            drop(gate.admit(address(i), now).unwrap());
        }
        assert_eq!(gate.lock().addresses.len(), ENTRIES);
        let later = now + Duration::from_secs(60);
        drop(gate.admit(address(u32::MAX), later).unwrap());
        assert_eq!(gate.lock().addresses.len(), 1);
        assert_eq!(gate.lock().unauthenticated, 0);
    }
}
