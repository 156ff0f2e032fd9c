//! The timeline in the file.

use prost::Message;

use crate::scheduler as model;

/// The timeline in columns, so that it is small.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Timeline {
    /// Cell ids, which `cell` refers to by index.
    #[prost(fixed64, repeated, tag = "1")]
    pub(crate) cell_id: Vec<u64>,
    #[prost(uint32, repeated, tag = "2")]
    pub(crate) cell: Vec<u32>,
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) tid: Vec<u64>,
    #[prost(uint64, repeated, tag = "4")]
    pub(crate) goid: Vec<u64>,
    /// Differences, each to the value before.
    #[prost(sint64, repeated, tag = "5")]
    pub(crate) called: Vec<i64>,
    #[prost(uint64, repeated, tag = "6")]
    pub(crate) enter: Vec<u64>,
    /// The value plus one; 0 for none.
    #[prost(uint64, repeated, tag = "7")]
    pub(crate) c: Vec<u64>,
    #[prost(uint64, repeated, tag = "8")]
    pub(crate) exit: Vec<u64>,
    /// 0 for none.
    #[prost(uint64, repeated, tag = "9")]
    pub(crate) exit_tid: Vec<u64>,
    #[prost(uint64, repeated, tag = "10")]
    pub(crate) blocked: Vec<u64>,
    #[prost(uint64, repeated, tag = "11")]
    pub(crate) weight: Vec<u64>,
    #[prost(uint64, repeated, tag = "12")]
    pub(crate) wait_tid: Vec<u64>,
    /// Differences, each to the value before.
    #[prost(sint64, repeated, tag = "13")]
    pub(crate) wait_from: Vec<i64>,
    #[prost(uint64, repeated, tag = "14")]
    pub(crate) wait: Vec<u64>,
    #[prost(uint64, repeated, tag = "15")]
    pub(crate) locked_tid: Vec<u64>,
    #[prost(uint64, repeated, tag = "16")]
    pub(crate) locked_goid: Vec<u64>,
    /// Differences, each to the value before.
    #[prost(sint64, repeated, tag = "17")]
    pub(crate) locked_from: Vec<i64>,
    /// The duration plus one; 0 for a lock that lasts.
    #[prost(uint64, repeated, tag = "18")]
    pub(crate) locked: Vec<u64>,
    /// Differences, each to the value before.
    #[prost(sint64, repeated, tag = "19")]
    pub(crate) look: Vec<i64>,
    #[prost(uint64, repeated, tag = "20")]
    pub(crate) in_c: Vec<u64>,
    /// The value plus one; 0 for none.
    #[prost(uint64, repeated, tag = "21")]
    pub(crate) in_go: Vec<u64>,
    /// The value plus one; 0 for none.
    #[prost(uint64, repeated, tag = "22")]
    pub(crate) idle: Vec<u64>,
    #[prost(uint64, tag = "23")]
    pub(crate) shortest: u64,
    #[prost(uint64, tag = "24")]
    pub(crate) dropped: u64,
    #[prost(uint64, tag = "25")]
    pub(crate) shortest_wait: u64,
    #[prost(uint64, tag = "26")]
    pub(crate) dropped_waits: u64,
    #[prost(uint64, repeated, tag = "27")]
    pub(crate) asleep_tid: Vec<u64>,
    /// Differences, each to the value before.
    #[prost(sint64, repeated, tag = "28")]
    pub(crate) asleep_from: Vec<i64>,
    #[prost(uint64, repeated, tag = "29")]
    pub(crate) asleep: Vec<u64>,
    #[prost(uint64, tag = "30")]
    pub(crate) shortest_asleep: u64,
    #[prost(uint64, tag = "31")]
    pub(crate) dropped_asleep: u64,
    /// Number of crossings that were still in C; they are the last ones.
    #[prost(uint64, tag = "32")]
    pub(crate) open: u64,
    /// The value plus one; 0 for none.
    #[prost(uint64, repeated, tag = "33")]
    pub(crate) preempted: Vec<u64>,
    /// Of `wait`: a number of the waiting stack plus one; 0 for none.
    #[prost(uint64, repeated, tag = "34")]
    pub(crate) wait_stack: Vec<u64>,
    /// Sets of labels in this member.
    #[prost(message, repeated, tag = "35")]
    pub(crate) label_set: Vec<LabelSet>,
    /// Of crossings: an index into `label_set` plus one; 0 for none. Absent if no crossing has one.
    #[prost(uint32, repeated, tag = "36")]
    pub(crate) labels: Vec<u32>,
}

