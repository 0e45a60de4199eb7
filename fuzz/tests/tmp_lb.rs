#[test]
fn mine() {
    for target in faros_fuzz::TARGETS.iter().filter(|t| t.name.starts_with("lb_")) {
        let seeds = (target.seeds)();
        let mut state = 7_u64;
        let mut next = move || { state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (state >> 33) as usize };
        for s in &seeds { target.feed(s); for l in 0..s.len() { target.feed(&s[..l]); } }
        let rounds = if target.name == "lb_proxy" { 300_000 } else { 20_000 };
        for _ in 0..rounds {
            let mut b = seeds[next() % seeds.len()].clone();
            for _ in 0..=next() % 4 { let at = next() % b.len().max(1); match next() % 4 { 0 if !b.is_empty() => b[at] = next() as u8, 1 => b.insert(at.min(b.len()), next() as u8), 2 if b.len() > 1 => { b.remove(at); }, _ => { let o = &seeds[next() % seeds.len()]; let f = next() % o.len(); let e = (f + next() % 40).min(o.len()); let tail = b.split_off(at.min(b.len())); b.extend_from_slice(&o[f..e]); b.extend(tail); } } }
            target.feed(&b);
        }
        eprintln!("{} ok", target.name);
    }
}
