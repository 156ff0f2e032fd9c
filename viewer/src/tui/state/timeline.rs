//! Threads in time: what part of it is seen, where the cursor is, and which span has been marked.

use std::ops::Range;

use cgoprof_profile::SlowCrossing;

use super::super::data::lanes::{Lane, Lanes};
use super::super::keys::Move;
use super::scroll::Scroll;

/// How the timeline is looked at. Times in nanoseconds since the recording's start.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimelineView {
    /// Seen from here on; the whole time where it is empty.
    seen: Range<u64>,
    /// The lane of the cursor.
    pub(crate) scroll: Scroll,
    pub(crate) cursor: u64,
    /// The crossing that was searched for and found, while the cursor is on it: its thread and when C was called.
    pub(crate) found: Option<(u64, u64)>,
    /// The column in which the mouse's button was pressed.
    pub(crate) pressed: Option<u16>,
    /// A span is being marked with the mouse.
    pub(crate) dragging: bool,
    /// Where a span begins that is being marked.
    pub(crate) mark: Option<u64>,
    /// The span that the other screens show.
    pub(crate) span: Option<Range<u64>>,
    /// Columns that time takes.
    pub(crate) columns: u16,
}

/// No less is seen at once.
const SHORTEST: u64 = 1_000;

impl TimelineView {
    /// What is seen of a recording.
    pub(crate) fn seen(&self, lanes: &Lanes) -> Range<u64> {
        if self.seen.is_empty() { 0..lanes.duration } else { self.seen.clone() }
    }

    /// The time that a column stands for.
    pub(crate) fn time_of(&self, column: u16, lanes: &Lanes) -> Range<u64> {
        let (seen, columns) = (self.seen(lanes), u64::from(self.columns.max(1)));
        let length = seen.end - seen.start;
        let at = |column: u64| seen.start + (u128::from(length) * u128::from(column) / u128::from(columns)) as u64;
        let start = at(u64::from(column));
        start..at(u64::from(column) + 1).max(start + 1)
    }

    /// The column of a moment, if it is seen.
    pub(crate) fn column_of(&self, at: u64, lanes: &Lanes) -> Option<u16> {
        let seen = self.seen(lanes);
        let length = (seen.end - seen.start).max(1);
        let column = |at: u64| (u128::from(at - seen.start) * u128::from(self.columns) / u128::from(length)) as u16;
        (seen.contains(&at) || at == seen.end).then(|| column(at).min(self.columns.saturating_sub(1)))
    }

    /// The time under the cursor: that of its column.
    pub(crate) fn under_cursor(&self, lanes: &Lanes) -> Range<u64> {
        let column = self.column_of(self.cursor, lanes).unwrap_or(0);
        self.time_of(column, lanes)
    }

