use std::time::UNIX_EPOCH;

use faros_common::clock;
use hickory_proto::dnssec::crypto::Ed25519SigningKey;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, NSEC, RRSIG, SigInput};
use hickory_proto::dnssec::{PublicKey, SigningKey, TBS};
use hickory_proto::rr::rdata::{A, NS, SOA};
use hickory_proto::rr::{DNSClass, LowerName, Name as HickoryName, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

use super::*;

/// A root zone of our own: signed, with `www.`, and with the unsigned delegation `plain.`.
#[derive(Clone)]
struct Root(Arc<Key>);

struct Key {
    key: Ed25519SigningKey,
    dnskey: DNSKEY,
}

impl Root {
    fn new() -> Self {
        let key = Ed25519SigningKey::from_pkcs8(&Ed25519SigningKey::generate_pkcs8().unwrap()).unwrap();
        let dnskey = DNSKEY::from_key(&key.to_public_key().unwrap());
        Self(Arc::new(Key { key, dnskey }))
    }

    fn anchors(&self) -> TrustAnchors {
        let mut anchors = TrustAnchors::empty();
        let key: &dyn PublicKey = self.0.dnskey.public_key();
        assert!(anchors.insert_with_name(key, LowerName::from(HickoryName::root())));
        anchors
    }

    /// The records with their signature, valid for `life` seconds from an hour ago on.
    fn signed(&self, records: Vec<Record>, life: u32) -> Vec<Record> {
        let begin = clock::wall().duration_since(UNIX_EPOCH).unwrap().as_secs() as u32 - 3600;
        let first = &records[0];
        let input = SigInput {
            type_covered: first.record_type(),
            algorithm: self.0.key.algorithm(),
            num_labels: first.name.num_labels(),
            original_ttl: 120,
            sig_expiration: (begin + life).into(),
            sig_inception: begin.into(),
            key_tag: self.0.dnskey.calculate_key_tag().unwrap(),
            signer_name: HickoryName::root(),
        };
        let tbs = TBS::from_input(&first.name, DNSClass::IN, &input, records.iter()).unwrap();
        let signature = RRSIG::from_sig(input, self.0.key.sign(&tbs).unwrap());
        let signature =
            Record::from_rdata(first.name.clone(), 300, RData::DNSSEC(DNSSECRData::RRSIG(signature)));
        [records, vec![signature]].concat()
    }

    fn dnskey(&self) -> Vec<Record> {
        self.signed(vec![record(".", RData::DNSSEC(DNSSECRData::DNSKEY(self.0.dnskey.clone())))], 7200)
    }

    fn soa(&self) -> Vec<Record> {
        let soa = SOA::new(HickoryName::root(), HickoryName::root(), 1, 2, 3, 4, 60);
        self.signed(vec![record(".", RData::SOA(soa))], 7200)
    }

    fn nsec(&self, owner: &str, next: &str, types: &[RecordType]) -> Vec<Record> {
        let nsec = NSEC::new(HickoryName::from_ascii(next).unwrap(), types.iter().copied());
        self.signed(vec![record(owner, RData::DNSSEC(DNSSECRData::NSEC(nsec)))], 7200)
    }

    /// What an honest upstream says.
    fn truth(&self, asked: &Asked) -> Vec<u8> {
        let kind = asked_kind(asked);
        let nothing = |extra: Vec<Record>| [self.soa(), extra].concat();
        match (asked.name().to_string().as_str(), kind) {
            (".", RecordType::DNSKEY) => told(asked, 0, &self.dnskey(), &[]),
            (".", _) => told(asked, 0, &[], &nothing(vec![])),
            ("www.", RecordType::A) => told(asked, 0, &self.signed(vec![a("www.", 9)], 7200), &[]),
            ("plain.", RecordType::NS) => {
                let ns = RData::NS(NS(HickoryName::from_ascii("ns.plain.").unwrap()));
                told(asked, 0, &[record("plain.", ns)], &[])
            }
            ("plain.", _) => {
                let types = [RecordType::NS, RecordType::NSEC, RecordType::RRSIG];
                told(asked, 0, &[], &nothing(self.nsec("plain.", "www.", &types)))
            }
            ("host.plain.", RecordType::A) => told(asked, 0, &[a("host.plain.", 9)], &[]),
            ("host.plain.", _) => told(asked, 0, &[], &[]),
            _ => {
                let types = [RecordType::A, RecordType::NSEC, RecordType::RRSIG];
                let apex = [
                    RecordType::SOA,
                    RecordType::NS,
                    RecordType::DNSKEY,
                    RecordType::NSEC,
                    RecordType::RRSIG,
                ];
                let gap = [self.nsec("www.", ".", &types), self.nsec(".", "plain.", &apex)].concat();
                told(asked, 3, &[], &nothing(gap))
            }
        }
    }
}

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(HickoryName::from_ascii(owner).unwrap(), 300, data)
}

