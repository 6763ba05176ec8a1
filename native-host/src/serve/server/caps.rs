//! Limits on connections, in total and per address, and which one is closed when there is no room for another.
//!
//! A full server closes the connection that is worth least: one without a request in progress, the longest idle first;
//! then one whose client does not read its answer; then one whose body takes long. The connection of a client that
//! waits for an answer is never closed: if there are no others, the new connection is refused. So silent clients,
//! however many, displace one another, and every complete request is answered.
//!
//! The limit per address keeps a single machine from displacing everybody else. It does not apply to this machine's own
//! addresses, which a proxy may use for many clients; with a proxy on another machine it must be raised or turned off.
//! An IPv6 /64 network counts as one address, because one machine may have all of it.

use super::activity::{Activity, Worth};
use crate::serve::{Network, Timeouts};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// If more connections than these were asked to end and have not yet, none is accepted until some have.
const ENDING: usize = 32;

/// The shortest and the longest interval between two sweeps.
const SWEEP: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];

/// The connections of a server.
pub(super) struct Connections {
    most: usize,
    most_per_address: usize,
    timeouts: Timeouts,
    open: Mutex<Open>,
    ended: Notify,
    requests: AtomicUsize,
}

#[derive(Default)]
struct Open {
    all: HashMap<u64, Entry>,
    next: u64,
    /// Asked to end, but still there.
    ending: usize,
}

struct Entry {
    /// `None` for addresses without a limit.
    address: Option<IpAddr>,
    activity: Arc<Activity>,
}

/// A connection's place, freed when dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    pub(super) activity: Arc<Activity>,
}

/// A request in progress, which ends when dropped.
pub(super) struct Turn {
    connections: Arc<Connections>,
    pub(super) activity: Arc<Activity>,
    /// Whether there was room for it.
    pub(super) is_admitted: bool,
}

impl Connections {
    /// For a machine that has room for `room` connections.
    pub(super) fn new(network: &Network, timeouts: Timeouts, room: usize) -> Arc<Self> {
        let most = network.connections.min(room);
        if most < network.connections {
            tracing::warn!(connections = most, "the system's limit on open files allows fewer connections than set");
        }
        let most_per_address = match network.connections_per_address {
            0 => usize::MAX,
            some => some,
        };
        let open = Mutex::default();
        Arc::new(Self { most, most_per_address, timeouts, open, ended: Notify::new(), requests: AtomicUsize::new(0) })
    }

    /// A place for a connection from this address; `None` if every other client is waiting for an answer.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let address = counted(peer);
        let mut open = self.open.lock();
        if address.is_some()
            && open.of(address) >= self.most_per_address
            && !open.displace(|entry| entry.address == address)
        {
            return None;
        }
        if open.all.len() >= self.most && !open.displace(|_| true) {
            return None;
        }
        let activity = Arc::new(Activity::new());
        let number = open.next;
        open.next += 1;
        open.all.insert(number, Entry { address, activity: Arc::clone(&activity) });
        Some(Place { connections: Arc::clone(self), number, activity })
    }

    /// Resolves when another connection may be accepted.
    pub(super) async fn room(&self) {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            // So that an end between the check and the wait is not missed.
            ended.as_mut().enable();
            if self.open.lock().ending < ENDING {
                return;
            }
            ended.await;
        }
    }

    /// Closes a connection because the system has no more file descriptors.
    pub(super) fn displace(&self) {
        self.open.lock().displace(|_| true);
    }

    /// Begins a request. It is not admitted if there are as many requests as the limit on connections and all their
    /// clients are waiting for us, which takes clients that send several at a time (HTTP/2).
    pub(super) fn begin(self: &Arc<Self>, activity: &Arc<Activity>, is_http2: bool) -> Turn {
        activity.request_began(is_http2);
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        let slow = |entry: &Entry| matches!(entry.activity.worth(), Some(Worth::Stalled(_) | Worth::Uploading(_)));
        let is_admitted = before < self.most || self.open.lock().displace(slow);
        Turn { connections: Arc::clone(self), activity: Arc::clone(activity), is_admitted }
    }

    /// Closes overdue connections, for ever.
    pub(super) async fn sweep(&self) {
        let Timeouts { header, upload, answer, idle, .. } = self.timeouts;
        let shortest = header.min(upload).min(answer).min(idle);
        let [least, most] = SWEEP;
        let mut timer = tokio::time::interval((shortest / 8).clamp(least, most));
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            let mut open = self.open.lock();
            let overdue: Vec<u64> = open
                .all
                .iter()
                .filter_map(|(number, entry)| {
                    let reason = entry.activity.overdue(&self.timeouts)?;
                    tracing::debug!(?reason, "a connection took too long");
                    Some(*number)
                })
                .collect();
            overdue.into_iter().for_each(|number| open.end(number));
        }
    }
}

