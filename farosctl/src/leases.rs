//! `farosctl leases`, `farosctl lease …`: who has which address.

use std::net::IpAddr;
use std::time::SystemTime;

use faros_common::clock;
use faros_common::site::Mac;
use serde::Serialize;
use serde_json::Value;

use crate::cli::LeaseCommand;
use crate::daemons::{DHCPD, Daemons, query_value};
use crate::exit::{Exit, Failure, advice};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, harmless, time};
use crate::session::Session;