fn a(owner: &str, octet: u8) -> Record {
    record(owner, RData::A(A::new(octet, octet, octet, octet)))
}

fn asked_kind(asked: &Asked) -> RecordType {
    let at = 12 + asked.name_octets().len();
    RecordType::from(u16::from_be_bytes([asked.wire[at], asked.wire[at + 1]]))
}

fn told(asked: &Asked, rcode: u8, answers: &[Record], authorities: &[Record]) -> Vec<u8> {
    let mut reply = asked.reply(rcode, &[], &[]);
    reply[7] = answers.len() as u8;
    reply[9] = authorities.len() as u8;
    for record in answers.iter().chain(authorities) {
        let mut encoded = Vec::new();
        let mut encoder = BinEncoder::new(&mut encoded);
        encoder.set_name_encoding(NameEncoding::Uncompressed);
        record.emit(&mut encoder).unwrap();
        reply.extend_from_slice(&encoded);
    }
    reply
}

/// A site that validates against `root`, with an upstream whose lies come first.
async fn site(
    root: &Root,
    change: impl FnOnce(&mut ForwardConfig),
    lie: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> (Site, Liar) {
    let honest = root.clone();
    let liar =
        Liar::start(move |asked| vec![Act::Reply(lie(asked).unwrap_or_else(|| honest.truth(asked)))]).await;
    let mut config = ForwardConfig { validate: true, ..to(&[&liar]) };
    change(&mut config);
    let (around, counters, events) = (Arc::new(Around::default()), Counters::default(), Events::new("dnsd"));
    let parts = Parts {
        config,
        trust: Trust::of_roots(rustls::RootCertStore::empty()),
        counters: counters.clone(),
        surroundings: around.clone(),
        events: events.clone(),
    };
    (Site { forwarder: Forwarder::with_anchors(parts, root.anchors()), around, counters, events }, liar)
}

fn no_lie(_: &Asked) -> Option<Vec<u8>> {
    None
}

fn code(resolved: &Resolved) -> (u16, Option<u16>) {
    (resolved.body.rcode, resolved.ede.map(|(code, _)| code))
}

#[tokio::test]
async fn what_is_signed_right_is_authentic() {
    let root = Root::new();
    let (site, _liar) = site(&root, |_| {}, no_lie).await;
    let resolved = site.resolve("www.").await;
    assert_eq!(code(&resolved), (rcode::NOERROR, None));
    assert!(resolved.body.authentic);
    // Without DO there are no signatures, and no time to live beyond what was signed.
    assert_eq!((resolved.body.answers, resolved.body.min_ttl()), (1, Some(120)));
    let signed = OwnedQuestion { dnssec_ok: true, ..ask("www.") };
    let resolved = site.forwarder.resolve(&signed).await;
    assert_eq!((resolved.body.answers, resolved.body.authentic), (2, true));
    assert_eq!(site.counters.secure.get(), 2);
}

#[tokio::test]
async fn keys_are_not_asked_for_again_with_each_name() {
    let root = Root::new();
    let (site, liar) = site(&root, |_| {}, no_lie).await;
    for _ in 0..3 {
        assert!(site.resolve("www.").await.body.authentic);
    }
    assert_eq!(liar.all().iter().filter(|asked| asked_kind(asked) == RecordType::DNSKEY).count(), 1);
}

#[tokio::test]
async fn a_forged_address_is_bogus() {
    let root = Root::new();
    let forger = root.clone();
    let (site, _liar) = site(
        &root,
        |_| {},
        move |asked| {
            asked.is_about("www.").then(|| {
                let mut records = forger.signed(vec![a("www.", 9)], 7200);
                records[0] = a("www.", 6);
                told(asked, 0, &records, &[])
            })
        },
    )
    .await;
    let resolved = site.resolve("www.").await;
    assert_eq!(code(&resolved), (rcode::SERVFAIL, Some(ede::DNSSEC_BOGUS)));
    assert!(site.stored().is_empty());
    assert_eq!(site.counters.bogus.get(), 1);
    let unchecked = OwnedQuestion { checking_disabled: true, ..ask("www.") };
    let resolved = site.forwarder.resolve(&unchecked).await;
    assert_eq!(
        (resolved.body.rcode, resolved.body.answers, resolved.body.authentic),
        (rcode::NOERROR, 1, false)
    );
}

#[tokio::test]
async fn signatures_that_expired_or_are_missing_say_so() {
    let root = Root::new();
    let forger = root.clone();
    let (site, _liar) = site(
        &root,
        |_| {},
        move |asked| match asked.name().to_string().as_str() {
            "www." => Some(told(asked, 0, &forger.signed(vec![a("www.", 9)], 60), &[])),
            "bare." if asked_kind(asked) == RecordType::A => Some(told(asked, 0, &[a("bare.", 9)], &[])),
            _ => None,
        },
    )
    .await;
    assert_eq!(code(&site.resolve("www.").await), (rcode::SERVFAIL, Some(ede::SIGNATURE_EXPIRED)));
    assert_eq!(code(&site.resolve("bare.").await), (rcode::SERVFAIL, Some(ede::RRSIGS_MISSING)));
}

#[tokio::test]
async fn a_zone_that_is_provably_not_signed_is_answered_without_ad() {
    let root = Root::new();
    let (site, _liar) = site(&root, |_| {}, no_lie).await;
    let resolved = site.resolve("host.plain.").await;
    assert_eq!(code(&resolved), (rcode::NOERROR, None));
    assert_eq!((resolved.body.answers, resolved.body.authentic), (1, false));
    assert_eq!(site.counters.insecure.get(), 1);
}

#[tokio::test]
async fn denials_need_proof() {
    let root = Root::new();
    let bare = root.clone();
    let (site, _liar) =
        site(&root, |_| {}, move |asked| asked.is_about("zzz.").then(|| told(asked, 3, &[], &bare.soa())))
            .await;
    let resolved = site.resolve("xx.").await;
    assert_eq!(code(&resolved), (rcode::NXDOMAIN, None));
    assert!(resolved.body.authentic);
    assert_eq!(code(&site.resolve("zzz.").await), (rcode::SERVFAIL, Some(ede::NSEC_MISSING)));
}

#[tokio::test]
async fn below_a_negative_trust_anchor_nothing_is_validated() {
    let root = Root::new();
    let (site, liar) = site(
        &root,
        |config| config.negative_trust_anchors = vec![name("bare.")],
        |asked| asked.is_about("www.bare.").then(|| told(asked, 0, &[a("www.bare.", 9)], &[])),
    )
    .await;
    let resolved = site.resolve("www.bare.").await;
    assert_eq!(
        (resolved.body.rcode, resolved.body.answers, resolved.body.authentic),
        (rcode::NOERROR, 1, false)
    );
    assert_eq!(liar.seen()[0].wire[3] & 0x10, 0x10, "upstream is not to validate either");
}

#[tokio::test]
async fn a_pile_of_signatures_is_not_even_begun_with() {
    let root = Root::new();
    let forger = root.clone();
    let (site, liar) = site(
        &root,
        |_| {},
        move |asked| {
            asked.is_about("www.").then(|| {
                let mut records = forger.signed(vec![a("www.", 9)], 7200);
                let signature = records[1].clone();
                records.extend(std::iter::repeat_n(signature, 8));
                told(asked, 0, &records, &[])
            })
        },
    )
    .await;
    assert_eq!(code(&site.resolve("www.").await), (rcode::SERVFAIL, Some(ede::DNSSEC_BOGUS)));
    assert!(liar.all().iter().all(|asked| asked_kind(asked) != RecordType::DNSKEY));
}

#[tokio::test]
async fn without_validation_signatures_pass_and_prove_nothing() {
    let root = Root::new();
    let (site, _liar) = site(&root, |config| config.validate = false, no_lie).await;
    let resolved = site.forwarder.resolve(&OwnedQuestion { dnssec_ok: true, ..ask("www.") }).await;
    assert_eq!((resolved.body.answers, resolved.body.authentic), (2, false));
}
