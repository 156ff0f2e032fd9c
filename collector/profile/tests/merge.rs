//! Sums of recorded profiles.

mod recorded;

use cgoprof_profile::merge::{MergeError, Merger};
use cgoprof_profile::parts::Parts;
use cgoprof_profile::{Encoder, Profile, Stats, decode};
use recorded::{recorded, totals};

fn sum(profiles: &[&Profile]) -> Profile {
    let mut merger = Merger::default();
    profiles.iter().for_each(|profile| merger.add(profile).expect("it adds up"));
    merger.finish()
}

#[test]
fn the_sum_of_a_recording_and_itself_is_twice_the_recording() {
    for (name, profile) in recorded() {
        let (once, twice) = (sum(&[&profile]), sum(&[&profile, &profile]));
        let samples = |profile: &Profile| profile.samples.iter().map(|stack| stack.samples).sum::<u64>();
        let waits = |profile: &Profile| profile.waits.iter().map(|stack| stack.time.sum).sum::<f64>();
        let callbacks = |profile: &Profile| profile.callbacks.iter().map(|callback| callback.calls).sum::<u64>();
        let locks = |profile: &Profile| profile.locks.iter().map(|lock| lock.locks).sum::<u64>();
        for (sum, times) in [(&once, 1), (&twice, 2)] {
            let (found, expected) = (totals(sum), totals(&profile));
            assert_eq!(found.calls, times * expected.calls, "{name}");
            assert_eq!((found.timed, found.p_lost), (times * expected.timed, times * expected.p_lost), "{name}");
            let close = |one: f64, other: f64| (one - other * times as f64).abs() <= other.abs() * 1e-9 + 1e-3;
            assert!(close(found.c.sum, expected.c.sum) && close(found.blocked, expected.blocked), "{name}");
            let counts = |stats: &Stats| stats.c_times.buckets.iter().map(|bucket| bucket.1).sum::<u64>();
            assert_eq!(counts(&found), times * counts(&expected), "{name}");
            assert_eq!(samples(sum), times * samples(&profile), "{name}");
            assert!(close(waits(sum), waits(&profile)), "{name}");
            assert_eq!((callbacks(sum), locks(sum)), (times * callbacks(&profile), times * locks(&profile)), "{name}");
            assert_eq!(sum.recording.duration_ns, times * profile.recording.duration_ns, "{name}");
        }
        assert_eq!(once.cells.len(), twice.cells.len(), "{name}");
        // It is a profile like any other.
        let written = decode(&Encoder::default().member(&twice)).expect("a profile");
        assert_eq!(totals(&written).calls, totals(&twice).calls, "{name}");
        assert!(written.recording.notes.iter().any(|note| note.starts_with("this is the sum of 2 recordings")));
    }
}

#[test]
fn a_sum_does_not_grow_with_the_number_of_recordings() {
    for (name, profile) in recorded() {
        // Clocks are calibrated for each recording, so the middles of buckets differ a little from one to the next.
        let mut shifted = profile.clone();
        let mut size = None;
        let mut merger = Merger::default();
        for round in 0..50 {
            let factor = 1.0 + f64::from(round % 7) * 1e-4;
            for (cell, original) in shifted.cells.iter_mut().zip(&profile.cells) {
                let buckets = original.stats.c_times.buckets.iter().map(|&(middle, count)| (middle * factor, count));
                cell.stats.c_times.buckets = buckets.collect();
            }
            merger.add(&shifted).expect("it adds up");
            if round == 0 {
                size = Some(sum(&[&shifted]));
            }
        }
        let (all, first) = (merger.finish(), size.expect("a sum"));
        let sizes = |profile: &Profile| {
            let buckets = profile.cells.iter().map(|cell| cell.stats.c_times.buckets.len()).sum::<usize>();
            let code = [profile.functions.len(), profile.locations.len(), profile.libraries.len()];
            (code, profile.cells.len(), profile.samples.len(), profile.waits.len(), buckets)
        };
        assert_eq!(sizes(&all), sizes(&first), "{name}");
    }
}

#[test]
fn recordings_of_different_kinds_are_not_added() {
    let all = recorded();
    let find = |wanted: &str| &all.iter().find(|(name, _)| name.starts_with(wanted)).expect("a profile").1;
    let mut merger = Merger::default();
    merger.add(find("busy")).expect("the first");
    assert!(matches!(merger.add(find("sampled")), Err(MergeError::Differs(_))));
    let mut untimed = find("busy").clone();
    untimed.recording.timing = "none".into();
    assert_eq!(merger.add(&untimed), Err(MergeError::Differs("only some have times (--timing none)")));
    assert_eq!(totals(&merger.finish()).calls, totals(find("busy")).calls, "the sum is as it was");
}

