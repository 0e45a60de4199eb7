//! Against the kernel, in network namespaces, beside the program `nft`.

use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::io::Errno;

use super::*;
use crate::netlink::Error;
use crate::netlink::testing::{Namespace, run};

fn table() -> Table {
    Table::new(Family::Inet, "faros_test")
}

fn commit(batch: &Batch) {
    Nftables::open().unwrap().commit(batch).unwrap_or_else(|error| panic!("{error}"));
}

/// A rule of these steps in a chain that may have them, as the kernel gives it back, and as `nft` shows it.
fn through_the_kernel(kind: ChainKind, hook: Hook, steps: &[Expression]) -> (Vec<Expression>, String) {
    let table = table();
    let mut batch = Batch::new();
    batch.replace_table(&table);
    batch.add_set(&Set::new(&table.id, "sources", [DataType::Ipv4Address]));
    let mut dynamic = Set::new(&table.id, "clients", [DataType::Ipv4Address]).with_size(1000);
    dynamic.flags.dynamic = true;
    batch.add_set(&dynamic.with_timeout(Duration::from_secs(60)));
    batch.add_set(&Set::map(
        &table.id,
        "servers",
        [DataType::Integer(4)],
        [DataType::Ipv4Address, DataType::InetService],
    ));
    batch.add_set(&Set::verdict_map(&table.id, "services", [DataType::Ipv4Address, DataType::InetService]));
    batch.add_object(&Object::counter(&table.id, "seen"));
    batch.add_chain(&Chain::regular(&table.id, "elsewhere"));
    batch.add_chain(&Chain::base(&table.id, "here", kind, hook, 7));
    batch.append_rule(&Rule::new(&table.id, "here", steps).with_comment("a rule"));
    let mut filter = Nftables::open().unwrap();
    filter.commit(&batch).unwrap_or_else(|error| panic!("{steps:?}: {error}"));
    let rules = filter.rules(&table.id, Some("here")).unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0].comment(), Some("a rule"));
    assert!(rules[0].is_same(&Rule::new(&table.id, "here", steps).with_comment("a rule")), "{:?}", rules[0]);
    let shown = run("nft list ruleset");
    let start = shown.find("policy accept;").expect("nft shows the chain");
    (rules[0].expressions.clone(), shown[start..].lines().nth(1).unwrap_or_default().trim().to_owned())
}

#[track_caller]
fn shown(kind: ChainKind, hook: Hook, statements: Statements, expected: &str) {
    let steps = statements.into_expressions();
    let (_, shown) = through_the_kernel(kind, hook, &steps);
    assert_eq!(shown, format!("{expected} comment \"a rule\""));
}

