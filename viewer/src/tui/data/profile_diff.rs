//! What has come between two moments of one recording.

use std::collections::HashMap;
use std::hash::Hash;

use cgoprof_profile::{Cell, Profile, Stats};

/// A recording less what it was before. Numbers of functions and cells are those of `now`.
pub(crate) fn since(now: &Profile, then: &Profile) -> Profile {
    let mut since = now.clone();
    since.recording.duration_ns = now.recording.duration_ns.saturating_sub(then.recording.duration_ns);
    less(&mut since.cells, &then.cells, |cell| cell.id, |cell, before| subtract(&mut cell.stats, &before.stats));
    since.cells.retain(|cell| cell.stats.calls > 0 || cell.stats.c.sum > 0.0);
    less(
        &mut since.samples,
        &then.samples,
        |sampled| (sampled.process, sampled.cell, sampled.stack.clone()),
        |sampled, before| sampled.samples = sampled.samples.saturating_sub(before.samples),
    );
    since.samples.retain(|sampled| sampled.samples > 0);
    less(
        &mut since.threads,
        &then.threads,
        |thread| (thread.process, thread.tid, thread.created_ns),
        |thread, before| {
            less(
                &mut thread.made,
                &before.made,
                |made| (made.function, made.via),
                |made, before| {
                    made.calls = made.calls.saturating_sub(before.calls);
                    made.locked = made.locked.saturating_sub(before.locked);
                    made.c_ns = (made.c_ns - before.c_ns).max(0.0);
                },
            );
            thread.made.retain(|made| made.calls > 0 || made.c_ns > 0.0);
            let take = |nanos: &mut Option<f64>, before: Option<f64>| {
                *nanos = nanos.map(|nanos| (nanos - before.unwrap_or(0.0)).max(0.0));
            };
            take(&mut thread.blocked_ns, before.blocked_ns);
            take(&mut thread.locked_ns, before.locked_ns);
            take(&mut thread.locked_idle_ns, before.locked_idle_ns);
        },
    );
    less(
        &mut since.goroutines,
        &then.goroutines,
        |goroutine| (goroutine.process, goroutine.goid),
        |goroutine, before| {
            goroutine.calls = goroutine.calls.saturating_sub(before.calls);
            goroutine.migrations = goroutine.migrations.saturating_sub(before.migrations);
            goroutine.locks = goroutine.locks.saturating_sub(before.locks);
            // On how many of them since then is not known.
            goroutine.threads = 0;
        },
    );
    since.goroutines.retain(|goroutine| goroutine.calls > 0);
    less(
        &mut since.callbacks,
        &then.callbacks,
        |callback| (callback.function, callback.within),
        |callback, before| {
            callback.calls = callback.calls.saturating_sub(before.calls);
            callback.timed = callback.timed.saturating_sub(before.timed);
            callback.abandoned = callback.abandoned.saturating_sub(before.abandoned);
            callback.acquire = callback.acquire.since(&before.acquire);
            callback.go = callback.go.since(&before.go);
            callback.release = callback.release.since(&before.release);
            callback.go_times = callback.go_times.since(&before.go_times);
            callback.border_times = callback.border_times.since(&before.border_times);
            callback.attached = callback.attached.saturating_sub(before.attached);
            callback.attach_ns = (callback.attach_ns - before.attach_ns).max(0.0);
            callback.foreign_threads = 0;
        },
    );
    since.callbacks.retain(|callback| callback.calls > 0);
    less(
        &mut since.locks,
        &then.locks,
        |lock| lock.stack.clone(),
        |lock, before| {
            lock.locks = lock.locks.saturating_sub(before.locks);
            lock.held_ns = (lock.held_ns - before.held_ns).max(0.0);
            lock.idle_ns = lock.idle_ns.map(|nanos| (nanos - before.idle_ns.unwrap_or(0.0)).max(0.0));
        },
    );
    since.locks.retain(|lock| lock.locks > 0 || lock.held > 0);
    let begun = then.recording.duration_ns;
    since.births.retain(|birth| birth.at_ns >= begun);
    since.peak = since.peak.filter(|peak| peak.at_ns >= begun);
    since.recording.num_cgo_call = match (now.recording.num_cgo_call, then.recording.num_cgo_call) {
        (Some(now), Some(then)) => Some(now.saturating_sub(then)),
        _ => None,
    };
    since
}

