//! Statuses of HTTP, names of servers, and algorithms of congestion control.

use std::ops::RangeInclusive;

use toml::de::DeValue;

use super::path::host_flaw;
use super::{Flaw, read_text, text_value};
use crate::site::read::{Findings, Input, Shape, Value, quoted};

/// TCP_CA_NAME_MAX of Linux, without the final zero.
const ALGORITHM_MAX: usize = 15;
const STATUS_FORM: &str = "status of HTTP or range of them, such as 200 or 200-399";

/// Statuses of HTTP (RFC 9110 section 15): one, or a range with both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusRange(pub(crate) RangeInclusive<u16>);

impl Value for StatusRange {
    fn read(input: Input<'_>, found: &mut Findings) -> Option<Self> {
        match input.value {
            DeValue::Integer(number) => match status(number.as_str()) {
                Some(status) => Some(Self(status..=status)),
                None => {
                    found
                        .error(&input.spot, format!("{} is no status of HTTP", input.description()))
                        .help("from 100 to 599");
                    None
                }
            },
            _ => read_text(&input, STATUS_FORM, found, statuses).map(Self),
        }
    }

    fn shape() -> Shape {
        Shape::Either(vec![Shape::Integer { min: 100, max: 599 }, Shape::Text { form: STATUS_FORM }])
    }
}

fn statuses(text: &str) -> Result<RangeInclusive<u16>, Flaw> {
    let flaw = || Flaw::not(text, STATUS_FORM);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (status(first).ok_or_else(flaw)?, status(last).ok_or_else(flaw)?);
    if last < first {
        return Err(Flaw::new(format!("the statuses run backwards: {first} is above {last}"))
            .help(format!("write {last}-{first}")));
    }
    Ok(first..=last)
}

fn status(text: &str) -> Option<u16> {
    if text.len() != 3 || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|status| (100..=599).contains(status))
}

/// The name that a server goes by: a host name, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerName(pub(crate) String);

text_value!(ServerName, "host name or address, such as api-int.edge.example.com", |text| {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    host_flaw(&name)?;
    Ok(ServerName(name))
});

/// The name of an algorithm of congestion control, as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CongestionControl(pub(crate) String);

text_value!(CongestionControl, "name of an algorithm, such as cubic, bbr or system", |text| {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if text.is_empty() || text.len() > ALGORITHM_MAX || !text.bytes().all(letter) {
        return Err(Flaw::new(format!("{} names no algorithm of congestion control", quoted(text)))
            .help("as net.ipv4.tcp_available_congestion_control lists them, such as cubic; or system"));
    }
    Ok(CongestionControl(text.to_owned()))
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_come_alone_and_in_ranges() {
        assert_eq!(statuses("200").unwrap(), 200..=200);
        assert_eq!(statuses("200-399").unwrap(), 200..=399);
        for wrong in ["", "20", "0200", "+20", "200-", "-200", "600", "099", "399-200", "200-299-399", "2xx"]
        {
            assert!(statuses(wrong).is_err(), "{wrong}");
        }
    }
}
