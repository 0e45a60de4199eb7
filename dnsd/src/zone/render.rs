//! A zone as a master file that other servers load (RFC 1035 section 5).

use std::fmt::{self, Display, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::{BASE64, HEXLOWER};

use super::rdata::{Field, mnemonic, shape_of, walk};
use super::text::{write_location, write_parameters};
use super::{Record, Zone};
use crate::protocol::code::kind;
use crate::protocol::name::{Name, write_text};

/// The zone as a master file: one record a line, all names absolute, the SOA record first. Names below a DNAME
/// record are left out: nobody can see them, and NSD refuses a zone that has some.
pub fn master_file(zone: &Zone) -> String {
    let mut text = String::new();
    let mut dname: Option<&Name> = None;
    for record in zone.records() {
        if dname.is_some_and(|dname| record.owner.is_within(dname) && record.owner != *dname) {
            continue;
        }
        if record.kind == kind::DNAME {
            dname = Some(&record.owner);
        }
        let written = writeln!(text, "{record}");
        debug_assert!(written.is_ok(), "a string takes all");
    }
    text
}

/// The data of a record in master file form. Types that not every server knows by name are written as octets
/// (RFC 3597 section 5), and so are data that do not have the form of their type.
pub fn rdata(kind: u16, rdata: &[u8]) -> String {
    let mut text = String::new();
    let mut result = Ok(());
    let walked = walk(kind, rdata, |field, octets| {
        if result.is_ok() {
            result = write_field(field, octets, &mut text);
        }
    });
    match (shape_of(kind), walked, result) {
        (Some(_), Ok(()), Ok(())) => text.trim_start().to_owned(),
        _ => generic(rdata),
    }
}

impl Display for Record {
    /// The record as a line of a master file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, kind, ttl, .. } = self;
        let (kind, data) = match is_well_known(*kind) {
            true => (mnemonic(*kind), rdata(*kind, &self.rdata)),
            false => (format!("TYPE{kind}").into(), generic(&self.rdata)),
        };
        write!(f, "{owner} {ttl} IN {kind} {data}")
    }
}

/// Whether NSD 4.6, BIND 9.18 and Knot 3.2 all read the type's own form.
fn is_well_known(kind: u16) -> bool {
    shape_of(kind).is_some_and(|shape| !matches!(shape.mnemonic, "X25" | "MB" | "MG" | "MR" | "MD" | "MF"))
}

/// The form of RFC 3597 section 5.
fn generic(rdata: &[u8]) -> String {
    format!("\\# {} {}", rdata.len(), HEXLOWER.encode(rdata)).trim_end().to_owned()
}

fn write_field(field: Field, octets: &[u8], out: &mut String) -> fmt::Result {
    if field != Field::Parameters {
        out.write_char(' ')?;
    }
    match field {
        Field::Name | Field::PlainName => write_text(octets, out),
        Field::U8 | Field::U16 | Field::U32 | Field::Period | Field::CertKind | Field::Algorithm => {
            let number = octets.iter().fold(0_u32, |number, octet| number << 8 | u32::from(*octet));
            write!(out, "{number}")
        }
        Field::Ipv4 => write!(out, "{}", Ipv4Addr::from(<[u8; 4]>::try_from(octets).unwrap_or_default())),
        Field::Ipv6 => write!(out, "{}", Ipv6Addr::from(<[u8; 16]>::try_from(octets).unwrap_or_default())),
        Field::Text => write_string(octets.get(1..).unwrap_or_default(), out),
        Field::Texts => {
            let mut rest = octets;
            let mut blank = "";
            while let Some((&length, tail)) = rest.split_first() {
                let (string, tail) = tail.split_at(usize::from(length).min(tail.len()));
                out.write_str(blank)?;
                write_string(string, out)?;
                (rest, blank) = (tail, " ");
            }
            Ok(())
        }
        Field::Tag => octets.iter().skip(1).try_for_each(|octet| out.write_char(char::from(*octet))),
        Field::LongText => write_string(octets, out),
        Field::Hex => out.write_str(&HEXLOWER.encode(octets)),
        Field::Base64 => out.write_str(&BASE64.encode(octets)),
        Field::Eui(_) => write_groups(octets.chunks(1), '-', out),
        Field::Locator => write_groups(octets.chunks(2), ':', out),
        Field::Parameters => write_parameters(octets, out),
        Field::Location => write_location(octets, out),
    }
}

fn write_groups<'o>(
    groups: impl Iterator<Item = &'o [u8]>,
    separator: char,
    out: &mut String,
) -> fmt::Result {
    for (index, group) in groups.enumerate() {
        if index > 0 {
            out.write_char(separator)?;
        }
        out.write_str(&HEXLOWER.encode(group))?;
    }
    Ok(())
}

/// A string in quotation marks.
pub(super) fn write_string(octets: &[u8], out: &mut impl Write) -> fmt::Result {
    out.write_char('"')?;
    for &octet in octets {
        match octet {
            b'"' | b'\\' => write!(out, "\\{}", char::from(octet))?,
            b' '..=b'~' => out.write_char(char::from(octet))?,
            _ => write!(out, "\\{octet:03}")?,
        }
    }
    out.write_char('"')
}
