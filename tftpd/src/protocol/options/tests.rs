use super::*;

fn agreed(options: &[u8]) -> Agreement {
    agree(&parse(options), Mode::Octet, 4711, 1468)
}

fn ack(options: &[u8]) -> Option<String> {
    agreed(options).option_ack.map(|packet| {
        assert_eq!(packet[..2], [0, 6]);
        String::from_utf8(packet[2..].to_vec()).unwrap().replace('\0', " ").trim_end().to_owned()
    })
}

#[test]
fn without_options_rfc_1350_holds() {
    let agreement = agreed(b"");
    assert_eq!((agreement.blksize, agreement.windowsize, agreement.timeout), (512, 1, None));
    assert_eq!(agreement.option_ack, None);
}

#[test]
fn t22_block_sizes_are_clamped_or_left_out() {
    for (wanted, answer) in [
        ("7", None),
        ("0", None),
        ("-1", None),
        ("+9", None),
        ("abc", None),
        ("", None),
        ("0x200", None),
        ("99999999999999999999", None),
        ("8", Some("blksize 8")),
        ("512", Some("blksize 512")),
        ("1432", Some("blksize 1432")),
        ("01468", Some("blksize 1468")),
        ("1469", Some("blksize 1468")),
        ("65464", Some("blksize 1468")),
        ("65465", Some("blksize 1468")),
    ] {
        assert_eq!(ack(format!("blksize\0{wanted}\0").as_bytes()).as_deref(), answer, "{wanted}");
    }
    let jumbo = agree(&parse(b"blksize\x0065535\0"), Mode::Octet, 0, blksize_of_mtu(65536, false));
    assert_eq!(jumbo.blksize, BLKSIZE_MAX);
}

#[test]
fn t23_timeouts_are_one_to_255_seconds() {
    for (wanted, answer) in
        [("0", None), ("256", None), ("1", Some("timeout 1")), ("255", Some("timeout 255"))]
    {
        assert_eq!(ack(format!("timeout\0{wanted}\0").as_bytes()).as_deref(), answer, "{wanted}");
    }
}

#[test]
fn t24_tsize_is_the_real_size_in_octet_mode_only() {
    assert_eq!(ack(b"tsize\x000\0").as_deref(), Some("tsize 4711"));
    assert_eq!(agree(&parse(b"tsize\x000\0"), Mode::Netascii, 4711, 1468).option_ack, None);
}

#[test]
fn t35_the_size_of_an_empty_file_is_told_to_all_but_curl() {
    let empty = |options: &[u8]| agree(&parse(options), Mode::Octet, 0, 1468).option_ack.unwrap();
    assert_eq!(empty(b"tsize\x000\0"), b"\0\x06tsize\x000\0");
    assert_eq!(empty(b"blksize\x001024\0tsize\x000\0"), b"\0\x06blksize\x001024\0tsize\x000\0");
    assert_eq!(empty(b"tsize\x000\0blksize\x00512\0timeout\x001\0"), b"\0\x06blksize\x00512\0timeout\x001\0");
}

#[test]
fn t25_windows_are_clamped_or_left_out() {
    for (wanted, answer) in [
        ("0", None),
        ("1", Some("windowsize 1")),
        ("4", Some("windowsize 4")),
        ("64", Some("windowsize 64")),
        ("65", Some("windowsize 64")),
        ("65535", Some("windowsize 64")),
        ("65536", Some("windowsize 64")),
    ] {
        assert_eq!(ack(format!("windowsize\0{wanted}\0").as_bytes()).as_deref(), answer, "{wanted}");
    }
}

#[test]
fn t26_unknown_options_are_left_out() {
    let mut options = b"tsize\x000\0".to_vec();
    for index in 0..100 {
        options.extend_from_slice(format!("unknown{index}\x001\0").as_bytes());
    }
    assert_eq!(ack(&options).as_deref(), Some("tsize 4711"));
    assert_eq!(ack(b"multicast\0\0utimeout\x0010\0"), None);
}

#[test]
fn t27_the_first_of_a_repeated_option_wins() {
    assert_eq!(ack(b"blksize\x00600\0BLKSIZE\x00700\0").as_deref(), Some("blksize 600"));
    assert_eq!(ack(b"blksize\x00none\0blksize\x00700\0"), None);
}

#[test]
fn an_option_without_its_end_is_not_there() {
    assert_eq!(ack(b"tsize\x000\0blksize\x001024").as_deref(), Some("tsize 4711"));
    assert_eq!(ack(b"tsize\x000\0blksize").as_deref(), Some("tsize 4711"));
}

#[test]
fn the_answer_keeps_order_and_spelling() {
    assert_eq!(
        ack(b"WindowSize\x004\0TSIZE\x000\0blksize\x001468\0").as_deref(),
        Some("WindowSize 4 TSIZE 4711 blksize 1468")
    );
}

#[test]
fn a_block_fits_the_link() {
    assert_eq!(blksize_of_mtu(1500, false), 1468);
    assert_eq!(blksize_of_mtu(1500, true), 1448);
    assert_eq!(blksize_of_mtu(9000, false), 8968);
    assert_eq!(blksize_of_mtu(0, false), BLKSIZE_MIN);
    assert_eq!(blksize_of_mtu(65536, false), BLKSIZE_MAX);
}

#[test]
fn rollover_is_zero_or_one() {
    assert_eq!(ack(b"rollover\x001\0").as_deref(), Some("rollover 1"));
    assert_eq!(ack(b"rollover\x002\0"), None);
    assert_eq!(agreed(b"rollover\x001\0").rollover, Rollover::One);
}
