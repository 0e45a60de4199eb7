//! Framing of DHCP options: where each one starts and ends, before anybody asks what it means.
//!
//! One bad option never shifts or swallows another: framing looks at codes and lengths only, and every
//! value is interpreted when it is asked for. Options may lie in three fields (option 52, RFC 2132 section
//! 9.3); each field is read at most once, so nothing can loop. An option that appears several times is one
//! long value (RFC 3396), bounded by [`OPTION_BYTES_MAX`].

use std::borrow::Cow;

use crate::code;

/// The most bytes one option may have after concatenation; a packet with more in one option is refused.
pub const OPTION_BYTES_MAX: usize = 4096;

/// The most option instances in one packet; a packet with more is refused.
pub const OPTION_INSTANCES_MAX: usize = 1024;

/// Why the options of a packet cannot be framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// A length leads past the end of its field.
    PastEnd,
    /// More than [`OPTION_INSTANCES_MAX`] instances.
    TooMany,
    /// More than [`OPTION_BYTES_MAX`] bytes in the option with this code.
    TooLong(u8),
}

/// The framed options of one packet, borrowed from its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options<'p> {
    instances: Vec<(u8, &'p [u8])>,
}

impl<'p> Options<'p> {
    /// Frames `area` (what follows the magic cookie) and, where option 52 says so, `file` and `sname`,
    /// in the order that RFC 3396 section 5 gives for concatenation.
    ///
    /// A missing END is tolerated; what follows END is ignored. An option 52 within an overloaded field,
    /// and one with a value other than 1, 2 or 3, is ignored.
    ///
    /// # Errors
    /// See [`FramingError`].
    pub fn frame(area: &'p [u8], file: &'p [u8], sname: &'p [u8]) -> Result<Self, FramingError> {
        let mut options = Self { instances: Vec::with_capacity(24) };
        options.frame_field(area)?;
        let overload = match options.get(code::OVERLOAD).as_deref() {
            Some(&[value @ 1..=3]) => value,
            _ => 0,
        };
        if overload & 1 != 0 {
            options.frame_field(file)?;
        }
        if overload & 2 != 0 {
            options.frame_field(sname)?;
        }
        options.check_lengths()?;
        Ok(options)
    }

    fn frame_field(&mut self, mut rest: &'p [u8]) -> Result<(), FramingError> {
        loop {
            match *rest {
                [] | [code::END, ..] => return Ok(()),
                [code::PAD, ..] => {
                    let pads = rest.iter().take_while(|&&byte| byte == code::PAD).count();
                    rest = &rest[pads..];
                }
                [_] => return Err(FramingError::PastEnd),
                [code, length, ref value @ ..] => {
                    let Some((value, after)) = value.split_at_checked(usize::from(length)) else {
                        return Err(FramingError::PastEnd);
                    };
                    if self.instances.len() == OPTION_INSTANCES_MAX {
                        return Err(FramingError::TooMany);
                    }
                    self.instances.push((code, value));
                    rest = after;
                }
            }
        }
    }

    fn check_lengths(&self) -> Result<(), FramingError> {
        let mut lengths = [0usize; 256];
        for &(code, value) in &self.instances {
            lengths[usize::from(code)] += value.len();
            if lengths[usize::from(code)] > OPTION_BYTES_MAX {
                return Err(FramingError::TooLong(code));
            }
        }
        Ok(())
    }

