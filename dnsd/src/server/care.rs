//! Looks after the serving loops.

/// A loop that has not gone round for so many rounds is stuck, and the watchdog hears no more of us.
pub(super) const ROUNDS_STUCK: u32 = 12;

/// Watches whether loops go round.
#[derive(Debug, Default)]
pub(super) struct Care {
    seen: Vec<(u64, u32)>,
}

impl Care {
    /// Whether none of the loops has stood still for [`ROUNDS_STUCK`] calls. `turns` are theirs, always in the same
    /// order.
    pub(super) fn all_alive(&mut self, turns: impl Iterator<Item = u64>) -> bool {
        let mut alive = true;
        for (index, turns) in turns.enumerate() {
            if self.seen.len() <= index {
                self.seen.push((turns, 0));
            }
            let (before, still) = &mut self.seen[index];
            *still = if *before == turns { *still + 1 } else { 0 };
            *before = turns;
            alive &= *still < ROUNDS_STUCK;
        }
        alive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_noticed() {
        let mut care = Care::default();
        for turn in 0..100 {
            assert!(care.all_alive([turn, 1000 + turn].into_iter()));
        }
        let stuck = (0..100).find(|&turn| !care.all_alive([100 + turn, 1099].into_iter()));
        assert_eq!(stuck, Some(u64::from(ROUNDS_STUCK) - 1));
    }
}