/// Of a recording, what [`since`] needs of it as `then`.
pub(crate) fn kept(profile: &Profile) -> Profile {
    let cells = profile.cells.iter().map(|cell| Cell { id: cell.id, stats: cell.stats.clone(), ..Cell::default() });
    Profile {
        recording: profile.recording.clone(),
        cells: cells.collect(),
        samples: profile.samples.clone(),
        threads: profile.threads.clone(),
        goroutines: profile.goroutines.clone(),
        callbacks: profile.callbacks.clone(),
        locks: profile.locks.clone(),
        ..Profile::default()
    }
}

/// Takes from each item what the one with the same key was before.
fn less<T, K: Hash + Eq>(now: &mut [T], then: &[T], key: impl Fn(&T) -> K, take: impl Fn(&mut T, &T)) {
    let before: HashMap<K, &T> = then.iter().map(|item| (key(item), item)).collect();
    for item in now {
        if let Some(before) = before.get(&key(item)) {
            take(item, before);
        }
    }
}

fn subtract(stats: &mut Stats, before: &Stats) {
    let come = stats.since(before);
    // Those in C are timed so far: then, and now again.
    let timed = stats.timed.saturating_sub(before.timed.saturating_sub(before.in_flight));
    *stats = Stats { timed, ..come };
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Distribution, Estimate};

    use super::*;
    use crate::tui::sample_data;

    #[test]
    fn since_the_start_is_all_and_since_now_is_nothing() {
        for (name, profile) in sample_data::recorded() {
            let all = since(&profile, &Profile::default());
            let calls = |profile: &Profile| profile.cells.iter().map(|cell| cell.stats.calls).sum::<u64>();
            assert_eq!(calls(&all), calls(&profile), "{name}");
            let nothing = since(&profile, &profile);
            assert_eq!(calls(&nothing), 0, "{name}");
            assert_eq!(nothing.recording.duration_ns, 0, "{name}");
            assert!(nothing.samples.is_empty() && nothing.goroutines.is_empty(), "{name}");
        }
    }

    #[test]
    fn what_has_come_is_what_is_left() {
        let then = sample_data::named("busy");
        let mut now = then.clone();
        for cell in &mut now.cells {
            let twice = cell.stats.clone();
            cell.stats.add(&twice);
            // The clock's rate is known better by now.
            let times = [&mut cell.stats.c_times, &mut cell.stats.overhead_times];
            times.into_iter().flat_map(|times| &mut times.buckets).for_each(|bucket| bucket.0 *= 1.0 + 1e-6);
        }
        now.recording.duration_ns *= 2;
        let come = since(&now, &kept(&then));
        for (cell, before) in come.cells.iter().zip(&then.cells) {
            assert_eq!(cell.stats.calls, before.stats.calls);
            assert_eq!(cell.stats.c.sum, before.stats.c.sum);
            let counts = |times: &Distribution| times.buckets.iter().map(|bucket| bucket.1).collect::<Vec<_>>();
            assert_eq!(counts(&cell.stats.c_times), counts(&before.stats.c_times));
            assert_eq!(counts(&cell.stats.overhead_times), counts(&before.stats.overhead_times));
        }
        assert_eq!(come.recording.duration_ns, then.recording.duration_ns);
    }

    #[test]
    fn what_is_in_c_all_the_time_is_in_c_for_as_long_as_is_looked_at() {
        let stats = |seconds: f64, timed| Stats {
            calls: 1,
            timed,
            in_flight: 1,
            c: Estimate { sum: seconds * 1e9, ..Estimate::default() },
            ..Stats::default()
        };
        let mut now = stats(5.0, 1);
        subtract(&mut now, &stats(2.0, 1));
        assert_eq!((now.calls, now.timed, now.in_flight, now.c.sum), (0, 1, 1, 3e9));
        let mut returned = Stats { in_flight: 0, ..stats(5.0, 1) };
        subtract(&mut returned, &stats(2.0, 1));
        assert_eq!((returned.timed, returned.in_flight, returned.c.sum), (1, 0, 3e9));
    }
}
