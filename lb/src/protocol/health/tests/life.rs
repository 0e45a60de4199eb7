//! Anything in any order.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Check(bool),
    Connect,
    Connected,
    Operator(Mode),
    Wait(u64),
    Remember,
}

fn mode() -> impl Strategy<Value = Mode> {
    prop::sample::select(vec![Mode::Enabled, Mode::Drained, Mode::Maintenance])
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => any::<bool>().prop_map(Event::Check),
        2 => Just(Event::Connect),
        1 => Just(Event::Connected),
        1 => mode().prop_map(Event::Operator),
        3 => (0u64..400_000).prop_map(Event::Wait),
        1 => Just(Event::Remember),
    ]
}

proptest! {
    /// Whatever happens: shares are bounded and follow the condition, times lie ahead, changes are changes,
    /// and good checks without failures make any server whole again.
    #[test]
    fn any_life_keeps_its_promises(
        events in prop::collection::vec(event(), 0..80),
        (rise, fall) in (1u32..5, 1u32..5),
        seed in any::<u64>(),
    ) {
        let mut now = clock::now();
        let rules = Rules { rise, fall, ..api() };
        let mut machine = Machine::new(rules, None, seed, now);
        for event in events {
            let before = machine.condition();
            let change = match event {
                Event::Check(good) => {
                    now = machine.next_check().map_or(now, |due| due.max(now));
                    machine.tick(now);
                    let before = machine.condition();
                    let change = machine.checked(if good { Outcome::Good } else { bad("refused") }, now);
                    prop_assert!(change.as_ref().is_none_or(|change| change.from == before));
                    change
                }
                Event::Connect => {
                    machine.tick(now);
                    machine.passive(ConnectFailure::Refused, now)
                }
                Event::Connected => {
                    machine.connected();
                    None
                }
                Event::Operator(mode) => machine.operator(mode, now),
                Event::Wait(millis) => {
                    now += Duration::from_millis(millis);
                    machine.tick(now)
                }
                Event::Remember => {
                    machine = Machine::new(rules, Some(machine.remembered()), seed, now);
                    None
                }
            };
            if let Some(change) = change {
                prop_assert_ne!(change.from, change.to);
                prop_assert_eq!(change.to, machine.condition());
                prop_assert!(!change.reason.is_empty());
            } else if !matches!(event, Event::Check(_) | Event::Connect | Event::Remember) {
                prop_assert_eq!(before, machine.condition());
            }
            let view = machine.view(now);
            prop_assert!(view.share <= Machine::SHARE_FULL);
            prop_assert_eq!(view.share > 0, view.condition == Condition::Up);
            prop_assert!(view.remaining.is_none_or(|left| left <= Duration::from_secs(300)));
            prop_assert!(machine.next_change(now).is_none_or(|next| next > now));
            prop_assert!(machine.next_check().is_none_or(|due| due <= now + rules.interval));
        }
        machine.operator(Mode::Enabled, now);
        for _ in 0..rise + 1 {
            now = machine.next_check().unwrap().max(now);
            machine.checked(Outcome::Good, now);
        }
        while let Some(next) = machine.next_change(now) {
            now = next;
            machine.tick(now);
        }
        prop_assert_eq!((machine.condition(), machine.share(now)), (Condition::Up, Machine::SHARE_FULL));
    }
}
