use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

use proptest::prelude::*;

use super::*;
use crate::netlink::Group;
use crate::netlink::attribute::{Attributes, Builder};
use crate::netlink::message::Message;
use crate::netlink::nftables::{
    Batch, Chain, ChainKind, Family, Hook, Nftables, Rule, Statements, Table, ct_state, priority,
};
use crate::netlink::testing::{Namespace, run};

/// Has connections tracked and marked, and those to 192.0.2.1:80 led to a listener.
fn track(to: u16) {
    let table = Table::new(Family::Inet, "tracking");
    let mut batch = Batch::new();
    batch.add_table(&table);
    batch.add_chain(&Chain::base(&table.id, "out", ChainKind::Nat, Hook::Output, priority::DSTNAT));
    let lead = Statements::new()
        .destination("192.0.2.1/32".parse().unwrap())
        .tcp()
        .destination_port(80)
        .set_ct_mark(7)
        .dnat(Ipv4Addr::LOCALHOST.into(), Some(to));
    batch.append_rule(&Rule::new(&table.id, "out", lead));
    batch.add_chain(&Chain::base(&table.id, "in", ChainKind::Filter, Hook::Input, priority::FILTER));
    let known = Statements::new().ct_state(ct_state::ESTABLISHED | ct_state::NEW).counter().accept();
    batch.append_rule(&Rule::new(&table.id, "in", known));
    Nftables::open().unwrap().commit(&batch).unwrap();
}

#[test]
fn a_translated_connection_is_listed_told_and_deleted() {
    Namespace::enter(|| {
        run("ip addr add 192.0.2.1/32 dev lo");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        track(port);
        let groups = [Group::ConnTrackNew, Group::ConnTrackUpdate, Group::ConnTrackDestroy];
        let mut events = ConnTrack::listen(&groups).unwrap();
        let mut client = TcpStream::connect("192.0.2.1:80").unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"hello").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();

        let mut tracking = ConnTrack::open().unwrap();
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        let filter = Filter { reply: Ends::from(here, port), mark: Some((7, u32::MAX)), ..Filter::default() };
        let flows = tracking.flows(&filter).unwrap();
        let [flow] = flows.as_slice() else { panic!("{flows:?}") };
        assert_eq!(flow.original.destination, IpAddr::from([192, 0, 2, 1]));
        assert_eq!((flow.original.destination_port, flow.original.protocol), (80, 6));
        assert_eq!((flow.reply.source, flow.reply.source_port), (here, port));
        assert_eq!(flow.tcp_state, Some(TcpState::Established));
        assert!(flow.status.has(Status::DESTINATION_NAT | Status::SEEN_REPLY | Status::ASSURED));
        assert!(tracking.count().unwrap() >= 1);

        let other = Filter { mark: Some((8, u32::MAX)), ..filter };
        assert_eq!(tracking.delete_all(&other).unwrap(), 0, "of another mark");
        assert_eq!(tracking.delete_all(&filter).unwrap(), 1);
        assert!(!tracking.delete(flow).unwrap(), "a second time");
        assert_eq!(tracking.flows(&filter).unwrap(), []);

        let mut told = Vec::new();
        while !told.iter().any(|event| matches!(event, ConnTrackEvent::Destroyed(gone) if gone.id == flow.id))
        {
            assert!(
                events.receive(|message| told.extend(ConnTrackEvent::decode(&message).unwrap())).unwrap()
            );
        }
        assert!(
            told.iter()
                .any(|event| matches!(event, ConnTrackEvent::New(new) if new.original == flow.original))
        );
        assert!(told.iter().any(|event| matches!(event, ConnTrackEvent::Updated(_))));
    });
}

fn tuple() -> impl Strategy<Value = Tuple> {
    let v4 = any::<(u32, u32)>()
        .prop_map(|(a, b)| (IpAddr::from(Ipv4Addr::from(a)), IpAddr::from(Ipv4Addr::from(b))));
    let v6 = any::<(u128, u128)>()
        .prop_map(|(a, b)| (IpAddr::from(Ipv6Addr::from(a)), IpAddr::from(Ipv6Addr::from(b))));
    let protocol = prop::sample::select(vec![1u8, 6, 17, 58, 132]);
    (prop_oneof![v4, v6], protocol, any::<(u16, u16)>()).prop_map(
        |((source, destination), protocol, ports)| Tuple {
            source,
            destination,
            protocol,
            source_port: ports.0,
            destination_port: ports.1,
        },
    )
}

proptest! {
    #[test]
    fn a_tuple_is_read_as_it_was_written(original in tuple(), reply in tuple(), mark: u32, id: u32) {
        let mut body = Builder::new();
        original.encode(kind::ORIGINAL, &mut body);
        reply.encode(kind::REPLY, &mut body);
        body.u32_be(kind::MARK, mark);
        body.u32_be(kind::ID, id);
        let bytes = body.build().unwrap();
        let flow = Flow::decode(Attributes::new(&bytes)).unwrap();
        prop_assert_eq!((flow.original, flow.reply, flow.mark, flow.id), (original, reply, mark, Some(id)));
        prop_assert!(Filter::default().matches(&flow));
    }

    #[test]
    fn no_bytes_are_a_panic(bits in prop::collection::vec((0usize..200, any::<u8>()), 0..8), original in tuple()) {
        let mut body = Builder::new();
        body.raw(&[0; 4]);
        original.encode(kind::ORIGINAL, &mut body);
        original.encode(kind::REPLY, &mut body);
        body.nest(kind::PROTOCOL_INFO, |info| info.nest(1, |tcp| tcp.u8(1, 3)));
        let mut bytes = body.build().unwrap();
        for (at, value) in bits {
            if let Some(octet) = bytes.get_mut(at) {
                *octet = value;
            }
        }
        for number in [0x100, 0x102] {
            let message = Message { kind: number, flags: 0, sequence: 0, port: 0, body: &bytes };
            let _ = ConnTrackEvent::decode(&message);
        }
    }
}