/// Keys and values by turns.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct LabelSet {
    #[prost(string, repeated, tag = "1")]
    pub(crate) text: Vec<String>,
}

/// Returns the differences of a column's values, each to the value before.
fn differences(values: impl Iterator<Item = u64>) -> Vec<i64> {
    let mut before = 0;
    values.map(|value| value.wrapping_sub(std::mem::replace(&mut before, value)) as i64).collect()
}

/// Returns the column of these differences.
fn sums(differences: &[i64]) -> impl Iterator<Item = u64> {
    differences.iter().scan(0u64, |sum, &difference| {
        *sum = sum.wrapping_add(difference as u64);
        Some(*sum)
    })
}

fn one_more(value: Option<u64>) -> u64 {
    value.map_or(0, |value| value.saturating_add(1))
}

pub(crate) fn timeline(timeline: &model::Timeline) -> Timeline {
    let crossings = || timeline.crossings.iter();
    let mut cell_id: Vec<u64> = crossings().map(|one| one.cell).collect();
    cell_id.sort_unstable();
    cell_id.dedup();
    let cell = crossings().map(|one| cell_id.binary_search(&one.cell).unwrap_or(0) as u32).collect();
    let (waits, locked, counters) = (&timeline.waits, &timeline.locked, &timeline.counters);
    let asleep = &timeline.asleep;
    Timeline {
        cell,
        cell_id,
        tid: crossings().map(|one| one.tid).collect(),
        goid: crossings().map(|one| one.goid).collect(),
        called: differences(crossings().map(|one| one.called_ns)),
        enter: crossings().map(|one| one.enter_ns).collect(),
        c: crossings().map(|one| one_more(one.c_ns)).collect(),
        exit: crossings().map(|one| one.exit_ns).collect(),
        exit_tid: crossings().map(|one| one.exit_tid.unwrap_or(0)).collect(),
        blocked: crossings().map(|one| one.blocked_ns).collect(),
        preempted: crossings().map(|one| one_more(one.preempted_ns)).collect(),
        weight: crossings().map(|one| one.weight).collect(),
        wait_tid: waits.iter().map(|wait| wait.tid).collect(),
        wait_from: differences(waits.iter().map(|wait| wait.from_ns)),
        wait: waits.iter().map(|wait| wait.to_ns.saturating_sub(wait.from_ns)).collect(),
        wait_stack: waits.iter().map(|wait| one_more(wait.stack.map(u64::from))).collect(),
        locked_tid: locked.iter().map(|one| one.tid).collect(),
        locked_goid: locked.iter().map(|one| one.goid).collect(),
        locked_from: differences(locked.iter().map(|one| one.from_ns)),
        locked: locked.iter().map(|one| one_more(one.to_ns.map(|to| to.saturating_sub(one.from_ns)))).collect(),
        look: differences(counters.iter().map(|look| look.at_ns)),
        in_c: counters.iter().map(|look| look.in_c).collect(),
        in_go: counters.iter().map(|look| one_more(look.in_go)).collect(),
        idle: counters.iter().map(|look| one_more(look.idle)).collect(),
        shortest: timeline.shortest_ns,
        dropped: timeline.dropped,
        shortest_wait: timeline.shortest_wait_ns,
        dropped_waits: timeline.dropped_waits,
        asleep_tid: asleep.iter().map(|wait| wait.tid).collect(),
        asleep_from: differences(asleep.iter().map(|wait| wait.from_ns)),
        asleep: asleep.iter().map(|wait| wait.to_ns.saturating_sub(wait.from_ns)).collect(),
        shortest_asleep: timeline.shortest_asleep_ns,
        dropped_asleep: timeline.dropped_asleep,
        open: crossings().rev().take_while(|one| one.open).count() as u64,
        label_set: timeline.label_sets.iter().map(|labels| LabelSet { text: texts(labels) }).collect(),
        labels: if crossings().any(|one| one.labels.is_some()) {
            crossings().map(|one| one.labels.map_or(0, |index| index.saturating_add(1))).collect()
        } else {
            Vec::new()
        },
    }
}

