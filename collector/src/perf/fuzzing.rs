//! Fuzzing with perf records of any content.

use std::collections::HashMap;

use nix::unistd::Pid;

use super::attributes::Frequency;
use super::inherited_events::InheritedEvents;
use super::{Event, Record, TracedProbe, Wanted, attributes, parse};
use crate::goruntime::Point;

/// Parses records one after the other, each with its length in its header, as in a ring.
pub fn perf_records(mut data: &[u8]) {
    const LENGTH: usize = 6;
    let pid = Pid::from_raw(1);
    let probe = |frames, fetches| TracedProbe { point: Point::Called, module: 0, number: 1, frames, fetches };
    let asked = Wanted { frequency: Frequency(99), kernel: true, only_samples: false, before_exec: false };
    let all = Wanted { only_samples: true, ..asked };
    let layout = |wanted| attributes::format(attributes::sampled(pid, 0, wanted).attrs_mut());
    let (Ok(format), Ok(with_chains)) = (layout(asked), layout(all)) else { return };
    let mut origins = InheritedEvents::default();
    let events = [
        (1, Event { format, probe: None }),
        (2, Event { format: with_chains, probe: None }),
        (3, Event { format, probe: Some(probe(Some(9), true)) }),
        (4, Event { format, probe: Some(probe(None, true)) }),
        (5, Event { format, probe: Some(probe(Some(9), false)) }),
    ];
    for (id, _) in events {
        origins.add_thread();
        origins.add_event(id, (0, 0));
    }
    let events = HashMap::from(events);
    while let Some(length) = data.get(LENGTH..LENGTH + 2) {
        let length = usize::from(u16::from_le_bytes([length[0], length[1]])).max(super::HEADER);
        let Some((record, rest)) = data.split_at_checked(length) else { return };
        data = rest;
        if let Some(Record::Hit(hit)) = parse(record, &events, format, &mut origins, pid) {
            let _ = (hit.chain().count(), hit.argument(0), hit.argument(usize::MAX / 16));
        }
    }
}
