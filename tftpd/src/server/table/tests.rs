use super::*;
use crate::protocol::request;

fn asked(name: &str) -> ReadRequest {
    request::parse(format!("\0\x01{name}\0octet\0").as_bytes()).unwrap()
}

fn peer(address: u32, port: u16) -> SocketAddr {
    SocketAddr::new(std::net::Ipv4Addr::from(address).into(), port)
}

/// A place that nobody had to give up.
fn begin(table: &Arc<Table>, peer: SocketAddr, now: Instant) -> Slot {
    let (slot, displaced) = table.begin(peer, asked("a"), now).unwrap();
    assert!(displaced.is_none());
    slot
}

fn answer(slot: &Slot) {
    slot.info.answered.store(true, Ordering::Relaxed);
}

#[test]
fn t37_a_request_is_served_once_until_it_is_answered() {
    let table = Arc::new(Table::default());
    let now = faros_common::clock::now();
    let slot = begin(&table, peer(1, 2070), now);
    for _ in 0..1000 {
        assert!(matches!(table.begin(peer(1, 2070), asked("a"), now), Err(Busy::Repeated(_))));
    }
    assert_eq!(table.len(), 1);
    answer(&slot);
    let again = begin(&table, peer(1, 2070), now);
    drop(slot);
    assert!(matches!(table.begin(peer(1, 2070), asked("a"), now), Err(Busy::Repeated(_))));
    drop(again);
    assert!(table.is_empty());
    assert!(table.lock().of_request.is_empty() && table.lock().of_client.is_empty());
}

#[test]
fn t38_one_client_gets_no_more_than_its_share() {
    let table = Arc::new(Table::default());
    let now = faros_common::clock::now();
    let slots: Vec<_> = (0..8).map(|port| begin(&table, peer(1, 1000 + port), now)).collect();
    assert!(matches!(table.begin(peer(1, 99), asked("a"), now), Err(Busy::Client)));
    begin(&table, peer(2, 99), now);
    drop(slots);
    begin(&table, peer(1, 99), now);
}

#[test]
fn t38_requests_in_a_client_s_name_do_not_shut_it_out() {
    let table = Arc::new(Table::default());
    let start = faros_common::clock::now();
    let slots: Vec<_> = (0..8).map(|port| begin(&table, peer(1, 1000 + port), start)).collect();
    answer(&slots[0]);
    let (_own, displaced) = table.begin(peer(1, 99), asked("a"), start + UNANSWERED_AGE).unwrap();
    assert_eq!(displaced.unwrap().id, slots[1].info.id);
    assert!(slots[1].info.displaced.load(Ordering::Relaxed));
    slots.iter().for_each(answer);
    let refused = table.begin(peer(1, 100), asked("a"), start + UNANSWERED_AGE);
    assert!(matches!(refused, Err(Busy::Client)));
}

#[test]
fn t38_a_flood_of_clients_that_never_answer_shuts_nobody_out_at_any_time() {
    let table = Arc::new(Table::default());
    let now = faros_common::clock::now();
    let honest = begin(&table, peer(u32::MAX, 99), now);
    answer(&honest);
    let mut flood = VecDeque::new();
    for address in 0..10_000 {
        let (slot, displaced) = table.begin(peer(address, 99), asked("a"), now).unwrap();
        flood.push_back(slot);
        let Some(displaced) = displaced else { continue };
        assert_eq!(displaced.id, flood.pop_front().unwrap().info.id, "the oldest gives way");
        assert!(table.len() <= UNANSWERED_MAX + 1 && table.lock().unanswered.len() <= UNANSWERED_MAX);
    }
    assert_eq!(flood.len(), UNANSWERED_MAX);
    assert!(!honest.info.displaced.load(Ordering::Relaxed));
}

#[test]
fn beyond_all_places_a_request_is_refused() {
    let table = Arc::new(Table::default());
    let now = faros_common::clock::now();
    let slots: Vec<_> = (0..TRANSFERS_MAX as u32)
        .map(|address| {
            let slot = begin(&table, peer(address, 99), now);
            answer(&slot);
            slot
        })
        .collect();
    assert!(matches!(table.begin(peer(1 << 20, 99), asked("a"), now), Err(Busy::Server)));
    drop(slots);
    begin(&table, peer(1 << 20, 99), now);
}