#[test]
fn matches_are_shown_by_nft_as_they_were_meant() {
    Namespace::enter(|| {
        let filter = |statements, expected| shown(ChainKind::Filter, Hook::Prerouting, statements, expected);
        let new = Statements::new;
        filter(
            new().interface_in("lan0").counter().accept(),
            "iifname \"lan0\" counter packets 0 bytes 0 accept",
        );
        filter(new().not_interface_in("lan0").drop(), "iifname != \"lan0\" drop");
        filter(new().source("192.0.2.0/24".parse().unwrap()).accept(), "ip saddr 192.0.2.0/24 accept");
        filter(new().not_source("192.0.2.1/32".parse().unwrap()).accept(), "ip saddr != 192.0.2.1 accept");
        filter(
            new().destination("2001:db8::/32".parse().unwrap()).accept(),
            "ip6 daddr 2001:db8::/32 accept",
        );
        filter(new().tcp().destination_port(6443).accept(), "tcp dport 6443 accept");
        filter(new().udp().source_port(53).accept(), "udp sport 53 accept");
        filter(new().tcp().destination_ports(80, 443).accept(), "tcp dport 80-443 accept");
        filter(
            new().ct_state(ct_state::ESTABLISHED | ct_state::RELATED).accept(),
            "ct state established,related accept",
        );
        filter(new().ct_mark(7, u32::MAX).accept(), "ct mark 0x00000007 accept");
        filter(new().mark(1, 0xff).accept(), "meta mark & 0x000000ff == 0x00000001 accept");
        filter(new().set_mark(5).set_ct_mark(6), "meta mark set 0x00000005 ct mark set 0x00000006");
        filter(new().destination_is_local().accept(), "fib daddr type local accept");
        filter(new().ipv4().source_in("sources").accept(), "ip saddr @sources accept");
        filter(new().ipv4().source_not_in("sources").accept(), "ip saddr != @sources accept");
        filter(new().counter_named("seen").jump("elsewhere"), "counter name \"seen\" jump elsewhere");
        filter(
            new().log("seen: ", LogLevel::Info).goto("elsewhere"),
            "log prefix \"seen: \" level info goto elsewhere",
        );
        filter(
            new().ipv4().tcp().load_destination().verdict_by_map("services"),
            "ip daddr . tcp dport vmap @services",
        );
        let limit = Limit {
            rate: 10,
            period: Duration::from_secs(60),
            burst: 7,
            unit: LimitUnit::Packets,
            above: true,
        };
        filter(new().limit(limit).drop(), "limit rate over 10/minute burst 7 packets drop");
    });
}

#[test]
fn actions_are_shown_by_nft_as_they_were_meant() {
    Namespace::enter(|| {
        let new = Statements::new;
        let to = |address: &str| address.parse::<IpAddr>().unwrap();
        let (nat, filter) = (ChainKind::Nat, ChainKind::Filter);
        let dnat = new().dnat(to("192.0.2.21"), Some(6443));
        shown(nat, Hook::Prerouting, dnat, "meta nfproto ipv4 dnat ip to 192.0.2.21:6443");
        let dnat = new().dnat(to("2001:db8::21"), Some(6443));
        shown(nat, Hook::Output, dnat, "meta nfproto ipv6 dnat ip6 to [2001:db8::21]:6443");
        shown(nat, Hook::Postrouting, new().snat(to("192.0.2.1")), "meta nfproto ipv4 snat ip to 192.0.2.1");
        shown(nat, Hook::Postrouting, new().masquerade(), "masquerade");
        shown(filter, Hook::Input, new().reset(), "meta l4proto tcp reject with tcp reset");
        shown(filter, Hook::Input, new().reject(), "reject");
        shown(filter, Hook::Prerouting, new().step(Expression::NoTrack), "notrack");
        let numbers = |kind| NumberGenerator { kind, modulus: 3, offset: 0, into: Register::R1 };
        let random = new().ipv4().step(Expression::NumberGenerator(numbers(NumberKind::Random)));
        let expected = "meta nfproto ipv4 dnat ip to numgen random mod 3 map @servers";
        shown(nat, Hook::Prerouting, random.dnat_by_map("servers"), expected);
        let source = Expression::Payload { payload: Payload::IPV4_SOURCE, into: Register::R2 };
        let kind = HashKind::Jenkins { from: Register::R2, length: 4, seed: Some(1) };
        let hash = Expression::Hash(Hash { kind, modulus: 251, offset: 0, into: Register::R1 });
        let sticky = new().ipv4().steps([source, hash]).dnat_by_map("servers");
        let expected = "dnat ip to jhash ip saddr mod 251 seed 0x1 map @servers";
        shown(nat, Hook::Prerouting, sticky, expected);
    });
}

