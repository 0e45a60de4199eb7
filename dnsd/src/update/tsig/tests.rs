//! Both ends of a signed transaction, and what happens to signatures on the way.

use super::*;
use crate::protocol::message::Query;
use crate::update::keys::Keys;

const NOW: u64 = 1_790_000_000;
const MESSAGE: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03api\x04edge\x07example\x03com\0\0\x01\0\x01";

fn keys(algorithm: Algorithm) -> Keys {
    Keys::for_tests(Key::new(&Name::parse("k.").unwrap(), algorithm, b"a secret of some length".to_vec()))
}

/// [`MESSAGE`] as a client signs it.
fn signed(keys: &Keys, algorithm: Algorithm, time: u64) -> Vec<u8> {
    let granted = keys.find(&Name::parse("k.").unwrap(), &algorithm.to_name()).unwrap();
    let mut message = MESSAGE.to_vec();
    let said = Time { signed: time, error: 0, other: None };
    let mut digest = granted.key.digest();
    digest.update(&message);
    said.record(&granted.key, Vec::new(), 0x1234).variables(&mut digest);
    said.record(&granted.key, digest.finish(), 0x1234).append(&mut message);
    message
}

fn verified(message: &[u8], keys: &Keys) -> Result<Verified, Refused> {
    let at = Query::parse(message).expect("well-formed").tsig_at.expect("signed");
    verify(message, at, keys, NOW)
}

#[test]
fn what_was_signed_is_verified_with_every_algorithm() {
    use Algorithm::{Sha1, Sha224, Sha256, Sha384, Sha512};
    for algorithm in [Sha1, Sha224, Sha256, Sha384, Sha512] {
        let keys = keys(algorithm);
        let message = signed(&keys, algorithm, NOW - 10);
        assert!(verified(&message, &keys).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn a_forwarded_message_with_another_number_is_still_verified() {
    let keys = keys(Algorithm::Sha256);
    let mut message = signed(&keys, Algorithm::Sha256, NOW);
    message[0] ^= 0xff;
    assert!(verified(&message, &keys).is_ok());
}

#[test]
fn every_changed_octet_is_noticed() {
    let keys = keys(Algorithm::Sha256);
    let message = signed(&keys, Algorithm::Sha256, NOW);
    for at in 2..message.len() {
        let mut changed = message.clone();
        changed[at] ^= 1;
        let Ok(query) = Query::parse(&changed) else { continue };
        let Some(tsig_at) = query.tsig_at else { continue };
        let verified = verify(&changed, tsig_at, &keys, NOW);
        // Names are compared and signed without their case, and the server has no use for what a client says in
        // its TSIG as an error.
        let same_name = changed.eq_ignore_ascii_case(&message);
        assert!(verified.is_err() || same_name, "octet {at}");
    }
}

#[test]
fn a_clock_beyond_the_fudge_is_told_the_time() {
    let keys = keys(Algorithm::Sha256);
    let message = signed(&keys, Algorithm::Sha256, NOW - 301);
    let refused = verified(&message, &keys).unwrap_err();
    assert_eq!((refused.name(), refused.rcode()), ("tsig_bad_time", rcode::NOTAUTH));
    let mut reply = MESSAGE.to_vec();
    refused.sign(&mut reply, NOW);
    let record = TsigRecord::read(&reply, MESSAGE.len()).unwrap();
    assert_eq!((record.error, record.time), (rcode::BADTIME, NOW - 301));
    assert_eq!(record.other, NOW.to_be_bytes()[2..]);
    assert_eq!(record.mac.len(), 32, "it is signed");
}

#[test]
fn an_unknown_key_and_a_wrong_secret_are_told_without_a_signature() {
    let message = signed(&keys(Algorithm::Sha256), Algorithm::Sha256, NOW);
    let other = Keys::for_tests(Key::new(&Name::parse("other.").unwrap(), Algorithm::Sha256, vec![1; 32]));
    let wrong = Keys::for_tests(Key::new(&Name::parse("k.").unwrap(), Algorithm::Sha256, vec![1; 32]));
    for (keys, name, error) in
        [(other, "tsig_bad_key", rcode::BADKEY), (wrong, "tsig_bad_signature", rcode::BADSIG)]
    {
        let refused = verified(&message, &keys).unwrap_err();
        assert_eq!(refused.name(), name);
        let mut reply = MESSAGE.to_vec();
        refused.sign(&mut reply, NOW);
        let record = TsigRecord::read(&reply, MESSAGE.len()).unwrap();
        assert_eq!((record.error, record.mac.len()), (error, 0));
    }
}

#[test]
fn a_signature_cut_below_the_half_is_malformed() {
    let keys = keys(Algorithm::Sha256);
    let message = signed(&keys, Algorithm::Sha256, NOW);
    let record = TsigRecord::read(&message, MESSAGE.len()).unwrap();
    for (length, accepted) in [(32, true), (16, true), (15, false), (0, false)] {
        let mut shortened = MESSAGE.to_vec();
        TsigRecord { mac: record.mac[..length].to_vec(), ..record.clone() }.append(&mut shortened);
        assert_eq!(verified(&shortened, &keys).is_ok(), accepted, "{length}");
    }
}

/// RFC 8945 section 5.3.1: the second signature covers the first.
#[test]
fn a_row_of_replies_is_chained() {
    let keys = keys(Algorithm::Sha256);
    let request = signed(&keys, Algorithm::Sha256, NOW);
    let mut verified = verified(&request, &keys).unwrap();
    let request_mac = verified.mac().to_vec();
    let (mut first, mut second) = (MESSAGE.to_vec(), MESSAGE.to_vec());
    verified.sign(&mut first, NOW);
    verified.sign(&mut second, NOW);
    let granted = keys.find(&Name::parse("k.").unwrap(), &Algorithm::Sha256.to_name()).unwrap();
    let records = [&first, &second].map(|reply| TsigRecord::read(reply, MESSAGE.len()).unwrap());
    let mut digest = granted.key.digest();
    digest.update(&32_u16.to_be_bytes());
    digest.update(&request_mac);
    digest.update(MESSAGE);
    records[0].variables(&mut digest);
    assert!(digest.verify(&records[0].mac));
    let mut digest = granted.key.digest();
    digest.update(&32_u16.to_be_bytes());
    digest.update(&records[0].mac);
    digest.update(MESSAGE);
    digest.update(&NOW.to_be_bytes()[2..]);
    digest.update(&FUDGE_SECS.to_be_bytes());
    assert!(digest.verify(&records[1].mac));
}
