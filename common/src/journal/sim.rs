//! A simulated disk.
/// A simulated disk.
#[derive(Debug, Clone)]
pub struct SimDisk {}
