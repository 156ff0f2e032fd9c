//! What has come between two moments of one recording.

use std::collections::HashMap;
use std::hash::Hash;

use cgoprof_profile::{Cell, Distribution, Estimate, Profile, Stats};

/// A recording less what it was before. Numbers of functions and cells are those of `now`.
pub(crate) fn since(now: &Profile, then: &Profile) -> Profile {
    let mut since = now.clone();
    since.recording.duration_ns = now.recording.duration_ns.saturating_sub(then.recording.duration_ns);
    less(&mut since.cells, &then.cells, |cell| cell.id, |cell, before| subtract(&mut cell.stats, &before.stats));
    since.cells.retain(|cell| cell.stats.calls > 0 || cell.stats.c.sum > 0.0);
    less(
        &mut since.samples,
        &then.samples,
        |sampled| (sampled.cell, sampled.stack.clone()),
        |sampled, before| sampled.samples = sampled.samples.saturating_sub(before.samples),
    );
    since.samples.retain(|sampled| sampled.samples > 0);
    less(
        &mut since.threads,
        &then.threads,
        |thread| (thread.tid, thread.created_ns),
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
        |goroutine| goroutine.goid,
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
            callback.acquire = difference(callback.acquire, before.acquire);
            callback.go = difference(callback.go, before.go);
            callback.release = difference(callback.release, before.release);
            callback.go_times = fewer(&callback.go_times, &before.go_times);
            callback.border_times = fewer(&callback.border_times, &before.border_times);
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
    let now = stats.clone();
    *stats = Stats {
        calls: now.calls.saturating_sub(before.calls),
        // Those in C are timed so far: then, and now again.
        timed: now.timed.saturating_sub(before.timed.saturating_sub(before.in_flight)),
        untimed: now.untimed.saturating_sub(before.untimed),
        abandoned: now.abandoned.saturating_sub(before.abandoned),
        in_flight: now.in_flight,
        callbacks: now.callbacks.saturating_sub(before.callbacks),
        p_lost: now.p_lost.saturating_sub(before.p_lost),
        parked: now.parked.saturating_sub(before.parked),
        migrations: now.migrations.saturating_sub(before.migrations),
        p_wait: cgoprof_profile::Waits {
            count: now.p_wait.count.saturating_sub(before.p_wait.count),
            sum: (now.p_wait.sum - before.p_wait.sum).max(0.0),
            // When the longest was is not known.
            max: now.p_wait.max,
        },
        enter: difference(now.enter, before.enter),
        c: difference(now.c, before.c),
        callback: difference(now.callback, before.callback),
        exit: difference(now.exit, before.exit),
        blocked: (now.blocked - before.blocked).max(0.0),
        preempted: (now.preempted - before.preempted).max(0.0),
        blocked_within: (now.blocked_within - before.blocked_within).max(0.0),
        c_times: fewer(&now.c_times, &before.c_times),
        overhead_times: fewer(&now.overhead_times, &before.overhead_times),
    };
}

/// Of a sum that has grown. What both were off by in common is off in the difference too.
fn difference(now: Estimate, before: Estimate) -> Estimate {
    Estimate {
        sum: (now.sum - before.sum).max(0.0),
        variance: (now.variance - before.variance).max(0.0),
        common: (now.common - before.common).max(0.0),
    }
}

/// How far apart the middles of one bucket may be at two times, as a share: they follow the clock's rate as it is known by
/// then, and what is taken off for the hooks. Buckets are 6 % apart at least.
const SAME: f64 = 0.02;

/// What has come to each bucket; nothing if they can't be told apart.
fn fewer(now: &Distribution, before: &Distribution) -> Distribution {
    let mut buckets = now.buckets.clone();
    let mut at = 0;
    for &(middle, count) in &before.buckets {
        while buckets.get(at).is_some_and(|bucket| bucket.0 < middle * (1.0 - SAME)) {
            at += 1;
        }
        match buckets.get_mut(at).filter(|bucket| bucket.0 <= middle * (1.0 + SAME)) {
            Some(bucket) => bucket.1 = bucket.1.saturating_sub(count),
            None => return Distribution::default(),
        }
    }
    buckets.retain(|&(_, count)| count > 0);
    let extremes = buckets.first().zip(buckets.last()).map(|(first, last)| (first.0, last.0));
    Distribution { extremes, buckets }
}

#[cfg(test)]
mod tests {
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
    fn times_that_can_not_be_told_apart_are_not_shown() {
        let times = |buckets: &[(f64, u64)]| {
            let extremes = buckets.first().zip(buckets.last()).map(|(first, last)| (first.0, last.0));
            Distribution { extremes, buckets: buckets.to_vec() }
        };
        let check = |now: &[(f64, u64)], before: &[(f64, u64)], left: &[(f64, u64)]| {
            assert_eq!(fewer(&times(now), &times(before)), times(left), "{now:?} {before:?}");
        };
        check(&[(0.0, 5), (10.0, 3), (3e6, 9)], &[(0.0, 5), (3.0001e6, 4)], &[(10.0, 3), (3e6, 5)]);
        check(&[(10.0, 3)], &[(10.0, 3)], &[]);
        check(&[(10.0, 3)], &[], &[(10.0, 3)]);
        // The hooks' own time is known to be another now.
        check(&[(10.0, 3), (500.0, 3)], &[(20.0, 3)], &[]);
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