#[test]
fn steps_come_back_from_the_kernel_as_they_went() {
    Namespace::enter(|| {
        let into = Register::R1;
        let second = Register::word(4).unwrap();
        let filter: Vec<Vec<Expression>> = vec![
            vec![
                Expression::Meta { key: MetaKey::InterfaceInType, into },
                Expression::equal(into, 1u16.to_ne_bytes()),
            ],
            vec![Expression::Meta { key: MetaKey::Protocol, into }, Expression::not_equal(into, [8, 0])],
            vec![Expression::ConnTrack {
                key: ConnTrackKey::DestinationIpv4,
                direction: Some(Direction::Original),
                into,
            }],
            vec![Expression::ConnTrack { key: ConnTrackKey::Zone, direction: None, into }],
            vec![
                Expression::ExtensionHeader {
                    header: ExtensionHeader::TCP_SEGMENT_SIZE,
                    present: false,
                    into,
                },
                Expression::Route { key: RouteKey::SegmentSize, into: second },
                Expression::ByteOrder { from: second, into, to_network: true, length: 2, word: 2 },
                Expression::SetExtensionHeader { header: ExtensionHeader::TCP_SEGMENT_SIZE, from: into },
            ],
            vec![
                Expression::immediate(into, [192, 0, 2, 1]),
                Expression::SetPayload {
                    payload: Payload::IPV4_DESTINATION,
                    from: into,
                    checksum: Some(Checksum { offset: 10, pseudo_header: true }),
                },
            ],
            vec![
                Expression::Meta { key: MetaKey::Mark, into },
                Expression::Bitwise(Bitwise::Shift { from: into, into, length: 4, left: true, bits: 3 }),
                Expression::Range { register: into, outside: true, from: vec![0; 4], to: vec![9; 4] },
            ],
            vec![
                Expression::Fib(Fib { interface_in: true, source: true, ..Fib::destination_type(into) }),
                Expression::Hash(Hash { kind: HashKind::Symmetric, modulus: 4, offset: 2, into: second }),
            ],
            vec![
                Expression::Payload { payload: Payload::IPV4_SOURCE, into },
                Expression::DynamicSet(DynamicSet {
                    operation: DynamicOperation::Update,
                    set: "clients".into(),
                    set_id: None,
                    key: into,
                    value: None,
                    timeout: Some(Duration::from_secs(5)),
                    expressions: vec![Expression::COUNTER],
                    inverted: false,
                }),
            ],
            vec![
                Expression::Quota(Quota { octets: 1000, above: true, consumed: 0, depleted: false }),
                Expression::ConnectionLimit { count: 5, above: true },
                Expression::Log(LogTo::Group {
                    group: 3,
                    prefix: Some("x".into()),
                    octets: 128,
                    threshold: 2,
                }),
                Expression::Verdict(Verdict::Return),
            ],
            vec![Expression::Reject(Reject::IcmpAny(3))],
            vec![Expression::Verdict(Verdict::Continue)],
        ];
        for steps in filter {
            let hook = if matches!(steps[0], Expression::Reject(_)) { Hook::Input } else { Hook::Forward };
            through_the_kernel(ChainKind::Filter, hook, &steps);
        }
        let synproxy = SynProxy { segment_size: 1460, window_scale: 7, flags: 0xf };
        let steps = Statements::new().tcp().step(Expression::SynProxy(synproxy)).into_expressions();
        through_the_kernel(ChainKind::Filter, Hook::Input, &steps);
        let flags = NatFlags { fully_random: true, persistent: true, ..NatFlags::default() };
        let ports = [1024u16, 2048].map(u16::to_be_bytes);
        let steps = Statements::new()
            .tcp()
            .steps([Expression::immediate(into, ports[0]), Expression::immediate(second, ports[1])]);
        let masquerade = Expression::Masquerade { flags, ports: Some((into, Some(second))) };
        let steps_of = |last| steps.clone().step(last).into_expressions();
        through_the_kernel(ChainKind::Nat, Hook::Postrouting, &steps_of(masquerade));
        let redirect = Expression::Redirect { flags: NatFlags::default(), ports: Some((into, None)) };
        through_the_kernel(ChainKind::Nat, Hook::Prerouting, &steps_of(redirect));
    });
}

