//! Steps that load from, or write to, the packet, its connection and its route.

use super::keys::{
    Checksum, ConnTrackKey, Direction, ExtensionHeader, HeaderKind, MetaKey, Payload, PayloadBase, RouteKey,
};
use super::{Expression, Register};
use crate::netlink::attribute::{Attribute, Builder, Fields, Malformed};

mod meta {
    pub(super) const INTO: u16 = 1;
    pub(super) const KEY: u16 = 2;
    pub(super) const FROM: u16 = 3;
}

mod payload {
    pub(super) const INTO: u16 = 1;
    pub(super) const BASE: u16 = 2;
    pub(super) const OFFSET: u16 = 3;
    pub(super) const LENGTH: u16 = 4;
    pub(super) const FROM: u16 = 5;
    pub(super) const CHECKSUM_TYPE: u16 = 6;
    pub(super) const CHECKSUM_OFFSET: u16 = 7;
    pub(super) const CHECKSUM_FLAGS: u16 = 8;
    pub(super) const INTERNET: u32 = 1;
    pub(super) const PSEUDO_HEADER: u32 = 1;
}

mod ct {
    pub(super) const INTO: u16 = 1;
    pub(super) const KEY: u16 = 2;
    pub(super) const DIRECTION: u16 = 3;
    pub(super) const FROM: u16 = 4;
}

mod exthdr {
    pub(super) const INTO: u16 = 1;
    pub(super) const NUMBER: u16 = 2;
    pub(super) const OFFSET: u16 = 3;
    pub(super) const LENGTH: u16 = 4;
    pub(super) const FLAGS: u16 = 5;
    pub(super) const KIND: u16 = 6;
    pub(super) const FROM: u16 = 7;
    pub(super) const PRESENT: u32 = 1;
}

mod rt {
    pub(super) const INTO: u16 = 1;
    pub(super) const KEY: u16 = 2;
}

pub(super) fn encode(expression: &Expression, to: &mut Builder) {
    match expression {
        Expression::Meta { key, into } => {
            to.u32_be(meta::INTO, into.number());
            to.u32_be(meta::KEY, key.number());
        }
        Expression::SetMeta { key, from } => {
            to.u32_be(meta::KEY, key.number());
            to.u32_be(meta::FROM, from.number());
        }
        Expression::Payload { payload, into } => {
            to.u32_be(payload::INTO, into.number());
            encode_payload(*payload, to);
        }
        Expression::SetPayload { payload, from, checksum } => {
            to.u32_be(payload::FROM, from.number());
            encode_payload(*payload, to);
            if let Some(checksum) = checksum {
                to.u32_be(payload::CHECKSUM_TYPE, payload::INTERNET);
                to.u32_be(payload::CHECKSUM_OFFSET, checksum.offset);
                let flags = if checksum.pseudo_header { payload::PSEUDO_HEADER } else { 0 };
                to.u32_be(payload::CHECKSUM_FLAGS, flags);
            }
        }
        Expression::ConnTrack { key, direction, into } => {
            to.u32_be(ct::INTO, into.number());
            encode_conntrack(*key, *direction, to);
        }
        Expression::SetConnTrack { key, direction, from } => {
            encode_conntrack(*key, *direction, to);
            to.u32_be(ct::FROM, from.number());
        }
        Expression::ExtensionHeader { header, present, into } => {
            to.u32_be(exthdr::INTO, into.number());
            encode_header(*header, to);
            to.u32_be(exthdr::FLAGS, if *present { exthdr::PRESENT } else { 0 });
        }
        Expression::SetExtensionHeader { header, from } => {
            encode_header(*header, to);
            to.u32_be(exthdr::FROM, from.number());
        }
        Expression::Route { key, into } => {
            to.u32_be(rt::INTO, into.number());
            to.u32_be(rt::KEY, key.number());
        }
        _ => {}
    }
}

fn encode_payload(payload: Payload, to: &mut Builder) {
    to.u32_be(payload::BASE, payload.base.number());
    to.u32_be(payload::OFFSET, payload.offset);
    to.u32_be(payload::LENGTH, payload.length);
}

fn encode_conntrack(key: ConnTrackKey, direction: Option<Direction>, to: &mut Builder) {
    to.u32_be(ct::KEY, key.number());
    if let Some(direction) = direction {
        to.u8(ct::DIRECTION, direction as u8);
    }
}

fn encode_header(header: ExtensionHeader, to: &mut Builder) {
    to.u8(exthdr::NUMBER, header.number);
    to.u32_be(exthdr::OFFSET, header.offset);
    to.u32_be(exthdr::LENGTH, header.length);
    to.u32_be(exthdr::KIND, header.kind.number());
}

