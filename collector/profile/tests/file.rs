//! Tests of the file: a written profile can be read, in any number of members, and any other bytes are an error.

use cgoprof_profile::{
    Birth, Callback, Cell, CodeFile, Counters, Distribution, Encoder, Estimate, Forgotten, Function, FunctionId,
    Goroutine, Holder, Kind, Knows, Library, LibraryId, Line, Location, LocationId, Lock, Locked, Made, Parallelism,
    Peak, Profile, SampledStack, Scheduler, SlowCrossing, Stats, Thread, Timeline, Via, Wait, WaitingStack, Wrapper,
    decode,
};
use proptest::prelude::*;

fn profile(calls: &[u64]) -> Profile {
    let mut profile = Profile::default();
    profile.target.path = "/app".into();
    profile.target.arch = "riscv64".into();
    profile.recording.engine = "made up".into();
    profile.recording.knows = Knows { counts: true, phases: false };
    (profile.recording.sample_period_ns, profile.recording.lost_samples) = (5_025_125, 3);
    for (index, &calls) in calls.iter().enumerate() {
        let name = format!("f{index}");
        let (kind, package) = (Kind::C, "main".to_owned());
        profile.functions.push(Function { name: name.clone(), kind, c_name: name, package, ..Function::default() });
        let lines = vec![Line { function: FunctionId(index), line: 7 }];
        profile.libraries.push(Library { path: format!("/lib{index}.so"), build_id: format!("{index:040x}") });
        let file = [CodeFile::Program, CodeFile::Library(LibraryId(index)), CodeFile::None][index % 3];
        profile.locations.push(Location { address: 0x1000 + index as u64, file, lines });
        let stats = Stats {
            calls,
            timed: calls / 2,
            blocked: calls as f64 * 1.5,
            preempted: calls as f64 * 0.5,
            blocked_within: calls as f64,
            p_lost: calls / 3,
            parked: calls / 4,
            migrations: calls / 5,
            p_waits: calls / 3,
            p_wait: calls as f64,
            p_wait_max: 7.0,
            c: Estimate { sum: calls as f64 * 2.5, variance: calls as f64, common: calls as f64 / 2.0 },
            c_times: Distribution { extremes: Some((1.0, 8.0)), buckets: vec![(1.0, calls), (8.0, 1)] },
            ..Stats::default()
        };
        let stack = vec![LocationId(index)];
        profile.samples.push(SampledStack {
            process: 0,
            cell: (index > 0).then_some(index as u64),
            stack: vec![LocationId(index), LocationId(0)],
            inside: 1,
            truncated: index == 1,
            samples: calls,
        });
        profile.cells.push(Cell {
            id: index as u64,
            function: FunctionId(index),
            stack,
            via: Via::Direct,
            locked: true,
            stats,
            ..Cell::default()
        });
    }
    profile.waits = vec![WaitingStack {
        cell: Some(1),
        stack: vec![LocationId(0), LocationId(0)],
        inside: 1,
        truncated: true,
        time: Estimate { sum: 7e6, variance: 3e12, common: 0.0 },
        found: 4,
        numbers: vec![0, 3],
    }];
    profile.functions[0].wrapper = Some(Wrapper { escapes: true, nocallback: false });
    add_scheduler(&mut profile);
    profile
}

