//! From text to raw tables: places, findings, and the one definition of every table.

mod findings;
mod input;
mod shape;
mod table;

pub(crate) use findings::{Findings, Lines, Spot, quoted};
pub(crate) use input::{At, Input, List, Named, OneOrMany, Value};
pub(crate) use shape::{Key, Shape, Table, paragraph};
pub(crate) use table::{TableReader, closest, table};