fn texts(labels: &[(String, String)]) -> Vec<String> {
    labels.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect()
}

/// Adds a member's part. Columns of different lengths are read up to the end of the shortest.
pub(crate) fn read_timeline(found: Timeline, timeline: &mut model::Timeline) {
    let at = |column: &[u64], index: usize| column.get(index).copied().unwrap_or(0);
    let rows = [found.tid.len(), found.goid.len(), found.cell.len(), found.c.len(), found.weight.len()];
    let rows = rows.into_iter().min().unwrap_or(0);
    let first_set = timeline.label_sets.len() as u32;
    let sets = found.label_set.len() as u32;
    let pairs = |set: LabelSet| set.text.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    timeline.label_sets.extend(found.label_set.into_iter().map(pairs));
    let labels = |index: usize| {
        let own = found.labels.get(index)?.checked_sub(1).filter(|&own| own < sets)?;
        first_set.checked_add(own)
    };
    for (index, called_ns) in sums(&found.called).take(rows).enumerate() {
        timeline.crossings.push(model::SlowCrossing {
            process: 0,
            cell: found.cell_id.get(found.cell[index] as usize).copied().unwrap_or(0),
            tid: found.tid[index],
            goid: found.goid[index],
            called_ns,
            enter_ns: at(&found.enter, index),
            c_ns: found.c[index].checked_sub(1),
            exit_ns: at(&found.exit, index),
            exit_tid: Some(at(&found.exit_tid, index)).filter(|&tid| tid != 0),
            blocked_ns: at(&found.blocked, index),
            preempted_ns: at(&found.preempted, index).checked_sub(1),
            weight: found.weight[index],
            open: (rows - index) as u64 <= found.open,
            labels: labels(index),
        });
    }
    for (index, ((from_ns, &tid), &nanos)) in sums(&found.wait_from).zip(&found.wait_tid).zip(&found.wait).enumerate() {
        let stack = at(&found.wait_stack, index).checked_sub(1).and_then(|number| u32::try_from(number).ok());
        timeline.waits.push(model::Wait { process: 0, tid, from_ns, to_ns: from_ns.saturating_add(nanos), stack });
    }
    for ((from_ns, &tid), (&goid, &nanos)) in
        sums(&found.locked_from).zip(&found.locked_tid).zip(found.locked_goid.iter().zip(&found.locked))
    {
        let to_ns = nanos.checked_sub(1).map(|nanos| from_ns.saturating_add(nanos));
        timeline.locked.push(model::Locked { process: 0, tid, goid, from_ns, to_ns });
    }
    for (index, (at_ns, &in_c)) in sums(&found.look).zip(&found.in_c).enumerate() {
        let (in_go, idle) = (at(&found.in_go, index).checked_sub(1), at(&found.idle, index).checked_sub(1));
        timeline.counters.push(model::Counters { at_ns, in_c, in_go, idle });
    }
    (timeline.shortest_ns, timeline.dropped) = (found.shortest, found.dropped);
    (timeline.shortest_wait_ns, timeline.dropped_waits) = (found.shortest_wait, found.dropped_waits);
    for ((from_ns, &tid), &nanos) in sums(&found.asleep_from).zip(&found.asleep_tid).zip(&found.asleep) {
        timeline.asleep.push(model::Wait {
            process: 0,
            tid,
            from_ns,
            to_ns: from_ns.saturating_add(nanos),
            stack: None,
        });
    }
    (timeline.shortest_asleep_ns, timeline.dropped_asleep) = (found.shortest_asleep, found.dropped_asleep);
}
