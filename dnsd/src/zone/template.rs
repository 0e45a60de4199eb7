//! An answer's octets after the question, made once, and what in them depends on the question.
//!
//! Names are compressed against the name that was asked for. Its length differs with wildcards, referrals and
//! negative answers, and within a chain of aliases it is not even the question's: so each pointer is noted
//! with what it refers to, and is set anew where that has moved.

use std::cell::Cell;

use crate::protocol::body::{TooLong, Written};
use crate::protocol::code::rcode;
use crate::protocol::name::NAME_BYTES_MAX;

/// Octets of a message's header; the question's name begins behind it.
pub(super) const HEADER_BYTES: usize = 12;
/// The longest template: with the longest header, question and OPT record around it, a message stays within
/// its 65535 octets. An RRset beyond that cannot be served and is refused.
pub(super) const TEMPLATE_BYTES_MAX: usize = 65_000;
/// Pointers have 14 bits.
const POINTER_MAX: usize = 0x3fff;
/// Names that begin further inside than this are not pointed to: with the longest question and the longest
/// chain of aliases in front, a pointer could not reach them.
pub(super) const TARGET_MAX: usize = 4_000;
/// The most octets in front of a template: header, question, and a chain of aliases. See `chain::CHAIN_MAX`.
pub(super) const BEFORE_MAX: usize = POINTER_MAX - TARGET_MAX;

/// What a pointer refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// The name that was asked for.
    Whole,
    /// Its suffix of so many labels.
    Suffix(u8),
    /// A place in the template.
    Inside(u16),
}

/// A pointer and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pointer {
    pub(super) at: u16,
    reference: u16,
}

const WHOLE: u16 = 0xffff;
const SUFFIX: u16 = 0x8000;

impl Pointer {
    pub(super) fn new(at: usize, reference: Reference) -> Self {
        let reference = match reference {
            Reference::Whole => WHOLE,
            Reference::Suffix(labels) => SUFFIX | u16::from(labels),
            Reference::Inside(place) => place,
        };
        Self { at: at as u16, reference }
    }

    pub(super) fn reference(self) -> Reference {
        match self.reference {
            WHOLE => Reference::Whole,
            suffix if suffix & SUFFIX != 0 => Reference::Suffix(suffix as u8),
            place => Reference::Inside(place),
        }
    }
}

/// Address records of the answer that take turns in being the first: from `at`, `count` of `bytes` each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rotation {
    pub(super) at: u16,
    pub(super) bytes: u16,
    pub(super) count: u16,
}

/// A finished answer; its octets and pointers are in the arrays of its zone.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// The type that it answers.
    pub(super) kind: u16,
    pub(super) answers: u16,
    pub(super) authorities: u16,
    pub(super) additionals: u16,
    /// Where the additional section begins.
    pub(super) additional_at: u16,
    pub(super) rotation: Rotation,
    len: u16,
    octets_at: u32,
    pointers_at: u32,
    pointer_count: u16,
}

impl Template {
    /// What the first `len` octets of it are.
    pub(super) fn written(&self, len: usize) -> Written {
        let additional_at = usize::from(self.additional_at);
        Written {
            len,
            rcode: rcode::NOERROR,
            authoritative: true,
            authentic: false,
            answers: self.answers,
            authorities: self.authorities,
            additionals: if len > additional_at { self.additionals } else { 0 },
            additional_at,
        }
    }
}

/// What becomes a template.
pub(super) struct Draft<'d> {
    pub(super) kind: u16,
    pub(super) octets: &'d [u8],
    pub(super) pointers: &'d [Pointer],
    /// How many records each section has.
    pub(super) sections: [u16; 3],
    pub(super) additional_at: usize,
    pub(super) rotation: Rotation,
}

/// The octets and pointers of many templates.
#[derive(Debug, Default)]
pub(super) struct Arena {
    octets: Vec<u8>,
    pointers: Vec<Pointer>,
}

/// The arena has outgrown its 32-bit places.
pub(super) struct ArenaFull;

impl Arena {
    pub(super) fn octets(&self, template: &Template) -> &[u8] {
        let at = template.octets_at as usize;
        &self.octets[at..at + usize::from(template.len)]
    }

    /// Copies a template to the front of `out`; its additional section only if there is room. Its addresses
    /// take turns. Returns the length copied.
    pub(super) fn copy(&self, template: &Template, out: &mut [u8]) -> Result<usize, TooLong> {
        let mut octets = self.octets(template);
        if octets.len() > out.len() {
            octets = &octets[..template.additional_at.into()];
        }
        let out = out.get_mut(..octets.len()).ok_or(TooLong)?;
        out.copy_from_slice(octets);
        let Rotation { at, bytes, count } = template.rotation;
        if count > 1 {
            let (at, bytes) = (usize::from(at), usize::from(bytes));
            out[at..at + bytes * usize::from(count)].rotate_left(bytes * turn(count));
        }
        Ok(octets.len())
    }

    fn pointers(&self, template: &Template) -> &[Pointer] {
        let at = template.pointers_at as usize;
        &self.pointers[at..at + usize::from(template.pointer_count)]
    }

    /// Takes a finished template in.
    pub(super) fn push(&mut self, draft: &Draft<'_>) -> Result<Template, ArenaFull> {
        let at = |length: usize| u32::try_from(length).map_err(|_| ArenaFull);
        let [answers, authorities, additionals] = draft.sections;
        let template = Template {
            kind: draft.kind,
            answers,
            authorities,
            additionals,
            additional_at: draft.additional_at as u16,
            rotation: draft.rotation,
            len: draft.octets.len() as u16,
            octets_at: at(self.octets.len())?,
            pointers_at: at(self.pointers.len())?,
            pointer_count: draft.pointers.len() as u16,
        };
        self.octets.extend_from_slice(draft.octets);
        self.pointers.extend_from_slice(draft.pointers);
        Ok(template)
    }

    pub(super) fn shrink(&mut self) {
        self.octets.shrink_to_fit();
        self.pointers.shrink_to_fit();
    }

    /// Sets the pointers of a template's copy that begins at `octets[0]`, which is octet `base` of the message.
    /// `whole` is where the name asked for stands, `suffix` where its suffix of so many labels does.
    pub(super) fn relocate(
        &self,
        template: &Template,
        octets: &mut [u8],
        base: usize,
        whole: u16,
        suffix: impl Fn(u8) -> u16,
    ) {
        for pointer in self.pointers(template) {
            let target = match pointer.reference() {
                Reference::Whole => whole,
                Reference::Suffix(labels) => suffix(labels),
                Reference::Inside(place) => base as u16 + place,
            };
            let at = usize::from(pointer.at);
            // A copy without its additional section has fewer.
            if let Some(place) = octets.get_mut(at..at + 2) {
                place.copy_from_slice(&(0xc000 | target).to_be_bytes());
            }
        }
    }
}

/// Which of `count` records comes first this time.
///
/// A counter, scattered: names that are asked in turns, as A and AAAA are, each see all of their records first.
fn turn(count: u16) -> usize {
    thread_local! {
        static TURN: Cell<u32> = const { Cell::new(0) };
    }
    let turn = TURN.get().wrapping_add(1);
    TURN.set(turn);
    let scattered = turn.wrapping_mul(0x9e37_79b9) >> 16;
    (scattered as usize * usize::from(count)) >> 16
}

const _: () = assert!(BEFORE_MAX > HEADER_BYTES + NAME_BYTES_MAX + 4);
