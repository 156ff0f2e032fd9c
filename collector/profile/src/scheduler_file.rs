//! Threads, goroutines and callbacks in the file.

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
