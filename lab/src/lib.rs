//! A whole site on one machine.
