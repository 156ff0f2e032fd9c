//! Threads, goroutines, callbacks and the timeline in the file.

use prost::Message;

use crate::code::{FunctionId, LocationId, Via};
use crate::distribution::{self, Distribution};
use crate::estimate::{self, Estimate, finite};
use crate::model::Profile;
use crate::recording::Scheduler as Seen;
use crate::references::{DecodeError, function_id, location_id};
use crate::scheduler as model;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Thread {
    #[prost(uint64, tag = "1")]
    pub(crate) tid: u64,
    #[prost(uint64, optional, tag = "2")]
    pub(crate) m: Option<u64>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    #[prost(uint64, optional, tag = "4")]
    pub(crate) created_ns: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub(crate) exited_ns: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub(crate) parent: Option<u64>,
    #[prost(message, repeated, tag = "7")]
    pub(crate) made: Vec<Made>,
    #[prost(double, optional, tag = "8")]
    pub(crate) blocked_ns: Option<f64>,
    #[prost(double, optional, tag = "9")]
    pub(crate) locked_ns: Option<f64>,
    #[prost(double, optional, tag = "10")]
    pub(crate) locked_idle_ns: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Made {
    #[prost(uint64, tag = "1")]
    pub(crate) function_id: u64,
    #[prost(uint32, tag = "2")]
    pub(crate) via: u32,
    #[prost(uint64, tag = "3")]
    pub(crate) calls: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) locked: u64,
    #[prost(double, tag = "5")]
    pub(crate) c_ns: f64,
}

/// All so far.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Scheduler {
    #[prost(message, repeated, tag = "1")]
    pub(crate) birth: Vec<Birth>,
    #[prost(message, optional, tag = "2")]
    pub(crate) peak: Option<Peak>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) goroutine: Vec<Goroutine>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) callback: Vec<Callback>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) lock: Vec<Lock>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Birth {
    #[prost(uint64, tag = "1")]
    pub(crate) at_ns: u64,
    #[prost(uint64, optional, tag = "2")]
    pub(crate) tid: Option<u64>,
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) location_id: Vec<u64>,
    #[prost(uint64, tag = "4")]
    pub(crate) in_c: u64,
    #[prost(message, repeated, tag = "5")]
    pub(crate) holder: Vec<Holder>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Holder {
    #[prost(uint64, tag = "1")]
    pub(crate) function_id: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) cell_id: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) threads: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Peak {
    #[prost(uint64, tag = "1")]
    pub(crate) at_ns: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) threads: u64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) holder: Vec<Holder>,
    #[prost(bool, tag = "4")]
    pub(crate) exact: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Goroutine {
    #[prost(uint64, tag = "1")]
    pub(crate) goid: u64,
    /// 0 if it is not known.
    #[prost(uint64, tag = "2")]
    pub(crate) function_id: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) calls: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) threads: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) migrations: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) locks: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Callback {
    #[prost(uint64, tag = "1")]
    pub(crate) function_id: u64,
    /// 0 for calls of foreign threads.
    #[prost(uint64, tag = "2")]
    pub(crate) within_id: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) calls: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) timed: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) abandoned: u64,
    #[prost(message, optional, tag = "6")]
    pub(crate) acquire: Option<estimate::Wire>,
    #[prost(message, optional, tag = "7")]
    pub(crate) go: Option<estimate::Wire>,
    #[prost(message, optional, tag = "8")]
    pub(crate) release: Option<estimate::Wire>,
    #[prost(message, optional, tag = "9")]
    pub(crate) go_times: Option<distribution::Wire>,
    #[prost(uint64, tag = "10")]
    pub(crate) foreign_threads: u64,
    #[prost(uint64, tag = "11")]
    pub(crate) attached: u64,
    #[prost(double, tag = "12")]
    pub(crate) attach_ns: f64,
    #[prost(message, optional, tag = "13")]
    pub(crate) border_times: Option<distribution::Wire>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Lock {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) location_id: Vec<u64>,
    #[prost(uint64, tag = "2")]
    pub(crate) locks: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) held: u64,
    #[prost(double, tag = "4")]
    pub(crate) held_ns: f64,
    #[prost(double, tag = "5")]
    pub(crate) longest_ns: f64,
    #[prost(double, optional, tag = "6")]
    pub(crate) idle_ns: Option<f64>,
}

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