/// Stacks of samples were once lost that differ only in whether they go on.
#[test]
fn recordings_of_different_programs_keep_their_files_and_samples() {
    let all = recorded();
    let named = |wanted: &str| all.iter().find(|(name, _)| name.starts_with(wanted)).expect("a profile").1.clone();
    let (one, mut other) = (named("busy"), named("busy"));
    other.target.path = "/bin/other".into();
    other.target.build_id = "0f0f".into();
    for stack in &mut other.samples {
        stack.truncated = !stack.truncated;
    }
    let found = sum(&[&one, &other, &one]);
    let libraries: Vec<_> = found.libraries.iter().filter(|library| library.path == "/bin/other").collect();
    assert!(libraries.len() == 1 && libraries[0].build_id == "0f0f", "{libraries:?}");
    let written = decode(&Encoder::default().member(&found)).expect("a profile");
    let samples = |profile: &Profile| profile.samples.iter().map(|stack| stack.samples).sum::<u64>();
    assert_eq!(samples(&written), 2 * samples(&one) + samples(&other));
    assert_eq!((found.target.pid, found.target.args.len()), (0, 0), "of several processes");
    let again = sum(&[&found, &one]);
    let told = |profile: &Profile| profile.recording.notes.iter().filter(|note| note.contains("is the sum of")).count();
    assert_eq!((again.recording.recordings, told(&again)), (4, 1));
}

#[test]
fn parts_of_a_recording_have_their_threads_and_follow_each_other_in_time() {
    for (name, profile) in recorded() {
        let mut parts = Parts::default();
        parts.add(&profile);
        let once = parts.finish(0);
        let mut parts = Parts::default();
        parts.add(&profile);
        parts.add(&profile);
        let twice = parts.finish(1);
        assert_eq!((&once.target, once.recording.recordings), (&profile.target, 0), "{name}");
        assert_eq!(once.recording.scheduler, profile.recording.scheduler, "{name}");
        let timeline = (&profile.timeline, &once.timeline, &twice.timeline);
        assert_eq!(timeline.1.crossings.len(), timeline.0.crossings.len(), "{name}");
        assert_eq!(timeline.2.crossings.len(), 2 * timeline.0.crossings.len(), "{name}");
        let (begin, count) = (profile.recording.duration_ns, timeline.0.crossings.len());
        let calls = |profile: &Profile| totals(profile).calls;
        assert_eq!((calls(&once), calls(&twice)), (calls(&profile), 2 * calls(&profile)), "{name}");
        let cell = |profile: &Profile, at: usize| {
            let id = profile.timeline.crossings[at].cell;
            let cell = profile.cells.iter().find(|cell| cell.id == id).expect("a cell");
            profile.functions[cell.function.0].name.clone()
        };
        for at in 0..count {
            let (first, second) = (timeline.2.crossings[at], timeline.2.crossings[count + at]);
            assert_eq!(second.called_ns, begin + timeline.0.crossings[at].called_ns, "{name}");
            assert_eq!(first.called_ns, timeline.0.crossings[at].called_ns, "{name}");
            assert_eq!(
                (cell(&twice, at), cell(&twice, count + at)),
                (cell(&profile, at), cell(&profile, at)),
                "{name}"
            );
        }
        // Each wait of the timeline still has its stack.
        let stack = |profile: &Profile, number: Option<u32>| {
            let waiting =
                profile.waits.iter().find(|stack| number.is_some_and(|number| stack.numbers.contains(&number)));
            waiting.and_then(|stack| stack.waits_in(profile).map(str::to_owned))
        };
        let waits = timeline.0.waits.len();
        for (at, wait) in timeline.0.waits.iter().enumerate() {
            let expected = stack(&profile, wait.stack);
            for at in [at, waits + at] {
                assert_eq!(stack(&twice, timeline.2.waits[at].stack), expected, "{name}");
            }
        }
        let crossings = |profile: &Profile| {
            let made = profile.threads.iter().flat_map(|thread| &thread.made);
            made.map(|made| made.calls).sum::<u64>()
        };
        assert_eq!((crossings(&once), crossings(&twice)), (crossings(&profile), 2 * crossings(&profile)), "{name}");
        let goroutines = |profile: &Profile| profile.goroutines.iter().map(|one| one.calls).sum::<u64>();
        assert_eq!((goroutines(&once), goroutines(&twice)), (goroutines(&profile), 2 * goroutines(&profile)), "{name}");
        assert_eq!(once.goroutines.len(), twice.goroutines.len(), "{name}");
        let notes =
            |profile: &Profile| profile.recording.notes.iter().filter(|note| note.contains("was paused")).count();
        assert_eq!((notes(&once), notes(&twice)), (0, 1), "{name}");
        let written = decode(&Encoder::default().member(&twice)).expect("a profile");
        assert_eq!((written.threads.len(), written.births.len()), (twice.threads.len(), twice.births.len()), "{name}");
    }
}

/// A part without samples, because files were few when it began, was once left out with all its counts.
#[test]
fn a_part_without_samples_or_times_is_counted() {
    for (name, profile) in recorded() {
        let mut bare = profile.clone();
        bare.recording.sample_period_ns = 0;
        bare.recording.off_cpu = false;
        bare.recording.timing = "none".into();
        bare.samples.clear();
        let calls = totals(&profile).calls;
        for order in [[&profile, &bare], [&bare, &profile]] {
            let mut parts = Parts::default();
            order.into_iter().for_each(|part| parts.add(part));
            let whole = parts.finish(1);
            assert_eq!(totals(&whole).calls, 2 * calls, "{name}");
            assert_eq!(
                (whole.recording.sample_period_ns, whole.recording.off_cpu),
                (profile.recording.sample_period_ns, false)
            );
            if profile.recording.timing != "none" {
                assert!(totals(&whole).untimed >= calls - totals(&profile).abandoned, "{name}");
                assert!(whole.recording.timing != "none", "{name}");
            }
        }
    }
}
