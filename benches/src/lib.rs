//! Measurements beside the peers, in one run.
//!
//! Every benchmark is a program of its own (`src/bin`): it starts the peers and our daemon in network
//! namespaces of their own, lets the same client load each of them, interleaved, round after round, and prints
//! the medians, the ratios and what a unit of work costs in processor time. It never asserts a figure: a missed
//! target is printed, and the program still ends with 0.
//!
//! | Module | Theme |
//! |---|---|
//! | [`dhcp`], [`dns`], [`lb`], [`tang`], [`tftp`] | what is measured: servers, clients, cases, tables, targets |
//! | [`netns`] | two namespaces and the link between them, gone afterwards also after Ctrl-C or a crash |
//! | [`programs`] | where peers and clients are found |
//! | [`cgroup`] | who used how much processor time |
//! | [`process`] | a server under measurement: its processor time, its memory, its end |
//! | [`work_dir`] | where configuration, state and logs of one run lie |
//! | [`awake`] | processors that do not sleep while packets are under way |
//! | [`machine`] | what a figure is worth nothing without: machine, kernel, commit, versions |
//! | [`stats`] | medians, quantiles, ratios |
//! | [`report`] | tables and targets, on the terminal and in `docs/benchmarks.md` |
//! | [`options`] | the command line that all benchmarks share |
//! | [`session`] | one run from its command line to its exit code |
//! | [`site`] | the site file that our daemon is measured with |

pub mod awake;
pub mod cgroup;
pub mod dhcp;
pub mod dns;
pub mod error;
pub mod lb;
pub mod machine;
pub mod netns;
pub mod options;
pub mod process;
pub mod programs;
pub mod progress;
pub mod report;
pub mod session;
pub mod site;
pub mod stats;
pub mod tang;
pub mod tftp;
pub mod work_dir;

pub use error::Error;