/// Adds all that a profile may know of threads and goroutines.
fn add_scheduler(profile: &mut Profile) {
    let function = FunctionId(0);
    let stack = vec![LocationId(0)];
    let holders = vec![Holder { function, cell: 77, threads: 3 }];
    profile.recording.scheduler =
        Scheduler { migrations: true, ps: false, callbacks: true, locks: true, threads: true };
    profile.recording.looks_cost_ns = Some(77);
    profile.recording.every_wait_ns = 99;
    profile.recording.parallelism = Parallelism {
        processors: Some(2),
        quota: Some(1.5),
        gomaxprocs: Some(4),
        ran_ns: Some(900),
        preempted_ns: Some(100),
    };
    profile.recording.forgotten = Forgotten { goroutines: 1, alive: 2, calls: 3, migrations: 4 };
    profile.threads = vec![Thread {
        process: 0,
        tid: 7,
        m: Some(0),
        name: "app".into(),
        created_ns: Some(0),
        exited_ns: None,
        parent: Some(6),
        made: vec![Made { function, via: Via::Runtime, calls: 5, locked: 2, c_ns: 1.5 }],
        blocked_ns: Some(2.5),
        locked_ns: None,
        locked_idle_ns: Some(0.0),
    }];
    profile.births =
        vec![Birth { process: 0, at_ns: 9, tid: Some(7), stack: stack.clone(), in_c: 4, holders: holders.clone() }];
    profile.peak = Some(Peak { at_ns: 11, threads: 3, holders, exact: true });
    let goroutine =
        Goroutine { process: 0, goid: 1, function: Some(function), calls: 5, threads: 2, migrations: 1, locks: 3 };
    profile.goroutines = vec![goroutine, Goroutine { goid: 2, function: None, ..goroutine }];
    let estimate = Estimate { sum: 3.5, variance: 2.0, common: 1.0 };
    let callback = Callback {
        function,
        within: Some(function),
        calls: 8,
        timed: 7,
        abandoned: 1,
        acquire: estimate,
        go: estimate,
        release: estimate,
        go_times: Distribution { extremes: Some((1.0, 2.0)), buckets: vec![(1.0, 7)] },
        border_times: Distribution { extremes: Some((3.0, 4.0)), buckets: vec![(3.5, 7)] },
        foreign_threads: 0,
        attached: 2,
        attach_ns: 4.5,
    };
    profile.callbacks = vec![callback.clone(), Callback { within: None, ..callback }];
    profile.locks = vec![Lock { stack, locks: 3, held: 1, held_ns: 5.0, longest_ns: 4.0, idle_ns: Some(1.0) }];
    profile.timeline = timeline(0).into();
}

/// Returns a timeline with something of each kind, from a time on.
fn timeline(from: u64) -> Timeline {
    let slow = SlowCrossing {
        process: 0,
        cell: 77,
        tid: 7,
        goid: 1,
        called_ns: from + 100,
        enter_ns: 5,
        c_ns: Some(0),
        exit_ns: 9,
        exit_tid: Some(8),
        blocked_ns: 3,
        preempted_ns: Some(4),
        weight: 1,
        open: false,
        labels: Some(1),
    };
    // Crossings come when they end, so not in the order of their beginnings.
    let early = SlowCrossing { cell: 5, called_ns: from + 20, c_ns: None, exit_tid: None, labels: None, ..slow };
    let still = SlowCrossing { called_ns: from + 10, open: true, labels: Some(0), ..slow };
    let labels = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Timeline {
        crossings: vec![slow, early, still],
        label_sets: vec![vec![labels("path", "/a"), labels("request", &from.to_string())], vec![labels("user", "")]],
        waits: vec![
            Wait { process: 0, tid: 7, from_ns: from + 50, to_ns: from + 60, stack: Some(0) },
            Wait { process: 0, tid: 8, from_ns: from + 50, to_ns: from + 60, stack: None },
        ],
        locked: vec![
            Locked { process: 0, tid: 7, goid: 1, from_ns: from + 1, to_ns: Some(from + 1) },
            Locked { process: 0, tid: 8, goid: 2, from_ns: from, to_ns: None },
        ],
        counters: vec![Counters { at_ns: from, in_c: 2, in_go: Some(0), idle: None }],
        shortest_ns: 10,
        dropped: 20,
        shortest_wait_ns: 30,
        dropped_waits: 40,
        asleep: vec![
            Wait { process: 0, tid: 7, from_ns: from + 50, to_ns: from + 70, stack: None },
            Wait { process: 0, tid: 9, from_ns: from, to_ns: from + 1, stack: None },
        ],
        shortest_asleep_ns: 50,
        dropped_asleep: 60,
    }
}

#[test]
fn of_a_timeline_each_member_holds_a_part() {
    let (mut encoder, mut file) = (Encoder::default(), Vec::new());
    let mut stage = profile(&[5]);
    for from in [0, 1000] {
        stage.timeline = timeline(from).into();
        file.extend(encoder.member(&stage));
    }
    let read = decode(&file).unwrap().timeline;
    let (first, mut second) = (timeline(0), timeline(1000));
    // Each member has its own sets of labels.
    second.crossings.iter_mut().for_each(|crossing| crossing.labels = crossing.labels.map(|index| index + 2));
    assert_eq!(read.label_sets, [first.label_sets, second.label_sets].concat());
    assert_eq!(read.crossings, [first.crossings, second.crossings].concat());
    assert_eq!(read.counters, [timeline(0).counters, timeline(1000).counters].concat());
    assert_eq!((read.locked.len(), read.dropped), (4, 20));
    assert_eq!(read.waits, [timeline(0).waits, timeline(1000).waits].concat());
    assert_eq!(read.asleep, [timeline(0).asleep, timeline(1000).asleep].concat());
    assert_eq!((read.shortest_asleep_ns, read.dropped_asleep), (50, 60));
}