impl Open {
    /// The number of connections from an address.
    fn of(&self, address: Option<IpAddr>) -> usize {
        self.all.values().filter(|entry| entry.address == address).count()
    }

    /// Closes the connection that is worth least among these, if one may be closed.
    fn displace(&mut self, among: impl Fn(&Entry) -> bool) -> bool {
        let worths = self.all.iter().filter(|(_, entry)| among(entry));
        let worths = worths.filter_map(|(number, entry)| Some((entry.activity.worth()?, *number)));
        let Some((_, number)) = worths.min() else { return false };
        self.end(number);
        true
    }

    fn end(&mut self, number: u64) {
        if let Some(entry) = self.all.remove(&number) {
            entry.activity.close();
            self.ending += 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        if open.all.remove(&self.number).is_none() {
            open.ending -= 1;
            self.connections.ended.notify_waiters();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.activity.request_ended();
        self.connections.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The address that a peer counts as.
fn counted(peer: IpAddr) -> Option<IpAddr> {
    let peer = peer.to_canonical();
    match peer {
        _ if peer.is_loopback() => None,
        IpAddr::V4(_) => Some(peer),
        IpAddr::V6(address) => Some(Ipv6Addr::from(u128::from(address) >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Config;

    fn connections(most: usize, of_one: usize) -> Arc<Connections> {
        let network = Network { connections: most, connections_per_address: of_one };
        Connections::new(&network, Config::default().timeouts, usize::MAX)
    }

    const ALICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_full_server_closes_idle_connections_and_no_others() {
        let all = connections(2, 0);
        let busy = all.admit(HERE).unwrap();
        let turn = all.begin(&busy.activity, false);
        let idle = all.admit(HERE).unwrap();
        let next = all.admit(HERE).unwrap();
        tokio::time::timeout(Duration::from_secs(9), idle.activity.closed()).await.unwrap();
        let next_turn = all.begin(&next.activity, false);
        assert!(all.admit(HERE).is_none(), "both clients wait");
        drop((turn, next_turn));
        assert!(all.admit(HERE).is_some());
    }

    #[test]
    fn one_address_displaces_only_itself() {
        let all = connections(10, 2);
        let places: Vec<Place> = [BOB, ALICE, ALICE].map(|peer| all.admit(peer).unwrap()).into();
        let _third = all.admit(ALICE).unwrap();
        let open = all.open.lock();
        assert!(open.all.contains_key(&places[0].number) && !open.all.contains_key(&places[1].number));
        drop(open);
        let here: Vec<_> = (0..5).map(|_| all.admit(HERE)).collect();
        assert!(here.iter().all(Option::is_some));
    }

    #[test]
    fn a_network_counts_as_one_address() {
        let address = |text: &str| counted(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:2"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), Some(ALICE));
        assert_eq!((address("::1"), address("127.8.8.8")), (None, None));
    }

    #[tokio::test]
    async fn accepting_waits_for_the_places_of_ended_connections() {
        let all = connections(1, 0);
        let places: Vec<Place> = (0..=ENDING).map(|_| all.admit(HERE).unwrap()).collect();
        assert!(futures_util::FutureExt::now_or_never(all.room()).is_none());
        drop(places);
        all.room().await;
    }
}
