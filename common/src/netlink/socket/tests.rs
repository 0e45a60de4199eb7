use proptest::prelude::*;

use super::*;
use crate::netlink::testing::{Namespace, run};
use crate::netlink::{link, nftables, route};

#[test]
fn no_event_within_the_time_out_is_none() {
    let mut socket = Socket::open(Protocol::Route).unwrap();
    socket.set_timeout(Duration::from_millis(1)).unwrap();
    assert!(!socket.receive(|_| {}).unwrap());
    socket.set_nonblocking(true).unwrap();
    assert!(!socket.receive(|_| {}).unwrap());
}

#[test]
fn what_other_processes_send_is_not_taken_for_the_kernels() {
    Namespace::enter(|| {
        let mut victim = Socket::open(Protocol::Route).unwrap();
        victim.set_timeout(Duration::from_millis(50)).unwrap();
        let name = rustix::net::getsockname(&victim).unwrap();
        let stranger = Socket::open(Protocol::Route).unwrap();
        let forged = Request::new(message::kind::DONE, &[0; 4]).build(0, 1).unwrap();
        sendto(&stranger, &forged, SendFlags::empty(), &name).unwrap();
        assert!(!victim.receive(|_| panic!("a stranger's message")).unwrap());
        assert!(!link::list(&mut victim).unwrap().is_empty());
    });
}

#[test]
fn lost_events_are_an_overrun() {
    Namespace::enter(|| {
        let mut events = Socket::open(Protocol::Route).unwrap();
        events.subscribe(Group::Links).unwrap();
        events.make_room(4096);
        let mut socket = Socket::open(Protocol::Route).unwrap();
        for turn in 0..64 {
            link::set_up(&mut socket, 1, turn % 2 == 0).unwrap();
        }
        let overrun = std::iter::repeat_with(|| events.receive(|_| {}))
            .take(100)
            .any(|got| matches!(got, Err(Error::Overrun)));
        assert!(overrun);
    });
}

#[test]
fn an_answer_that_was_given_up_does_not_count_for_the_next_question() {
    Namespace::enter(|| {
        run("nft add table inet one");
        let mut socket = Socket::open(Protocol::Route).unwrap();
        let sequence = socket.next_sequence();
        let request = Request::new(18, &[0; 16]);
        socket.send(&request.build(flag::DUMP, sequence).unwrap()).unwrap();
        assert!(!crate::netlink::address::list(&mut socket).unwrap().is_empty());
        assert_eq!(nftables::Nftables::open().unwrap().tables().unwrap().len(), 1);
    });
}

#[test]
fn events_can_be_awaited() {
    Namespace::enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut events = Socket::open(Protocol::Route).unwrap();
            events.subscribe(Group::Links).unwrap();
            let mut events = events.into_events().unwrap();
            let nothing = tokio::time::timeout(Duration::from_millis(1), events.receive(|_| {})).await;
            assert!(nothing.is_err());
            link::set_up(&mut Socket::open(Protocol::Route).unwrap(), 1, false).unwrap();
            let mut told = Vec::new();
            events.receive(|message| told.extend(link::Link::decode(&message).unwrap())).await.unwrap();
            assert!(told.iter().any(|link| link.loopback && !link.up));
        });
    });
}

#[test]
fn the_kernels_words_are_in_the_refusal() {
    Namespace::enter(|| {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        let gateway = Some([192, 0, 2, 254].into());
        let route = route::Route::new("198.51.100.0/24".parse().unwrap(), gateway, Some(1));
        let refused = route::replace(&mut socket, &route).unwrap_err();
        let Error::Refused(refusal) = &refused else { panic!("{refused}") };
        assert!(refusal.is(Errno::NETUNREACH) && refusal.text.is_some(), "{refused}");
    });
}

proptest! {
    #[test]
    fn no_acknowledgement_is_a_panic(flags: u16, body in prop::collection::vec(any::<u8>(), 0..100)) {
        let message = Message { kind: message::kind::ERROR, flags, sequence: 1, port: 0, body: &body };
        let _ = (acknowledgement(&message), done(&message).is_ok());
    }
}