#[test]
fn a_refusal_names_its_rule_and_step() {
    Namespace::enter(|| {
        let table = table();
        let mut batch = Batch::new();
        batch.add_table(&table).add_chain(&Chain::regular(&table.id, "here"));
        batch.append_rule(&Rule::new(&table.id, "here", Statements::new().accept()).with_comment("good"));
        let bad = Statements::new().counter().source_in("no_such_set").accept();
        batch.append_rule(&Rule::new(&table.id, "here", bad).with_comment("bad"));
        batch.append_rule(&Rule::new(&table.id, "nowhere", Statements::new().accept()).with_comment("lost"));
        let mut filter = Nftables::open().unwrap();
        let CommitError::Rejected(rejections) = filter.commit(&batch).unwrap_err() else {
            panic!("not refused")
        };
        assert_eq!(rejections.iter().map(|one| one.index).collect::<Vec<_>>(), [3, 4]);
        assert!(rejections[0].refusal.is(Errno::NOENT));
        assert_eq!(rejections[0].expression, Some((2, "lookup".to_owned())));
        let text = rejections[0].to_string();
        assert!(
            text.starts_with("rule inet faros_test here \"bad\", step 3 (lookup): No such file"),
            "{text}"
        );
        assert_eq!(filter.table(&table.id).unwrap(), None, "nothing of it happened");
        assert!(filter.rules(&table.id, None).unwrap().is_empty());
        commit(Batch::new().add_table(&table));
        assert!(filter.elements(&table.id, "no_such_set").unwrap_err().is_absent());
    });
}

#[test]
fn a_transaction_only_at_a_generation_is_refused_after_another() {
    Namespace::enter(|| {
        let mut filter = Nftables::open().unwrap();
        let generation = filter.generation().unwrap().id;
        let mut batch = Batch::new();
        batch.only_at(generation).add_table(&table());
        filter.commit(&batch).unwrap();
        assert_ne!(filter.generation().unwrap().id, generation);
        assert!(matches!(filter.commit(&batch), Err(CommitError::Changed)));
    });
}