pub(crate) fn seen(seen: Seen) -> u32 {
    let bits = [seen.migrations, seen.ps, seen.callbacks, seen.locks, seen.threads];
    bits.into_iter().enumerate().map(|(index, bit)| u32::from(bit) << index).sum()
}

pub(crate) fn read_seen(bits: u32) -> Seen {
    let bit = |index: u32| bits >> index & 1 == 1;
    Seen { migrations: bit(0), ps: bit(1), callbacks: bit(2), locks: bit(3), threads: bit(4) }
}

pub(crate) fn forgotten(found: model::Forgotten) -> Vec<u64> {
    vec![found.goroutines, found.alive, found.calls, found.migrations]
}

pub(crate) fn read_forgotten(found: &[u64]) -> model::Forgotten {
    let at = |index: usize| found.get(index).copied().unwrap_or(0);
    model::Forgotten { goroutines: at(0), alive: at(1), calls: at(2), migrations: at(3) }
}

pub(crate) fn thread(thread: &model::Thread) -> Thread {
    let made = |made: &model::Made| Made {
        function_id: made.function.0 as u64 + 1,
        via: made.via.number(),
        calls: made.calls,
        locked: made.locked,
        c_ns: made.c_ns,
    };
    Thread {
        tid: thread.tid,
        m: thread.m,
        name: thread.name.clone(),
        created_ns: thread.created_ns,
        exited_ns: thread.exited_ns,
        parent: thread.parent,
        made: thread.made.iter().map(made).collect(),
        blocked_ns: thread.blocked_ns,
        locked_ns: thread.locked_ns,
        locked_idle_ns: thread.locked_idle_ns,
    }
}

pub(crate) fn read_thread(found: Thread, profile: &Profile) -> Result<model::Thread, DecodeError> {
    let made = |found: &Made| {
        let function = function_id(found.function_id, profile)?;
        Ok(model::Made {
            function,
            via: Via::from_number(found.via),
            calls: found.calls,
            locked: found.locked,
            c_ns: finite(found.c_ns),
        })
    };
    Ok(model::Thread {
        made: found.made.iter().map(made).collect::<Result<_, DecodeError>>()?,
        process: 0,
        tid: found.tid,
        m: found.m,
        name: found.name,
        created_ns: found.created_ns,
        exited_ns: found.exited_ns,
        parent: found.parent,
        blocked_ns: found.blocked_ns.map(finite),
        locked_ns: found.locked_ns.map(finite),
        locked_idle_ns: found.locked_idle_ns.map(finite),
    })
}

pub(crate) fn scheduler(profile: &Profile) -> Scheduler {
    let ids = |stack: &[LocationId]| stack.iter().map(|location| location.0 as u64 + 1).collect();
    let holders = |holders: &[model::Holder]| {
        let holder = |holder: &model::Holder| Holder {
            function_id: holder.function.0 as u64 + 1,
            cell_id: holder.cell,
            threads: holder.threads,
        };
        holders.iter().map(holder).collect()
    };
    let id = |function: Option<FunctionId>| function.map_or(0, |function| function.0 as u64 + 1);
    Scheduler {
        birth: profile
            .births
            .iter()
            .map(|birth| Birth {
                at_ns: birth.at_ns,
                tid: birth.tid,
                location_id: ids(&birth.stack),
                in_c: birth.in_c,
                holder: holders(&birth.holders),
            })
            .collect(),
        peak: profile.peak.as_ref().map(|peak| Peak {
            at_ns: peak.at_ns,
            threads: peak.threads,
            holder: holders(&peak.holders),
            exact: peak.exact,
        }),
        goroutine: profile
            .goroutines
            .iter()
            .map(|goroutine| Goroutine {
                goid: goroutine.goid,
                function_id: id(goroutine.function),
                calls: goroutine.calls,
                threads: goroutine.threads,
                migrations: goroutine.migrations,
                locks: goroutine.locks,
            })
            .collect(),
        callback: profile
            .callbacks
            .iter()
            .map(|callback| Callback {
                function_id: callback.function.0 as u64 + 1,
                within_id: id(callback.within),
                calls: callback.calls,
                timed: callback.timed,
                abandoned: callback.abandoned,
                acquire: Some(callback.acquire.written(&Estimate::default())),
                go: Some(callback.go.written(&Estimate::default())),
                release: Some(callback.release.written(&Estimate::default())),
                go_times: Some(callback.go_times.written(&Distribution::default())),
                foreign_threads: callback.foreign_threads,
                attached: callback.attached,
                attach_ns: callback.attach_ns,
                border_times: Some(callback.border_times.written(&Distribution::default())),
            })
            .collect(),
        lock: profile
            .locks
            .iter()
            .map(|lock| Lock {
                location_id: ids(&lock.stack),
                locks: lock.locks,
                held: lock.held,
                held_ns: lock.held_ns,
                longest_ns: lock.longest_ns,
                idle_ns: lock.idle_ns,
            })
            .collect(),
    }
}