    /// The value of option `code`, all its instances concatenated; `None` if it does not appear.
    /// Borrowed unless there is something to concatenate.
    pub fn get(&self, code: u8) -> Option<Cow<'p, [u8]>> {
        let mut found = self.instances(code);
        let first = found.next()?;
        let Some(second) = found.next() else { return Some(Cow::Borrowed(first)) };
        let mut whole = [first, second].concat();
        found.for_each(|part| whole.extend_from_slice(part));
        Some(Cow::Owned(whole))
    }

    /// The value of option `code` if it has exactly `N` bytes.
    pub fn fixed<const N: usize>(&self, code: u8) -> Option<[u8; N]> {
        self.get(code)?.as_ref().try_into().ok()
    }

    /// Whether option `code` appears at all.
    pub fn has(&self, code: u8) -> bool {
        self.instances(code).next().is_some()
    }

    /// Every instance of option `code` as it stands in the packet, in order.
    pub fn instances(&self, code: u8) -> impl Iterator<Item = &'p [u8]> {
        self.instances.iter().filter(move |instance| instance.0 == code).map(|instance| instance.1)
    }

    /// Every instance of every option, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'p [u8])> {
        self.instances.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(area: &[u8]) -> Result<Vec<(u8, Vec<u8>)>, FramingError> {
        Options::frame(area, &[], &[]).map(|o| o.iter().map(|(code, value)| (code, value.to_vec())).collect())
    }

    #[test]
    fn pads_end_and_what_follows_are_no_options() {
        assert_eq!(framed(&[0, 0, 53, 1, 1, 0, 255, 9, 9, 9]), Ok(vec![(53, vec![1])]));
        assert_eq!(framed(&[53, 1, 1]), Ok(vec![(53, vec![1])]), "no END");
        assert_eq!(framed(&[0; 65_000]), Ok(vec![]));
        assert_eq!(framed(&[]), Ok(vec![]));
    }

    #[test]
    fn a_length_past_the_end_refuses_the_packet() {
        assert_eq!(framed(&[53, 1, 1, 12, 5, b'a', b'b', 255]), Err(FramingError::PastEnd));
        assert_eq!(framed(&[53]), Err(FramingError::PastEnd));
        assert_eq!(framed(&[12, 200]), Err(FramingError::PastEnd));
    }

    #[test]
    fn one_odd_option_never_shifts_the_next() {
        let mut area = vec![51, 2, 0, 0, 81, 0, 116, 0, 15, 2, 0xff, 0xfe, 55, 255];
        area.extend(1..=255u8);
        area.extend([12, 1, b'x', 255]);
        let options = Options::frame(&area, &[], &[]).unwrap();
        assert_eq!(options.get(12).as_deref(), Some(&b"x"[..]));
        assert_eq!(options.get(55).unwrap().len(), 255);
        assert_eq!(options.fixed::<4>(51), None);
    }

    #[test]
    fn split_options_are_one_value_across_fields_in_the_order_of_rfc_3396() {
        let area = [12, 1, b'a', 52, 1, 3, 12, 1, b'b', 255];
        let file = [12, 1, b'c', 255, 12, 1, b'X'];
        let sname = [0, 12, 1, b'd'];
        let options = Options::frame(&area, &file, &sname).unwrap();
        assert_eq!(options.get(12).as_deref(), Some(&b"abcd"[..]));
    }

    #[test]
    fn overload_reads_only_the_fields_it_names_and_each_once() {
        let file = [12, 1, b'f', 52, 1, 3, 255];
        let sname = [15, 1, b's', 52, 1, 1, 255];
        for (value, host, domain) in
            [(1u8, true, false), (2, false, true), (3, true, true), (0, false, false), (4, false, false)]
        {
            let area = [52, 1, value, 255];
            let options = Options::frame(&area, &file, &sname).unwrap();
            assert_eq!((options.has(12), options.has(15)), (host, domain), "overload {value}");
        }
    }

    #[test]
    fn concatenation_is_bounded_per_option_and_per_packet() {
        let mut area = Vec::new();
        for _ in 0..300 {
            area.extend([43, 255]);
            area.extend([7; 255]);
        }
        assert_eq!(framed(&area), Err(FramingError::TooLong(43)));
        let area: Vec<u8> = (0..OPTION_INSTANCES_MAX + 1).flat_map(|_| [200, 0]).collect();
        assert_eq!(framed(&area), Err(FramingError::TooMany));
        let area: Vec<u8> = (0..300).flat_map(|_| [200, 1, 5]).collect();
        assert_eq!(Options::frame(&area, &[], &[]).unwrap().get(200).unwrap().len(), 300);
    }

    proptest::proptest! {
        #[test]
        fn framing_never_panics_and_never_invents_bytes(
            area in proptest::collection::vec(proptest::num::u8::ANY, 0..700),
            file in proptest::collection::vec(proptest::num::u8::ANY, 128),
            sname in proptest::collection::vec(proptest::num::u8::ANY, 64),
        ) {
            if let Ok(options) = Options::frame(&area, &file, &sname) {
                let total: usize = options.iter().map(|(_, value)| value.len() + 2).sum();
                proptest::prop_assert!(total <= area.len() + file.len() + sname.len());
            }
        }
    }
}