#[test]
fn an_owned_table_goes_with_its_socket_and_is_closed_to_others() {
    Namespace::enter(|| {
        let owned = Table { owned: true, ..table() };
        let mut owner = Nftables::open().unwrap();
        owner.commit(Batch::new().add_table(&owned)).unwrap();
        let mut other = Nftables::open().unwrap();
        assert!(other.table(&owned.id).unwrap().unwrap().owner.is_some());
        let refused = other.commit(Batch::new().add_chain(&Chain::regular(&owned.id, "x"))).unwrap_err();
        assert!(
            matches!(&refused, CommitError::Rejected(all) if all[0].refusal.is(Errno::PERM)),
            "{refused}"
        );
        drop(owner);
        // The kernel clears it away a moment later.
        for _ in 0..200 {
            if other.table(&owned.id).unwrap().is_none() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the table is still there");
    });
}

#[test]
fn sets_and_maps_keep_their_elements() {
    Namespace::enter(|| {
        let table = table();
        let id = &table.id;
        let mut networks = Set::new(id, "networks", [DataType::Ipv4Address]).with_counters();
        networks.flags.interval = true;
        let mut pairs = Set::new(id, "pairs", [DataType::Ipv4Address, DataType::InetService]);
        pairs.flags.interval = true;
        let servers =
            Set::map(id, "servers", [DataType::Integer(4)], [DataType::Ipv4Address, DataType::InetService])
                .with_size(9);
        let services = Set::verdict_map(id, "services", [DataType::Ipv6Address, DataType::InetService]);
        let gone = Set::new(id, "gone", [DataType::InterfaceName]).with_timeout(Duration::from_secs(100));
        let address: IpAddr = "192.0.2.21".parse().unwrap();
        let value = Key::new().address(address).port(6443).build();
        let service = Key::new().address("2001:db8::1".parse().unwrap()).port(80).build();
        let mut batch = Batch::new();
        batch.add_table(&table).add_chain(&Chain::regular(id, "web"));
        for set in [&networks, &pairs, &servers, &services, &gone] {
            batch.add_set(set);
        }
        batch.add_elements(id, "networks", &Element::prefix("10.0.0.0/8".parse().unwrap(), None));
        let low = Key::new().address([10, 0, 0, 1].into()).port(1).build();
        let high = Key::new().address([10, 0, 0, 9].into()).port(99).build();
        batch.add_elements(id, "pairs", &[Element { key_end: Some(high), ..Element::new(low) }]);
        let server = Element::with_value(Key::new().number(0).build(), ElementValue::Data(value));
        batch.add_elements(id, "servers", [&server]);
        let jump = ElementValue::Verdict(Verdict::Goto("web".into()));
        let all = Element { value: Some(ElementValue::Verdict(Verdict::Drop)), ..Element::catch_all() };
        batch.add_elements(id, "services", [&Element::with_value(service, jump), &all]);
        let short = Element {
            timeout: Some(Duration::from_secs(50)),
            ..Element::new(Key::new().interface("lan0").build())
        };
        batch.add_elements(id, "gone", [&short]);
        commit(&batch);

        let listing = run("nft list ruleset");
        for expected in [
            "10.0.0.0/8 counter packets 0 bytes 0",
            "10.0.0.1-10.0.0.9 . 1-99",
            "0 : 192.0.2.21 . 6443",
            "2001:db8::1 . 80 : goto web",
            "* : drop",
            "\"lan0\" timeout 50s expires",
            "size 9",
        ] {
            assert!(listing.contains(expected), "{expected} in {listing}");
        }

        let mut filter = Nftables::open().unwrap();
        let sets = filter.sets(id).unwrap();
        for set in [&networks, &pairs, &servers, &services, &gone] {
            let there = sets.iter().find(|there| there.name == set.name).unwrap();
            assert!(there.is_same(set), "{there:?} {set:?}");
            assert_eq!(there.key, set.key);
        }
        let there = filter.elements(id, "servers").unwrap();
        assert_eq!(there, std::slice::from_ref(&server));
        assert_eq!(there[0].value_address(4), Some(address));
        assert_eq!(filter.element(id, "servers", &server).unwrap(), Some(server.clone()));
        let other = Element::new(Key::new().number(5).build());
        assert_eq!(filter.element(id, "servers", &other).unwrap(), None);
        let networks = filter.elements(id, "networks").unwrap();
        assert!(networks.iter().any(|one| one.counters() == Some(Counters::default())), "{networks:?}");
        assert_eq!(filter.elements(id, "services").unwrap().len(), 2);
        let expiring = filter.elements(id, "gone").unwrap();
        assert!(expiring[0].expires.unwrap() <= Duration::from_secs(50));

        commit(Batch::new().delete_elements(id, "servers", [&server]).flush_set(id, "services"));
        assert_eq!(filter.elements(id, "servers").unwrap(), []);
        assert_eq!(filter.elements(id, "services").unwrap(), []);
        commit(Batch::new().delete_set(id, "services"));
        assert!(filter.sets(id).unwrap().iter().all(|set| set.name != "services"));
    });
}

#[test]
fn a_map_of_sixty_thousand_elements_is_one_transaction() {
    Namespace::enter(|| {
        let table = table();
        let set =
            Set::map(&table.id, "big", [DataType::Integer(4)], [DataType::Ipv4Address]).with_size(60_000);
        let element = |number: u32| {
            let value = ElementValue::Data([10, 0, 0, number as u8].to_vec());
            Element::with_value(Key::new().number(number).build(), value)
        };
        let elements: Vec<_> = (0..60_000).map(element).collect();
        let mut batch = Batch::new();
        batch.add_table(&table).add_set(&set).add_elements(&table.id, "big", &elements);
        commit(&batch);
        let mut there = Nftables::open().unwrap().elements(&table.id, "big").unwrap();
        there.sort_by_key(|element| u32::from_ne_bytes(element.key.as_slice().try_into().unwrap()));
        assert_eq!(there.len(), elements.len());
        assert!(there == elements);
    });
}

#[test]
fn types_have_the_numbers_of_nft() {
    Namespace::enter(|| {
        run("nft add table inet t");
        let types = [
            ("ipv4_addr", DataType::Ipv4Address),
            ("ipv6_addr", DataType::Ipv6Address),
            ("ether_addr", DataType::EthernetAddress),
            ("inet_proto", DataType::InetProtocol),
            ("inet_service", DataType::InetService),
            ("mark", DataType::Mark),
            ("iface_index", DataType::InterfaceIndex),
            ("ifname", DataType::InterfaceName),
            ("ct_state", DataType::ConnTrackState),
            ("nf_proto", DataType::Family),
        ];
        for (name, _) in types {
            run(&format!("nft add set inet t s_{name} {{ type {name}; }}"));
        }
        run("nft add set inet t both { type ipv4_addr . inet_service . inet_proto; }");
        let table = TableId::new(Family::Inet, "t");
        let sets = Nftables::open().unwrap().sets(&table).unwrap();
        for (name, expected) in types {
            let set = sets.iter().find(|set| set.name == format!("s_{name}")).unwrap();
            assert_eq!(set.key, [expected], "{name}");
            let order = if expected.is_in_host_order() { 1u32 } else { 2 };
            if expected.octets() > 1 {
                assert_eq!(set.userdata.entry(0), Some(&order.to_ne_bytes()[..]), "{name}");
            }
        }
        let both = sets.iter().find(|set| set.name == "both").unwrap();
        assert_eq!(both.key, [DataType::Ipv4Address, DataType::InetService, DataType::InetProtocol]);
    });
}

#[test]
fn chains_and_rules_are_put_in_order_and_changed() {
    Namespace::enter(|| {
        let table = table();
        let id = &table.id;
        let chain = Chain::base(id, "in", ChainKind::Filter, Hook::Input, 5).with_policy(Policy::Drop);
        let rule = |comment| Rule::new(id, "in", Statements::new().counter().accept()).with_comment(comment);
        let mut batch = Batch::new();
        batch.create_table(&table).add_chain(&chain);
        batch.append_rule(&rule("b")).append_rule(&rule("d")).insert_rule(&rule("a"));
        commit(&batch);
        let mut filter = Nftables::open().unwrap();
        let chains = filter.chains(id).unwrap();
        assert_eq!((chains.len(), chains[0].base.clone()), (1, chain.base.clone()));
        let comments = |filter: &mut Nftables| -> Vec<String> {
            let rules = filter.rules(id, Some("in")).unwrap();
            rules.iter().map(|rule| rule.comment().unwrap().to_owned()).collect()
        };
        assert_eq!(comments(&mut filter), ["a", "b", "d"]);
        let handles: Vec<_> = filter.rules(id, None).unwrap().iter().map(|rule| rule.handle).collect();
        let mut batch = Batch::new();
        batch.append_rule(&Rule { position: handles[1], ..rule("c") });
        batch.replace_rule(&Rule { handle: handles[2], ..rule("D") });
        batch.delete_rule(id, "in", handles[0].unwrap());
        batch.add_chain(&chain.clone().with_policy(Policy::Accept));
        commit(&batch);
        assert_eq!(comments(&mut filter), ["b", "c", "D"]);
        assert!(run("nft list ruleset").contains("policy accept"));
        commit(Batch::new().flush_chain(id, "in").delete_chain(id, "in"));
        assert!(filter.chains(id).unwrap().is_empty());
        commit(Batch::new().remove_table(id).remove_table(id));
        assert!(filter.tables().unwrap().is_empty());
    });
}

#[test]
fn objects_count_packets_and_events_are_told() {
    Namespace::enter(|| {
        let mut events = Nftables::listen().unwrap();
        let table = table();
        let id = &table.id;
        let mut batch = Batch::new();
        batch.add_table(&table).add_object(&Object::counter(id, "pings"));
        batch.add_object(&Object::new(id, "some", ObjectState::ConnectionLimit { count: 4, above: true }));
        batch.add_chain(&Chain::base(id, "out", ChainKind::Filter, Hook::Output, 0));
        batch.append_rule(&Rule::new(id, "out", Statements::new().udp().counter_named("pings")));
        commit(&batch);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"12345", "127.0.0.1:9").unwrap();
        let mut filter = Nftables::open().unwrap();
        let counted = ObjectState::Counter(Counters { packets: 1, octets: 33 });
        let taken = filter.take_objects(id, Some(ObjectKind::Counter)).unwrap();
        assert_eq!((taken.len(), &taken[0].state), (1, &counted));
        let left = filter.objects(id, None).unwrap();
        assert!(left.iter().any(|one| one.state == ObjectState::Counter(Counters::default())), "{left:?}");
        assert!(left.iter().any(|one| one.state == ObjectState::ConnectionLimit { count: 4, above: true }));
        let mut told = Vec::new();
        while !told.iter().any(|event| matches!(event, Event::Generation(_))) {
            assert!(events.receive(|message| told.extend(Event::decode(&message).unwrap())).unwrap());
        }
        assert!(told.iter().any(|event| matches!(event, Event::Table(Change::New, new) if new.id == *id)));
        assert!(
            told.iter().any(|event| matches!(event, Event::Rule(Change::New, new) if new.chain == "out"))
        );
    });
}

