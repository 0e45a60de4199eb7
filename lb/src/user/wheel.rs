//! Timers: a hierarchical wheel, one timer per entry of the slab. Setting and stopping one costs the same with ten
//! thousand timers as with one.

/// Slots of a level.
const SLOTS: u64 = 64;
/// Bits of a slot's number.
const BITS: u32 = SLOTS.trailing_zeros();
/// Levels: 64⁴ ticks, which are 37 hours. A later time is taken for that; whoever is woken early looks again.
const LEVELS: usize = 4;
/// The furthest that a timer can be set.
const TICKS_MAX: u64 = (1 << (BITS * LEVELS as u32)) - 1;
const NOBODY: u32 = u32::MAX;
const UNARMED: u16 = u16::MAX;

/// The timers of one loop. Time is in ticks of the caller's choice, from 0.
pub(super) struct Wheel {
    now: u64,
    links: Vec<Link>,
    heads: [[u32; SLOTS as usize]; LEVELS],
    /// Which slots hold anybody.
    taken: [u64; LEVELS],
}

#[derive(Clone, Copy)]
struct Link {
    due: u64,
    next: u32,
    previous: u32,
    /// Level and slot.
    place: u16,
}

impl Wheel {
    pub(super) const fn new() -> Self {
        Self { now: 0, links: Vec::new(), heads: [[NOBODY; SLOTS as usize]; LEVELS], taken: [0; LEVELS] }
    }

    /// Sets the timer of `index` to `due`, whatever it was set to before. What is due already comes with the next tick.
    pub(super) fn arm(&mut self, index: u32, due: u64) {
        self.disarm(index);
        if self.links.len() <= index as usize {
            let free = Link { due: 0, next: NOBODY, previous: NOBODY, place: UNARMED };
            self.links.resize(index as usize + 1, free);
        }
        self.link(index, due.clamp(self.now + 1, self.now + TICKS_MAX));
    }

    /// Stops the timer of `index`, if it runs.
    pub(super) fn disarm(&mut self, index: u32) {
        let Some(&Link { next, previous, place, .. }) = self.links.get(index as usize) else { return };
        if place == UNARMED {
            return;
        }
        let (level, slot) = (usize::from(place >> BITS), u64::from(place) % SLOTS);
        match previous {
            NOBODY => self.heads[level][slot as usize] = next,
            _ => self.links[previous as usize].next = next,
        }
        if next != NOBODY {
            self.links[next as usize].previous = previous;
        }
        if self.heads[level][slot as usize] == NOBODY {
            self.taken[level] &= !(1 << slot);
        }
        self.links[index as usize].place = UNARMED;
    }

    /// When the timer of `index` is due; `None`: it does not run.
    pub(super) fn due(&self, index: u32) -> Option<u64> {
        self.links.get(index as usize).filter(|link| link.place != UNARMED).map(|link| link.due)
    }

    /// The next tick at which there is something to do, at the latest when the next timer is due.
    pub(super) fn next_stop(&self) -> Option<u64> {
        (0..LEVELS)
            .filter(|&level| self.taken[level] != 0)
            .map(|level| {
                let shift = BITS * level as u32;
                let base = (self.now >> shift) + 1;
                let ahead = self.taken[level].rotate_right((base % SLOTS) as u32).trailing_zeros();
                (base + u64::from(ahead)) << shift
            })
            .min()
    }

    /// Lets time go on to `now`; whose timers were due is added to `expired`, and they run no more.
    pub(super) fn advance(&mut self, now: u64, expired: &mut Vec<u32>) {
        while let Some(stop) = self.next_stop().filter(|&stop| stop <= now) {
            self.now = stop;
            for level in (1..LEVELS).rev() {
                let shift = BITS * level as u32;
                if stop % (1 << shift) == 0 {
                    self.cascade(level, (stop >> shift) % SLOTS);
                }
            }
            self.expire(stop % SLOTS, expired);
        }
        self.now = self.now.max(now);
    }

    fn cascade(&mut self, level: usize, slot: u64) {
        let mut index = self.empty(level, slot);
        while index != NOBODY {
            let Link { next, due, .. } = self.links[index as usize];
            self.link(index, due);
            index = next;
        }
    }

    fn expire(&mut self, slot: u64, expired: &mut Vec<u32>) {
        let mut index = self.empty(0, slot);
        while index != NOBODY {
            let link = &mut self.links[index as usize];
            link.place = UNARMED;
            expired.push(index);
            index = link.next;
        }
    }

    fn empty(&mut self, level: usize, slot: u64) -> u32 {
        self.taken[level] &= !(1 << slot);
        std::mem::replace(&mut self.heads[level][slot as usize], NOBODY)
    }

    fn link(&mut self, index: u32, due: u64) {
        let ahead = due.saturating_sub(self.now).max(1);
        let level = (ahead.ilog2() / BITS) as usize;
        let slot = (due >> (BITS * level as u32)) % SLOTS;
        let head = std::mem::replace(&mut self.heads[level][slot as usize], index);
        if head != NOBODY {
            self.links[head as usize].previous = index;
        }
        self.taken[level] |= 1 << slot;
        let place = (level as u16) << BITS | slot as u16;
        self.links[index as usize] = Link { due, next: head, previous: NOBODY, place };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_timer_of_a_day_comes_after_a_day() {
        let mut wheel = Wheel::new();
        let mut expired = Vec::new();
        let day = 24 * 3600 * 125;
        wheel.arm(3, day);
        wheel.advance(day - 1, &mut expired);
        assert!(expired.is_empty());
        wheel.advance(day, &mut expired);
        assert_eq!(expired, [3]);
        assert_eq!(wheel.next_stop(), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Arm(u32, u64),
        Disarm(u32),
        Advance(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let ahead = prop_oneof![0..70_u64, 0..5_000_u64, 0..300_000_u64, 0..20_000_000_u64];
        prop_oneof![
            (0..40_u32, ahead.clone()).prop_map(|(index, ahead)| Step::Arm(index, ahead)),
            (0..40_u32).prop_map(Step::Disarm),
            ahead.prop_map(Step::Advance),
        ]
    }

    proptest! {
        #[test]
        fn every_timer_comes_exactly_when_due(steps in proptest::collection::vec(step(), 1..80)) {
            let mut wheel = Wheel::new();
            let mut model = std::collections::BTreeMap::new();
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Arm(index, ahead) => {
                        wheel.arm(index, now + ahead);
                        model.insert(index, (now + ahead).clamp(now + 1, now + TICKS_MAX));
                    }
                    Step::Disarm(index) => {
                        wheel.disarm(index);
                        model.remove(&index);
                    }
                    Step::Advance(ahead) => {
                        now += ahead;
                        let mut expired = Vec::new();
                        wheel.advance(now, &mut expired);
                        expired.sort_unstable();
                        let due: Vec<u32> =
                            model.iter().filter(|&(_, &due)| due <= now).map(|(&index, _)| index).collect();
                        model.retain(|_, due| *due > now);
                        prop_assert_eq!(expired, due);
                    }
                }
                for index in 0..40 {
                    prop_assert_eq!(wheel.due(index), model.get(&index).copied());
                }
                if let Some(first) = model.values().min() {
                    let stop = wheel.next_stop().expect("somebody waits");
                    prop_assert!(now < stop && stop <= *first);
                }
            }
        }
    }
}