pub(crate) fn read_scheduler(found: Scheduler, profile: &mut Profile) -> Result<(), DecodeError> {
    let stack = |ids: &[u64]| ids.iter().map(|&id| location_id(id, profile)).collect::<Result<Vec<_>, _>>();
    let holders = |found: &[Holder]| {
        let holder = |found: &Holder| {
            let function = function_id(found.function_id, profile)?;
            Ok(model::Holder { function, cell: found.cell_id, threads: found.threads })
        };
        found.iter().map(holder).collect::<Result<Vec<_>, DecodeError>>()
    };
    let optional = |id: u64| if id == 0 { Ok(None) } else { function_id(id, profile).map(Some) };
    let births = found.birth.iter().map(|found| {
        let (stack, holders) = (stack(&found.location_id)?, holders(&found.holder)?);
        Ok(model::Birth { process: 0, at_ns: found.at_ns, tid: found.tid, stack, in_c: found.in_c, holders })
    });
    let births = births.collect::<Result<_, DecodeError>>()?;
    let peak = found.peak.as_ref().map(|found| {
        let holders = holders(&found.holder)?;
        Ok::<_, DecodeError>(model::Peak { at_ns: found.at_ns, threads: found.threads, holders, exact: found.exact })
    });
    let peak = peak.transpose()?;
    let goroutines = found.goroutine.iter().map(|found| {
        Ok(model::Goroutine {
            process: 0,
            goid: found.goid,
            function: optional(found.function_id)?,
            calls: found.calls,
            threads: found.threads,
            migrations: found.migrations,
            locks: found.locks,
        })
    });
    let goroutines = goroutines.collect::<Result<_, DecodeError>>()?;
    let callbacks = found.callback.into_iter().map(|found| {
        Ok(model::Callback {
            function: function_id(found.function_id, profile)?,
            within: optional(found.within_id)?,
            calls: found.calls,
            timed: found.timed,
            abandoned: found.abandoned,
            acquire: Estimate::read(found.acquire),
            go: Estimate::read(found.go),
            release: Estimate::read(found.release),
            go_times: Distribution::read(found.go_times),
            foreign_threads: found.foreign_threads,
            attached: found.attached,
            attach_ns: finite(found.attach_ns),
            border_times: Distribution::read(found.border_times),
        })
    });
    let callbacks = callbacks.collect::<Result<_, DecodeError>>()?;
    let locks = found.lock.iter().map(|found| {
        Ok(model::Lock {
            stack: stack(&found.location_id)?,
            locks: found.locks,
            held: found.held,
            held_ns: finite(found.held_ns),
            longest_ns: finite(found.longest_ns),
            idle_ns: found.idle_ns.map(finite),
        })
    });
    let locks = locks.collect::<Result<_, DecodeError>>()?;
    (profile.births, profile.peak, profile.goroutines) = (births, peak, goroutines);
    (profile.callbacks, profile.locks) = (callbacks, locks);
    Ok(())
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