#[test]
fn connections_are_spread_by_a_map() {
    Namespace::enter(|| {
        run("ip addr add 192.0.2.1/32 dev lo");
        let table = table();
        let id = &table.id;
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let map =
            Set::map(id, "servers", [DataType::Integer(4)], [DataType::Ipv4Address, DataType::InetService]);
        let elements: Vec<_> = (0u32..)
            .zip(&listeners)
            .map(|(number, listener)| {
                let address = listener.local_addr().unwrap();
                let value = Key::new().address(address.ip()).port(address.port()).build();
                Element::with_value(Key::new().number(number).build(), ElementValue::Data(value))
            })
            .collect();
        let kind = NumberKind::Incremental;
        let numbers =
            Expression::NumberGenerator(NumberGenerator { kind, modulus: 3, offset: 0, into: Register::R1 });
        let spread = Statements::new()
            .destination("192.0.2.1/32".parse().unwrap())
            .tcp()
            .destination_port(6443)
            .counter()
            .step(numbers)
            .dnat_by_map("servers");
        let mut batch = Batch::new();
        batch.add_table(&table).add_set(&map).add_elements(id, "servers", &elements);
        batch.add_chain(&Chain::base(id, "out", ChainKind::Nat, Hook::Output, priority::DSTNAT));
        batch.append_rule(&Rule::new(id, "out", spread));
        commit(&batch);
        for _ in 0..6 {
            TcpStream::connect("192.0.2.1:6443").unwrap();
        }
        for listener in &listeners {
            listener.accept().unwrap();
            listener.accept().unwrap();
        }
        let rules = Nftables::open().unwrap().rules(id, None).unwrap();
        assert_eq!(rules[0].counters().unwrap().packets, 6);
    });
}

#[test]
fn without_privilege_the_refusal_says_so() {
    Namespace::enter(|| {
        caps::drop(None, caps::CapSet::Effective, caps::Capability::CAP_NET_ADMIN).unwrap();
        let refused = Nftables::open().unwrap().commit(Batch::new().add_table(&table())).unwrap_err();
        let CommitError::Netlink(error @ Error::Refused(_)) = refused else { panic!("{refused}") };
        assert!(error.is_permission());
    });
}
