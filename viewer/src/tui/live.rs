//! What has come lately: how fast functions are called now, and how that was.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use cgoprof_profile::{FunctionId, Profile, Via};

use super::update::{SECOND, Update};

/// A C function, reached in one way.
type Key = (FunctionId, Via);

/// Moments of a recording that goes on.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// To look back to.
    moments: VecDeque<Arc<Profile>>,
    /// Calls by then, with the time of the recording, of the last second.
    recent: VecDeque<(u64, HashMap<Key, u64>)>,
    rates: Rates,
}

/// How fast functions are called, and were each second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    seconds: HashMap<Key, VecDeque<f64>>,
    last: HashMap<Key, f64>,
    total: f64,
}

/// Seconds that are looked back to at most, with one stretch more.
const LONGEST: u64 = 60 + APART;
/// Every moment of so many seconds is kept, further back one of each stretch of so many.
const RECENT: u64 = 11;
const APART: u64 = 5;
/// Rates kept of each function.
const MOST_RATES: usize = 60;

impl History {
    pub(crate) fn add(&mut self, update: &Update) {
        let data = &update.data;
        let now = data.profile.recording.duration_ns;
        let calls: HashMap<Key, u64> = data.functions.iter().map(|row| ((row.id, row.via), row.stats.calls)).collect();
        while self.recent.len() > 1 && self.recent[1].0 + SECOND <= now {
            self.recent.pop_front();
        }
        if let Some((then, before)) = self.recent.front()
            && now > *then
        {
            let seconds = (now - then) as f64 / SECOND as f64;
            let rate = |(key, &calls): (&Key, &u64)| {
                (*key, calls.saturating_sub(before.get(key).copied().unwrap_or(0)) as f64 / seconds)
            };
            let last: HashMap<Key, f64> = calls.iter().map(rate).collect();
            self.rates.total = last.iter().filter(|((_, via), _)| *via == Via::Cgocall).map(|(_, rate)| rate).sum();
            self.rates.last = last;
        }
        self.recent.push_back((now, calls));
        if let Some(moment) = &update.moment {
            for (&key, &rate) in &self.rates.last {
                let rates = self.rates.seconds.entry(key).or_default();
                rates.push_back(rate);
                if rates.len() > MOST_RATES {
                    rates.pop_front();
                }
            }
            self.moments.push_back(Arc::clone(moment));
            self.forget(now);
        }
    }

    /// Keeps of moments longer ago fewer, and none that is never looked back to.
    fn forget(&mut self, now: u64) {
        let mut last = None;
        self.moments.retain(|moment| {
            let at = moment.recording.duration_ns;
            let stretch = at / (SECOND * APART);
            let kept = at + SECOND * RECENT >= now || last != Some(stretch);
            last = Some(stretch);
            kept && at + SECOND * LONGEST >= now
        });
    }

    /// As they are by now.
    pub(crate) fn rates(&self) -> &Rates {
        &self.rates
    }

    /// The profile as it was so many seconds before `now`, as far as it is needed to subtract it; none if it had not begun.
    pub(crate) fn ago(&self, seconds: u64, now: u64) -> Option<&Arc<Profile>> {
        let old = |moment: &&Arc<Profile>| moment.recording.duration_ns + seconds * SECOND <= now;
        self.moments.iter().rev().find(old)
    }
}

impl Rates {
    /// Calls a second now.
    pub(crate) fn rate(&self, function: FunctionId, via: Via) -> f64 {
        self.last.get(&(function, via)).copied().unwrap_or(0.0)
    }

    /// Of all that `runtime.NumCgoCall` counts.
    pub(crate) fn total_rate(&self) -> f64 {
        self.total
    }

    /// The same as it was each second, as a line of small bars.
    pub(crate) fn sparkline(&self, function: FunctionId, via: Via, columns: usize) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let Some(rates) = self.seconds.get(&(function, via)) else { return String::new() };
        let shown = rates.iter().skip(rates.len().saturating_sub(columns));
        let most = shown.clone().copied().fold(0.0, f64::max);
        shown.map(|rate| BARS[if most > 0.0 { (rate / most * 7.0).round() as usize } else { 0 }]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::update::UpdateBuilder;
    use super::*;
    use crate::tui::sample_data;

    #[test]
    fn rates_are_those_of_the_last_second() {
        let (mut history, mut builder) = (History::default(), UpdateBuilder::default());
        let mut profile = sample_data::named("sqlite");
        profile.cells.truncate(1);
        let cell = (profile.cells[0].function, profile.cells[0].via);
        for tenth in 0..50u64 {
            profile.recording.duration_ns = tenth * SECOND / 10;
            profile.cells[0].stats.calls = if tenth < 30 { tenth * 100 } else { 3000 + (tenth - 30) * 10 };
            history.add(&builder.ready(profile.clone()));
        }
        let rates = history.rates();
        assert_eq!(rates.rate(cell.0, cell.1), 100.0);
        assert_eq!(rates.total_rate(), 100.0);
        let spark = rates.sparkline(cell.0, cell.1, 10);
        assert!(spark.contains('█') && spark.ends_with('▂'), "{spark}");
        assert_eq!(history.ago(2, 49 * SECOND / 10).unwrap().recording.duration_ns, 2 * SECOND);
        // What is looked at may be older than the newest.
        assert_eq!(history.ago(2, 3 * SECOND).unwrap().recording.duration_ns, SECOND);
        assert!(history.ago(60, 49 * SECOND / 10).is_none());
    }

    #[test]
    fn long_ago_fewer_moments_are_kept() {
        let (mut history, mut builder) = (History::default(), UpdateBuilder::default());
        for tenth in 0..3000u64 {
            let mut profile = Profile::default();
            profile.recording.duration_ns = tenth * SECOND / 10;
            history.add(&builder.ready(profile));
        }
        assert!(history.moments.len() < 30, "{}", history.moments.len());
        let now = 2999 * SECOND / 10;
        for (seconds, most) in [(5, 6), (10, 11), (30, 35), (60, 65)] {
            let ago = (now - history.ago(seconds, now).unwrap().recording.duration_ns) / SECOND;
            assert!((seconds..=most).contains(&ago), "{seconds}: {ago}");
        }
    }
}