pub(super) fn decode(name: &str, fields: &Fields<'_>) -> Result<Option<Expression>, Malformed> {
    match name {
        "meta" => decode_meta(fields),
        "payload" => decode_payload(fields),
        "ct" => decode_conntrack(fields),
        "exthdr" => decode_header(fields),
        "rt" => {
            let into = register(fields, rt::INTO)?;
            let key = fields.need(rt::KEY, "rt without its key")?.u32_be()?;
            Ok(RouteKey::from_number(key).ok().map(|key| Expression::Route { key, into }))
        }
        _ => Ok(None),
    }
}

/// The register that an attribute names.
pub(super) fn register(fields: &Fields<'_>, kind: u16) -> Result<Register, Malformed> {
    Register::decode(fields.need(kind, "an expression without its register")?)
}

/// The same if the attribute is there.
pub(super) fn register_if_any(fields: &Fields<'_>, kind: u16) -> Result<Option<Register>, Malformed> {
    fields.get(kind).map(Register::decode).transpose()
}

fn decode_meta(fields: &Fields<'_>) -> Result<Option<Expression>, Malformed> {
    let key = fields.need(meta::KEY, "meta without its key")?.u32_be()?;
    // Kernels learn new keys; a dump with one is no reason to refuse it all.
    let Ok(key) = MetaKey::from_number(key) else { return Ok(None) };
    Ok(Some(match register_if_any(fields, meta::FROM)? {
        Some(from) => Expression::SetMeta { key, from },
        None => Expression::Meta { key, into: register(fields, meta::INTO)? },
    }))
}

fn decode_payload(fields: &Fields<'_>) -> Result<Option<Expression>, Malformed> {
    let base = fields.need(payload::BASE, "payload without its base")?.u32_be()?;
    let Ok(base) = PayloadBase::from_number(base) else { return Ok(None) };
    let payload = Payload {
        base,
        offset: fields.u32_be(payload::OFFSET)?.unwrap_or_default(),
        length: fields.u32_be(payload::LENGTH)?.unwrap_or_default(),
    };
    let Some(from) = register_if_any(fields, payload::FROM)? else {
        return Ok(Some(Expression::Payload { payload, into: register(fields, payload::INTO)? }));
    };
    let checksum = match fields.u32_be(payload::CHECKSUM_TYPE)?.unwrap_or_default() {
        0 => None,
        payload::INTERNET => {
            let flags = fields.u32_be(payload::CHECKSUM_FLAGS)?.unwrap_or_default();
            let offset = fields.u32_be(payload::CHECKSUM_OFFSET)?.unwrap_or_default();
            Some(Checksum { offset, pseudo_header: flags & payload::PSEUDO_HEADER != 0 })
        }
        _ => return Ok(None),
    };
    Ok(Some(Expression::SetPayload { payload, from, checksum }))
}

fn decode_conntrack(fields: &Fields<'_>) -> Result<Option<Expression>, Malformed> {
    let key = fields.need(ct::KEY, "ct without its key")?.u32_be()?;
    let Ok(key) = ConnTrackKey::from_number(key) else { return Ok(None) };
    let direction = match fields.get(ct::DIRECTION).map(Attribute::u8).transpose()? {
        None => None,
        Some(0) => Some(Direction::Original),
        Some(1) => Some(Direction::Reply),
        Some(_) => return Err(Malformed::new("an unknown direction of ct")),
    };
    Ok(Some(match register_if_any(fields, ct::FROM)? {
        Some(from) => Expression::SetConnTrack { key, direction, from },
        None => Expression::ConnTrack { key, direction, into: register(fields, ct::INTO)? },
    }))
}

fn decode_header(fields: &Fields<'_>) -> Result<Option<Expression>, Malformed> {
    let Ok(kind) = HeaderKind::from_number(fields.u32_be(exthdr::KIND)?.unwrap_or_default()) else {
        return Ok(None);
    };
    let header = ExtensionHeader {
        kind,
        number: fields.need(exthdr::NUMBER, "exthdr without its type")?.u8()?,
        offset: fields.u32_be(exthdr::OFFSET)?.unwrap_or_default(),
        length: fields.u32_be(exthdr::LENGTH)?.unwrap_or_default(),
    };
    let from = register_if_any(fields, exthdr::FROM)?;
    let into = register_if_any(fields, exthdr::INTO)?;
    let present = fields.u32_be(exthdr::FLAGS)?.unwrap_or_default() & exthdr::PRESENT != 0;
    Ok(match (from, into) {
        (Some(from), _) => Some(Expression::SetExtensionHeader { header, from }),
        (None, Some(into)) => Some(Expression::ExtensionHeader { header, present, into }),
        // The kernel also knows how to remove an option.
        (None, None) => None,
    })
}