    pub(crate) fn lane<'a>(&self, lanes: &'a Lanes) -> Option<&'a Lane> {
        lanes.lanes.get(self.scroll.selected)
    }

    pub(crate) fn go(&mut self, how: Move, lanes: &Lanes) {
        self.found = None;
        let seen = self.seen(lanes);
        let step = ((seen.end - seen.start) / u64::from(self.columns.max(1))).max(1);
        let page = (seen.end - seen.start) / 2;
        match how {
            Move::Left => self.move_to(self.cursor.saturating_sub(step), lanes),
            Move::Right => self.move_to(self.cursor.saturating_add(step), lanes),
            Move::PageUp => self.pan(page, true, lanes),
            Move::PageDown => self.pan(page, false, lanes),
            Move::Home => self.move_to(0, lanes),
            Move::End => self.move_to(lanes.duration, lanes),
            how @ (Move::Up | Move::Down) => self.scroll.go(how, lanes.lanes.len()),
        }
    }

    /// Puts the cursor there, and has it seen.
    pub(crate) fn move_to(&mut self, at: u64, lanes: &Lanes) {
        self.found = None;
        self.cursor = at.min(lanes.duration);
        let seen = self.seen(lanes);
        if self.cursor < seen.start {
            self.pan(seen.start - self.cursor, true, lanes);
        } else if self.cursor >= seen.end {
            self.pan(self.cursor - seen.end + 1, false, lanes);
        }
    }

    /// Has an earlier or later time seen, the cursor staying in its column.
    fn pan(&mut self, by: u64, earlier: bool, lanes: &Lanes) {
        let seen = self.seen(lanes);
        let length = seen.end - seen.start;
        let start = if earlier { seen.start.saturating_sub(by) } else { seen.start.saturating_add(by) };
        let start = start.min(lanes.duration.saturating_sub(length));
        let in_it = self.cursor.saturating_sub(seen.start).min(length);
        if self.cursor >= seen.start && self.cursor < seen.end {
            self.cursor = start + in_it;
        }
        if length < lanes.duration {
            self.seen = start..start + length;
        }
    }

    /// Has twice as much or half as much seen, the cursor staying where it is.
    pub(crate) fn zoom(&mut self, by: isize, lanes: &Lanes) {
        let seen = self.seen(lanes);
        let length = seen.end - seen.start;
        let new = match by {
            1.. => (length / 2).max(SHORTEST),
            _ => length.saturating_mul(2),
        };
        if new >= lanes.duration {
            self.seen = 0..0;
            return;
        }
        let share = (self.cursor.saturating_sub(seen.start)) as f64 / length.max(1) as f64;
        let start = self.cursor.saturating_sub((new as f64 * share) as u64).min(lanes.duration - new);
        self.seen = start..start + new;
    }

    pub(crate) fn whole(&mut self) {
        self.seen = 0..0;
    }

    /// Begins a span at the cursor, or ends it there. Returns whether a span is complete.
    pub(crate) fn mark(&mut self, lanes: &Lanes) -> bool {
        let under = self.under_cursor(lanes);
        match self.mark.take() {
            None => {
                self.mark = Some(under.start);
                false
            }
            Some(from) => {
                self.span = Some(from.min(under.start)..from.max(under.end));
                true
            }
        }
    }

    /// Puts the cursor on the next of the crossings of these lanes for which this holds, or the one before. Returns whether
    /// there is one.
    pub(crate) fn find(&mut self, by: isize, lanes: &Lanes, among: Range<usize>, wanted: impl Fn(u64) -> bool) -> bool {
        let under = self.under_cursor(lanes);
        // Of what lies in one column, one after the other.
        let (after, before) = match self.found {
            Some((_, called)) => (called + 1, called),
            None => (under.end, under.start),
        };
        let candidates = among.filter_map(|at| {
            let crossings = &lanes.lanes.get(at)?.crossings;
            let found = if by > 0 {
                let from = crossings.partition_point(|crossing| crossing.called_ns < after);
                crossings[from..].iter().find(|crossing| wanted(crossing.cell))
            } else {
                let to = crossings.partition_point(|crossing| crossing.called_ns < before);
                crossings[..to].iter().rfind(|crossing| wanted(crossing.cell))
            };
            found.map(|crossing| (crossing.called_ns, at))
        });
        let found = if by > 0 { candidates.min() } else { candidates.max() };
        if let Some((called, at)) = found {
            self.scroll.selected = at;
            self.scroll.show(lanes.lanes.len());
            self.move_to(called, lanes);
            self.found = Some((lanes.lanes[at].tid, called));
        }
        found.is_some()
    }

    /// The lane of the cursor, as a range.
    pub(crate) fn own_lane(&self) -> Range<usize> {
        self.scroll.selected..self.scroll.selected + 1
    }

    /// The crossing under the cursor: what was found, else the innermost.
    pub(crate) fn event<'a>(&self, lanes: &'a Lanes) -> Option<&'a SlowCrossing> {
        let lane = self.lane(lanes)?;
        let found = self.found.filter(|&(tid, _)| tid == lane.tid).and_then(|(_, called)| {
            let at = lane.crossings.partition_point(|crossing| crossing.called_ns < called);
            lane.crossings.get(at).filter(|crossing| crossing.called_ns == called)
        });
        found.or_else(|| lane.crossing_at(&self.under_cursor(lanes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::sample_data;

    fn view() -> (TimelineView, Lanes) {
        (TimelineView { columns: 100, ..TimelineView::default() }, Lanes::new(&sample_data::named("busy")))
    }

    #[test]
    fn columns_cover_what_is_seen_without_gaps() {
        let (mut view, lanes) = view();
        for _ in 0..3 {
            let seen = view.seen(&lanes);
            assert_eq!(view.time_of(0, &lanes).start, seen.start);
            assert_eq!(view.time_of(99, &lanes).end, seen.end);
            for column in 1..100 {
                let time = view.time_of(column, &lanes);
                assert_eq!(view.time_of(column - 1, &lanes).end, time.start);
                assert_eq!(view.column_of(time.start + (time.end - time.start) / 2, &lanes), Some(column));
            }
            view.cursor = seen.start + (seen.end - seen.start) / 3;
            view.zoom(1, &lanes);
        }
    }

    #[test]
    fn zooming_keeps_the_cursor_in_sight_down_to_a_microsecond() {
        let (mut view, lanes) = view();
        view.cursor = lanes.duration / 7;
        for _ in 0..60 {
            view.zoom(1, &lanes);
            assert!(view.seen(&lanes).contains(&view.cursor));
        }
        assert_eq!(view.seen(&lanes).end - view.seen(&lanes).start, SHORTEST);
        view.go(Move::End, &lanes);
        assert!(view.column_of(view.cursor, &lanes).is_some());
        view.go(Move::Home, &lanes);
        assert_eq!(view.column_of(0, &lanes), Some(0));
        for _ in 0..60 {
            view.zoom(-1, &lanes);
        }
        assert_eq!(view.seen(&lanes), 0..lanes.duration);
    }

    #[test]
    fn a_span_is_marked_by_its_two_ends() {
        let (mut view, lanes) = view();
        view.cursor = lanes.duration / 2;
        assert!(!view.mark(&lanes));
        view.cursor = lanes.duration / 4;
        assert!(view.mark(&lanes));
        let span = view.span.clone().unwrap();
        assert!(span.start <= lanes.duration / 4 && span.end >= lanes.duration / 2 - 1);
    }

    #[test]
    fn crossings_are_gone_to_one_after_the_other() {
        let (mut view, lanes) = view();
        let mut found = Vec::new();
        while view.find(1, &lanes, view.own_lane(), |_| true) {
            found.push(view.cursor);
        }
        assert_eq!(found.len(), view.lane(&lanes).unwrap().crossings.iter().filter(|one| one.called_ns > 0).count());
        assert!(found.len() > 2 && found.is_sorted());
        assert!(view.find(-1, &lanes, view.own_lane(), |_| true));
        assert!(view.cursor < *found.last().unwrap());
    }

    #[test]
    fn a_crossing_is_found_on_whatever_thread_it_is() {
        let (mut view, lanes) = view();
        let last = lanes.lanes.len() - 1;
        let with_some = (1..=last).rfind(|&at| !lanes.lanes[at].crossings.is_empty()).expect("a second thread crosses");
        let crossing = lanes.lanes[with_some].crossings[0];
        let only = |cell| cell == crossing.cell;
        assert!(view.find(1, &lanes, 0..lanes.lanes.len(), only) || crossing.called_ns == 0);
        assert_eq!(view.event(&lanes).map(|event| event.cell), Some(crossing.cell));
    }
}
