//! Times of the week, URLs and thumbprints of Tang servers.

use super::path::host_flaw;
use super::{Flaw, text_value};
use crate::site::TangWindow;
use crate::site::read::quoted;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_MINUTES: u16 = 24 * 60;

text_value!(
    TangWindow,
    "time of the week, such as mon-fri 06:00-20:00, sat,sun 22:00-04:00 or daily",
    |text| {
        const FORM: &str = "time of the week, such as mon-fri 06:00-20:00, sat,sun 22:00-04:00 or daily";
        let flaw = || Flaw::not(text, FORM);
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let (first, second) = (words.next().ok_or_else(flaw)?, words.next());
        if words.next().is_some() {
            return Err(flaw());
        }
        let (days, times) = match second {
            None if first.contains(':') => ("daily", Some(first)),
            times => (first, times),
        };
        let days = self::days(days)?;
        let Some(times) = times else { return Ok(TangWindow { days, from: 0, minutes: DAY_MINUTES }) };
        let (from, to) = times.split_once('-').ok_or_else(flaw)?;
        let (from, to) = (minute(from)?, minute(to)?);
        if from == DAY_MINUTES {
            return Err(Flaw::new("24:00 ends a day and begins none").help("write 00:00 and the day after"));
        }
        if from == to {
            return Err(Flaw::new(format!("{} ends when it begins", quoted(times)))
                .help("leave the times out for the whole day"));
        }
        let minutes = if to > from { to - from } else { to + DAY_MINUTES - from };
        Ok(TangWindow { days, from, minutes })
    }
);

/// `mon`, `mon-fri`, `sat,sun`, `fri-mon`, `daily`.
fn days(text: &str) -> Result<[bool; 7], Flaw> {
    if text.eq_ignore_ascii_case("daily") {
        return Ok([true; 7]);
    }
    let day = |name: &str| {
        DAYS.iter().position(|day| name.eq_ignore_ascii_case(day)).ok_or_else(|| {
            Flaw::new(format!("{} is no day", quoted(name)))
                .help(format!("{} or daily, in lists (sat,sun) and ranges (mon-fri)", DAYS.join(", ")))
        })
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        // A range may run over Sunday.
        (0..=(last + 7 - first) % 7).for_each(|step| days[(first + step) % 7] = true);
    }
    Ok(days)
}

/// `HH:MM` as the minute of the day, up to 24:00.
fn minute(text: &str) -> Result<u16, Flaw> {
    let number = |digits: &str| match digits.len() {
        1 | 2 if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits.parse::<u16>().ok(),
        _ => None,
    };
    let parts = text.split_once(':').filter(|(_, minutes)| minutes.len() == 2);
    parts
        .and_then(|(hours, minutes)| Some((number(hours)?, number(minutes)?)))
        .filter(|(hours, minutes)| *minutes < 60 && hours * 60 + minutes <= DAY_MINUTES)
        .map(|(hours, minutes)| hours * 60 + minutes)
        .ok_or_else(|| Flaw::not(text, "time of the day, from 00:00 to 24:00"))
}

/// The URL of a Tang server, without a final slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TangUrl {
    pub(crate) url: String,
    /// The host part, without brackets.
    pub(crate) host: String,
}

text_value!(TangUrl, "URL, http://HOST, http://HOST:PORT or the same with https", |text| {
    const FORM: &str = "URL, http://HOST, http://HOST:PORT or the same with https";
    let flaw = || Flaw::not(text, FORM);
    let (scheme, rest) = text.split_once("://").ok_or_else(flaw)?;
    if !matches!(scheme, "http" | "https") {
        return Err(flaw());
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if !path.bytes().all(plain) {
        return Err(Flaw::new(format!("{} is no path of a Tang server", quoted(path)))
            .help("its endpoint alone, without a question mark and whatever follows"));
    }
    if authority.contains('@') {
        return Err(Flaw::new("a URL holds a user or a password").help("a Tang server asks for none"));
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once(']').ok_or_else(flaw)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| Flaw::not(host, "IPv6 address"))?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').unwrap_or("?")) })
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if let Some(port) = port
        && !port.parse::<u16>().is_ok_and(|port| port != 0)
    {
        return Err(Flaw::not(port, "port, 1 to 65535"));
    }
    host_flaw(host)?;
    Ok(TangUrl { url: text.trim_end_matches('/').to_owned(), host: host.to_owned() })
});

/// A key's thumbprint (RFC 7638), SHA-256 or SHA-1, base64url without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thumbprint(pub(crate) String);

text_value!(
    Thumbprint,
    "thumbprint of a key: 43 characters (S256) or 27 (S1), as tang-show-keys prints",
    |text| {
        const FORM: &str = "thumbprint of a key: 43 characters (S256) or 27 (S1), as tang-show-keys prints";
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !matches!(text.len(), 27 | 43) || !text.bytes().all(word) {
            return Err(Flaw::not(text, FORM));
        }
        Ok(Thumbprint(text.to_owned()))
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_come_alone_in_lists_and_in_ranges() {
        let on = |text: &str| {
            let days = days(text).unwrap();
            DAYS.into_iter().zip(days).filter(|(_, on)| *on).map(|(day, _)| day).collect::<Vec<_>>()
        };
        assert_eq!(on("mon"), ["mon"]);
        assert_eq!(on("mon-fri"), ["mon", "tue", "wed", "thu", "fri"]);
        assert_eq!(on("Sat,sun"), ["sat", "sun"]);
        assert_eq!(on("sat-mon,wed"), ["mon", "wed", "sat", "sun"]);
        assert_eq!(on("daily").len(), 7);
        for wrong in ["", "mon-", "monday", "mon,,tue", "mon-tue-wed"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_end_with_the_day() {
        assert_eq!(minute("06:30"), Ok(390));
        assert_eq!(minute("6:30"), Ok(390));
        assert_eq!(minute("24:00"), Ok(1440));
        for wrong in ["", "6", "6:3", "24:01", "25:00", "12:60", "+6:00", "006:00", "6:000"] {
            assert!(minute(wrong).is_err(), "{wrong}");
        }
    }
}
