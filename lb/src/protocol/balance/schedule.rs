//! Weighted round-robin, worked out ahead.

/// The order in which servers take their turns: each as often as its weight says, and evenly spread (with
/// weights 5 and 1 and 1: a a b a a c a), so that a heavy server does not get its connections in bursts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    turns: Box<[u32]>,
}

impl Schedule {
    /// The longest schedule, but for more servers than this. Where the weights, reduced to lowest terms, add
    /// up to more, they are rounded: each server's share is then right to within one turn of this many.
    pub const TURNS_MAX: i64 = 8192;

    /// The schedule for servers with these weights; those of weight 0 get no turn.
    pub fn new(weights: &[u32]) -> Self {
        let counts = reduce(weights);
        let mut chairs: Vec<Chair> = (0u32..)
            .zip(counts)
            .filter(|&(_, count)| count > 0)
            .map(|(slot, count)| Chair { slot, count, due: 0 })
            .collect();
        let total: i64 = chairs.iter().map(|chair| chair.count).sum();
        let turns = (0..total).map(|_| next(&mut chairs, total));
        Self { turns: turns.collect() }
    }

    /// Whose turn it is; `None`: nobody has any.
    pub fn turn(&self, number: u64) -> Option<usize> {
        let length = self.turns.len() as u64;
        if length == 0 {
            return None;
        }
        Some(self.turns[(number % length) as usize] as usize)
    }

    /// After how many turns it begins anew.
    pub fn turns(&self) -> usize {
        self.turns.len()
    }
}

/// A server in the making of a schedule.
struct Chair {
    slot: u32,
    /// Its turns in the whole schedule.
    count: i64,
    /// The turns it should have had by now less those it had, times the length of the schedule.
    due: i64,
}

/// Whose turn is next, after Tijdeman, "The chairman assignment problem" (1980): of those to whom enough is
/// due, the one that would have had too little first. No server is ever a whole turn ahead of its share or
/// behind it.
fn next(chairs: &mut [Chair], total: i64) -> u32 {
    let scale = (2 * chairs.len() as i64 - 2).max(1);
    for chair in chairs.iter_mut() {
        chair.due += chair.count;
    }
    let early = |chair: &Chair| chair.due * scale < total;
    let patience = |chair: &Chair| (scale - 1) * total - scale * chair.due;
    let chosen = chairs.iter_mut().min_by(|a, b| {
        let sooner = (patience(a) * b.count).cmp(&(patience(b) * a.count));
        early(a).cmp(&early(b)).then(sooner)
    });
    let chosen = chosen.expect("a schedule with turns has servers");
    chosen.due -= total;
    chosen.slot
}

/// Turns per server: the weights in lowest terms, scaled down where they are too many.
fn reduce(weights: &[u32]) -> Vec<i64> {
    let divisor = weights.iter().fold(0, |divisor, &weight| gcd(divisor, i64::from(weight))).max(1);
    let counts: Vec<i64> = weights.iter().map(|&weight| i64::from(weight) / divisor).collect();
    let total: i64 = counts.iter().sum();
    if total <= Schedule::TURNS_MAX {
        return counts;
    }
    let scaled = |count: i64| if count == 0 { 0 } else { (count * Schedule::TURNS_MAX / total).max(1) };
    counts.into_iter().map(scaled).collect()
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