#[test]
#[cfg_attr(miri, ignore = "a hundred thousand crossings, compressed, take Miri too long")]
fn a_full_timeline_is_small() {
    let mut profile = profile(&[5]);
    let one = profile.timeline.crossings[0];
    let crossing = |index: u64| SlowCrossing {
        cell: index % 50,
        tid: 1000 + index % 16,
        goid: index % 5000,
        called_ns: index * 200_000 + index * 7919 % 100_000,
        c_ns: Some(20_000 + index * 104_729 % 1_000_000),
        exit_ns: index * 31 % 5000,
        blocked_ns: index * 17 % 20_000,
        ..one
    };
    let timeline = std::sync::Arc::make_mut(&mut profile.timeline);
    timeline.crossings = (0..300_000).map(crossing).collect();
    let wait = |index: u64| Wait {
        process: 0,
        tid: 1000 + index % 16,
        from_ns: index * 300_000,
        to_ns: index * 300_000 + 90_000,
        stack: Some(index as u32 % 1000).filter(|_| index.is_multiple_of(3)),
    };
    timeline.waits = (0..200_000).map(wait).collect();
    timeline.asleep = timeline.waits.iter().map(|wait| Wait { stack: None, ..*wait }).collect();
    timeline.counters = (0..60_000)
        .map(|index| Counters { at_ns: index * 10_000_000, in_c: index % 9, ..Counters::default() })
        .collect();
    let size = Encoder::default().member(&profile).len();
    assert!(size < 16 << 20, "{size} bytes of all that is ever kept");
}

#[test]
fn a_profile_survives_its_file() {
    let profile = profile(&[1, 1_000_000, 3]);
    assert_eq!(decode(&Encoder::default().member(&profile)).unwrap(), profile);
}

#[test]
fn members_add_up_to_the_whole_and_can_be_cut() {
    let stages = [profile(&[5]), profile(&[7, 2]), profile(&[7, 2]), profile(&[9, 2, 100])];
    let mut encoder = Encoder::default();
    let mut file = Vec::new();
    let mut ends = Vec::new();
    for stage in &stages {
        file.extend(encoder.member(stage));
        ends.push(file.len());
    }
    for (stage, &end) in stages.iter().zip(&ends) {
        let read = decode(&file[..end]).unwrap();
        let calls = |profile: &Profile| profile.cells.iter().map(|cell| cell.stats.calls).collect::<Vec<_>>();
        assert_eq!(calls(&read), calls(stage));
        assert_eq!(read.samples, stage.samples);
        assert_eq!(read.cells.last().unwrap().stats, stage.cells.last().unwrap().stats);
    }
    let cut = decode(&file[..ends[1] + 10]).unwrap();
    assert_eq!(cut.cells.len(), 2);
    assert!(cut.recording.notes.iter().any(|note| note.contains("cut short")));
}

#[test]
fn a_profile_of_another_program_is_told_apart() {
    let mut other = Vec::new();
    let mut gzip = flate2::write::GzEncoder::new(&mut other, flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &[]).unwrap();
    gzip.finish().unwrap();
    assert_eq!(decode(&other).unwrap_err().to_string(), "is a pprof profile but was not recorded by cgoprof");
}

proptest! {
    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..500)) {
        let _ = decode(&data);
    }

    #[test]
    fn any_damage(seed in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        // The damage is below the compression, which would only detect it.
        let member = Encoder::default().member(&profile(&[3, 4, 5]));
        let mut message = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(member.as_slice()), &mut message).unwrap();
        for (at, value) in seed {
            let at = at.index(message.len());
            message[at] ^= value;
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &message).unwrap();
        if let Ok(read) = decode(&gzip.finish().unwrap()) {
            // A profile that was read can be written and read again.
            prop_assert!(decode(&Encoder::default().member(&read)).is_ok());
        }
    }
}
