//! Fuzzing with perf records of any content.

use std::collections::HashMap;

use nix::unistd::Pid;

use super::attributes::Frequency;
use super::inherited_events::{InheritedEvents, SampleKind};
use super::{Event, Record, TracedProbe, Wanted, attributes, parse};
use crate::goruntime::Point;

/// Parses records one after the other, each with its length in its header, as in a ring.
pub fn perf_records(mut data: &[u8]) {
    const LENGTH: usize = 6;
    let pid = Pid::from_raw(1);
    let probe = |frames, fetches| TracedProbe { point: Point::Called, module: 0, number: 1, frames, fetches };
    let asked =
        Wanted { frequency: Frequency(99), kernel: true, only_samples: false, switches: true, before_exec: false };
    let all = Wanted { only_samples: true, ..asked };
    let layout = |wanted| attributes::format(attributes::sampled(pid, 0, wanted, 1 << 10).attrs_mut());
    let of_switches = attributes::format(attributes::switching(pid, 0, false).attrs());
    let (Ok(format), Ok(with_chains), Ok(of_switches)) = (layout(asked), layout(all), of_switches) else { return };
    let mut origins = InheritedEvents::default();
    let probes = [probe(Some(9), true), probe(None, true), probe(Some(9), false)];
    let events = [
        (1, Event { format, kind: SampleKind::Running }),
        (2, Event { format: with_chains, kind: SampleKind::Running }),
        (3, Event { format, kind: SampleKind::Probe(0) }),
        (4, Event { format, kind: SampleKind::Probe(1) }),
        (5, Event { format, kind: SampleKind::Probe(2) }),
        (6, Event { format: of_switches, kind: SampleKind::Switching }),
    ];
    for (id, event) in events {
        origins.add_thread();
        origins.add_event(id, (0, event.kind));
    }
    let events = HashMap::from(events);
    while let Some(length) = data.get(LENGTH..LENGTH + 2) {
        let length = usize::from(u16::from_le_bytes([length[0], length[1]])).max(super::HEADER);
        let Some((record, rest)) = data.split_at_checked(length) else { return };
        data = rest;
        if let Some(Record::Hit(hit)) = parse(record, (&events, &probes), format, &mut origins, pid) {
            let _ = (hit.chain().count(), hit.argument(0), hit.argument(usize::MAX / 16));
        }
    }
}
