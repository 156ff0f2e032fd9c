//! The file: what is written is read, in any number of members, and any other bytes are an error.

use cgoprof_profile::{
    Cell, Distribution, Encoder, Estimate, Function, FunctionId, Kind, Line, Location, LocationId, Profile,
    SampledStack, Stats, Via, decode,
};
use proptest::prelude::*;

fn profile(calls: &[u64]) -> Profile {
    let mut profile = Profile::default();
    profile.target.path = "/app".into();
    profile.recording.engine = "trampoline".into();
    (profile.recording.sample_period_ns, profile.recording.lost_samples) = (5_025_125, 3);
    for (index, &calls) in calls.iter().enumerate() {
        let name = format!("f{index}");
        let (kind, package) = (Kind::C, "main".to_owned());
        profile.functions.push(Function { name: name.clone(), kind, c_name: name, package, ..Function::default() });
        let lines = vec![Line { function: FunctionId(index), line: 7 }];
        profile.locations.push(Location { address: 0x1000 + index as u64, lines });
        let stats = Stats {
            calls,
            timed: calls / 2,
            blocked: calls as f64 * 1.5,
            preempted: calls as f64 * 0.5,
            blocked_within: calls as f64,
            c: Estimate { sum: calls as f64 * 2.5, variance: calls as f64, common: calls as f64 / 2.0 },
            c_times: Distribution { extremes: Some((1.0, 8.0)), buckets: vec![(1.0, calls), (8.0, 1)] },
            ..Stats::default()
        };
        let stack = vec![LocationId(index)];
        profile.samples.push(SampledStack {
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
    profile
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
        // Damage below the compression, which would only find out.
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
            // Whatever is read can be written and read again.
            prop_assert!(decode(&Encoder::default().member(&read)).is_ok());
        }
    }
}
