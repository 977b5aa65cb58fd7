use super::*;
use proptest::prelude::*;

const PATH: TunnelPath = TunnelPath(1);

fn at(seconds: u64) -> Nanos {
    Nanos::from_secs(1000 + seconds)
}

fn open(mtu: u16) -> PathMtu {
    PathMtu { mtu, is_locked: false }
}

#[test]
fn an_estimate_only_goes_down_until_it_runs_out() {
    let state = SoftState::new(3);
    assert!(state.learn(PATH, open(1450), at(0), at(600)));
    assert!(!state.learn(PATH, open(1450), at(1), at(601)), "that was known");
    assert!(!state.learn(PATH, open(1460), at(1), at(601)), "that is more");
    assert!(state.learn(PATH, open(1420), at(100), at(700)));
    assert_eq!(state.mtu(PATH, at(650)), Some(open(1420)), "the later one counts");
    assert_eq!(state.limit(PATH), 1420);
    assert_eq!(state.mtu(PATH, at(701)), None);
    assert_eq!(state.limit(PATH), u16::MAX);
    assert!(state.learn(PATH, open(1480), at(702), at(1302)), "that is a new one");
}

#[test]
fn a_path_that_takes_less_than_is_believed_is_locked_later_too() {
    let state = SoftState::new(2);
    let locked = PathMtu { mtu: 552, is_locked: true };
    assert!(state.learn(PATH, open(552), at(0), at(600)));
    assert!(state.learn(PATH, locked, at(1), at(601)));
    assert!(!state.learn(PATH, open(552), at(2), at(602)));
    assert_eq!(state.mtu(PATH, at(3)), Some(locked));
}

#[test]
fn each_error_is_told_of_once_and_not_after_half_a_minute() {
    let state = SoftState::new(2);
    state.note_error(PATH, at(0));
    state.note_error(PATH, at(1));
    assert_eq!(state.limit(PATH), 0);
    assert!(state.take_error(PATH, at(30)));
    assert!(state.take_error(PATH, at(30)));
    assert!(!state.take_error(PATH, at(30)));
    assert_eq!(state.limit(PATH), u16::MAX);
    state.note_error(PATH, at(40));
    state.note_error(PATH, at(40));
    assert!(!state.take_error(PATH, at(71)));
    assert_eq!(state.limit(PATH), u16::MAX, "what has aged is forgotten");
    state.note_error(PATH, at(80));
    assert!(state.take_error(PATH, at(80)) && !state.take_error(PATH, at(80)));
}

#[test]
fn other_paths_are_not_held_up() {
    let state = SoftState::new(3);
    state.learn(PATH, open(1300), at(0), at(600));
    assert_eq!([0, 2].map(|path| state.limit(TunnelPath(path))), [u16::MAX; 2]);
    assert_eq!(state.limit(PATH), 0, "so small that DF has to be looked at");
    assert_eq!(state.limit(TunnelPath::NONE), u16::MAX);
    assert!(!state.learn(TunnelPath::NONE, open(1300), at(0), at(600)));
}

#[test]
fn what_is_cleared_is_as_if_it_had_never_been_learnt() {
    let state = SoftState::new(2);
    state.learn(PATH, open(1450), at(0), at(600));
    state.note_error(PATH, at(0));
    let report = state.report(PATH, at(1)).unwrap();
    assert_eq!(report.mtu.map(|(mtu, _)| mtu), Some(open(1450)));
    assert_eq!(report.errors.map(|(count, _)| count), Some(1));
    assert!(state.clear(PATH) && !state.clear(PATH));
    assert_eq!((state.limit(PATH), state.report(PATH, at(1))), (u16::MAX, None));
}

#[test]
fn what_has_run_out_is_not_reported() {
    let state = SoftState::new(2);
    state.learn(PATH, open(1450), at(0), at(600));
    state.note_error(PATH, at(590));
    let report = state.report(PATH, at(601)).unwrap();
    assert_eq!((report.mtu, report.errors.map(|(count, _)| count)), (None, Some(1)));
    assert_eq!(state.report(PATH, at(621)), None);
    assert_eq!(state.limit(PATH), u16::MAX);
}

#[test]
fn after_any_race_of_threads_the_limit_is_that_of_the_state() {
    for round in 0..200 {
        let state = SoftState::new(2);
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let state = &state;
                scope.spawn(move || {
                    for step in 0..30_u16 {
                        match (step + worker + round) % 4 {
                            0 => drop(state.learn(PATH, open(1490 - step), at(0), at(600))),
                            1 => state.note_error(PATH, at(0)),
                            2 => drop(state.take_error(PATH, at(0))),
                            _ => drop(state.clear(PATH)),
                        }
                    }
                });
            }
        });
        while state.take_error(PATH, at(0)) {}
        let expected = state.mtu(PATH, at(0)).map_or(u16::MAX, |learnt| learnt.mtu);
        assert_eq!(state.limit(PATH), expected);
        state.clear(PATH);
        assert_eq!(state.known.load(Ordering::SeqCst), 0);
    }
}

proptest! {
    #[test]
    fn the_state_is_that_of_a_plain_model(
        steps in proptest::collection::vec((0_u8..5, 1280_u16..1500, 0_u64..400), 1..60),
    ) {
        let state = SoftState::new(2);
        let (mut now, mut mtu, mut errors) = (0, None::<(u16, u64)>, (0, 0));
        for (kind, size, wait) in steps {
            now += wait;
            mtu = mtu.filter(|(_, until)| now <= *until);
            if now >= errors.1 + 30 {
                errors.0 = 0;
            }
            match kind {
                0 => {
                    let lower = mtu.is_none_or(|(known, _)| size < known);
                    prop_assert_eq!(state.learn(PATH, open(size), at(now), at(now + 600)), lower);
                    if lower {
                        mtu = Some((size, now + 600));
                    }
                }
                1 => {
                    state.note_error(PATH, at(now));
                    errors = (errors.0 + 1, now);
                }
                2 => {
                    prop_assert_eq!(state.take_error(PATH, at(now)), errors.0 > 0);
                    errors.0 = u32::saturating_sub(errors.0, 1);
                }
                3 => {
                    state.clear(PATH);
                    (mtu, errors) = (None, (0, 0));
                }
                _ => {
                    let known = state.mtu(PATH, at(now)).map(|learnt| learnt.mtu);
                    prop_assert_eq!(known, mtu.map(|(size, _)| size));
                }
            }
        }
    }
}
