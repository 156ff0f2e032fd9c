//! Recordings of several processes in one.

mod recorded;

use std::sync::Arc;

use cgoprof_profile::merge::MergeError;
use cgoprof_profile::processes::{combine, select};
use cgoprof_profile::{
    DecodeError, Encoder, FunctionId, Goroutine, Locked, Profile, SlowCrossing, Wait, decode, decode_message,
};
use recorded::{recorded, totals};

/// Returns a recorded profile as that of another process, which began so many nanoseconds after the recording.
fn process(name: &str, pid: u32, begin: u64) -> Arc<Profile> {
    let (_, mut profile) =
        recorded().into_iter().find(|(file, _)| *file == format!("{name}.pb.gz")).expect("it is there");
    profile.target.pid = pid;
    profile.recording.start_unix_ns = 1_700_000_000_000_000_000 + begin;
    Arc::new(profile)
}

fn three() -> Vec<Arc<Profile>> {
    vec![process("locks", 30, 500), process("blocked", 20, 0), process("locks", 40, 2_000_000_000)]
}

#[test]
fn processes_are_told_apart_and_each_is_as_it_was() {
    let processes = three();
    let whole = combine(processes.clone()).expect("they add up");
    let pids: Vec<u32> = whole.processes.iter().map(|process| process.target.pid).collect();
    assert_eq!(pids, [20, 30, 40], "in the order in which they began");
    for process in &processes {
        let pid = process.target.pid;
        let index = pids.iter().position(|&other| other == pid).expect("it is there");
        assert_eq!(select(&whole, &pid.to_string()), Ok(Some((**process).clone())));
        let calls = |profile: &Profile, index| {
            let own = profile.cells.iter().filter(|cell| cell.process == index);
            own.map(|cell| cell.stats.calls).sum::<u64>()
        };
        assert_eq!(calls(&whole, index), calls(process, 0), "{pid}");
        let samples = |profile: &Profile, index| {
            let own = profile.samples.iter().filter(|stack| stack.process == index);
            own.map(|stack| stack.samples).sum::<u64>()
        };
        assert_eq!(samples(&whole, index), samples(process, 0), "{pid}");
        let threads = whole.threads.iter().filter(|thread| thread.process == index);
        assert_eq!(threads.count(), process.threads.len(), "{pid}");
        let goroutines = whole.goroutines.iter().filter(|goroutine| goroutine.process == index);
        assert_eq!(goroutines.map(|one| one.calls).sum::<u64>(), process.goroutines.iter().map(|one| one.calls).sum());
    }
    let sum: u64 = processes.iter().map(|process| totals(process).calls).sum();
    assert_eq!(totals(&whole).calls, sum);
    let last = process("locks", 40, 2_000_000_000);
    assert_eq!(whole.recording.duration_ns, 2_000_000_000 + last.recording.duration_ns);
    assert_eq!(whole.recording.processes, 3);
    assert_eq!((whole.recording.recordings, &whole.peak), (0, &None), "peaks of processes are none of all");
}

#[test]
fn programs_are_selected_by_name_and_processes_by_id() {
    let whole = combine(three()).expect("they add up");
    let of_name = |name| select(&whole, name).expect("they add up").expect("it is there");
    let two = of_name("scheduler");
    assert_eq!(two.processes.iter().map(|process| process.target.pid).collect::<Vec<_>>(), [30, 40]);
    assert_eq!(of_name("blocks"), *whole.processes[0]);
    assert_eq!(select(&whole, "nobody"), Ok(None));
    let one = process("locks", 30, 0);
    assert_eq!(select(&one, "30"), Ok(Some((*one).clone())), "a recording of one process has that one");
    assert_eq!(select(&one, "31"), Ok(None));
}

#[test]
fn times_count_from_the_start_of_the_first_process() {
    let late = 2_000_000_000;
    let (early, same) = (process("locks", 30, 0), process("locks", 40, late));
    let whole = combine(vec![early.clone(), same]).expect("they add up");
    let crossings = &early.timeline.crossings;
    assert!(!crossings.is_empty());
    let called = |profile: &Profile| profile.timeline.crossings.iter().map(|one| one.called_ns).collect::<Vec<_>>();
    let mut expected: Vec<u64> = called(&early).into_iter().flat_map(|at| [at, at + late]).collect();
    expected.sort_unstable();
    assert_eq!(called(&whole), expected);
    let cell = |crossing: &SlowCrossing, profile: &Profile| {
        let cell = profile.cells.iter().find(|cell| cell.id == crossing.cell).expect("a cell");
        (cell.process, profile.functions[cell.function.0].name.clone())
    };
    let last = whole.timeline.crossings.last().expect("a crossing");
    assert_eq!(cell(last, &whole).0, 1);
    assert_eq!(whole.births.len(), 2 * early.births.len());
    let ended =
        |thread: &&cgoprof_profile::Thread| thread.exited_ns.is_some_and(|at| at <= early.recording.duration_ns);
    let first = whole.threads.iter().filter(|thread| thread.process == 0);
    assert_eq!(first.clone().filter(ended).count(), first.count(), "threads end with their process");
    assert!(whole.threads.iter().filter(|thread| thread.process == 1).all(|thread| thread.created_ns >= Some(late)));
}

#[test]
fn waits_lead_to_the_stacks_of_their_own_process() {
    let (one, other) = (process("blocked", 30, 0), process("waiting", 40, 0));
    let whole = combine(vec![one.clone(), other.clone()]).expect("they add up");
    let waits_in = |profile: &Profile, wait: &Wait| {
        let number = wait.stack?;
        let stack = profile.waits.iter().find(|stack| stack.numbers.contains(&number)).expect("a stack");
        Some(stack.waits_in(profile).expect("its innermost frame").to_owned())
    };
    let all = |profile: &Profile| profile.timeline.waits.iter().map(|wait| waits_in(profile, wait)).collect::<Vec<_>>();
    let expected = [all(&one), all(&other)].concat();
    assert!(expected.iter().flatten().count() > 0);
    assert_eq!(all(&whole), expected);
}

#[test]
fn a_file_of_several_processes_is_read_as_it_was_written() {
    let whole = combine(three()).expect("they add up");
    let file = Encoder::default().member(&whole);
    assert_eq!(decode(&file).expect("a profile"), whole);
    let alone = three().iter().map(|process| Encoder::default().member(process).len()).sum::<usize>();
    assert!(file.len() < 2 * alone, "{} bytes, {alone} of the processes alone", file.len());
}

#[test]
fn one_process_is_no_recording_of_several() {
    let one = process("locks", 30, 0);
    assert_eq!(combine(vec![one.clone()]), Ok((*one).clone()));
    assert_eq!(combine(Vec::new()).expect("nothing adds up").processes.len(), 0);
}

#[test]
fn processes_of_which_one_was_only_sampled_do_not_add_up() {
    let apart = combine(vec![process("locks", 30, 0), process("sampled", 40, 0)]);
    assert_eq!(apart, Err(MergeError::Differs("their engines do not measure the same")));
}

#[test]
fn a_file_in_a_file_in_a_file_is_refused() {
    let mut inner = combine(three()).expect("they add up");
    inner.target.pid = 7;
    let outer = Profile { processes: vec![Arc::new(inner), process("locks", 50, 0)], ..Profile::default() };
    let file = Encoder::default().member(&outer);
    assert!(matches!(decode(&file), Err(DecodeError::Nested)), "{:?}", decode(&file).map(drop));
}

/// Crossings and locks of a process that had ended once lasted to the end of the others.
#[test]
fn what_lasts_ends_with_its_process() {
    let lasting = |pid, begin| {
        let mut one = Profile::clone(&process("locks", pid, begin));
        let timeline = Arc::make_mut(&mut one.timeline);
        timeline.locked = vec![Locked { tid: 7, goid: 20, from_ns: 5, ..Locked::default() }];
        timeline.crossings =
            vec![SlowCrossing { tid: 7, called_ns: 6, c_ns: Some(3), open: true, ..SlowCrossing::default() }];
        Arc::new(one)
    };
    let (early, late) = (lasting(30, 0), lasting(40, 2_000_000_000));
    let whole = combine(vec![early.clone(), late]).expect("they add up");
    let locked: Vec<_> = whole.timeline.locked.iter().map(|locked| (locked.process, locked.to_ns)).collect();
    assert_eq!(locked, [(0, Some(early.recording.duration_ns)), (1, None)]);
    let open: Vec<_> = whole.timeline.crossings.iter().map(|one| (one.process, one.open)).collect();
    assert_eq!(open, [(0, false), (1, true)]);
}

#[test]
fn goroutines_of_one_number_keep_their_functions() {
    let with = |pid, function| {
        let mut one = Profile::clone(&process("locks", pid, u64::from(pid)));
        one.goroutines = vec![Goroutine { goid: 20, function: Some(FunctionId(function)), ..Goroutine::default() }];
        Arc::new(one)
    };
    let whole = combine(vec![with(30, 0), with(40, 1)]).expect("they add up");
    let name = |goroutine: &Goroutine| whole.functions[goroutine.function.expect("a function").0].name.clone();
    for (process, function) in [(0, 0), (1, 1)] {
        let one = whole.goroutines.iter().find(|one| one.process == process).expect("a goroutine");
        assert_eq!(name(one), whole.processes[process].functions[function].name);
    }
}

#[test]
fn notes_say_of_which_processes_they_are() {
    let noting = |pid, notes: &[&str]| {
        let mut one = Profile::clone(&process("locks", pid, u64::from(pid)));
        one.recording.notes = notes.iter().map(|&note| note.to_owned()).collect();
        Arc::new(one)
    };
    let whole =
        combine(vec![noting(1, &["a", "b"]), noting(2, &["b"]), noting(3, &["b", "c"]), noting(4, &["b", "c"])]);
    assert_eq!(
        whole.expect("they add up").recording.notes,
        ["scheduler (1): a", "each of the 4 processes: b", "scheduler (3), scheduler (4): c"]
    );
}

/// The idle time of locked threads was once lost in all sums.
#[test]
fn idle_time_of_locked_threads_adds_up() {
    let one = process("locks", 30, 0);
    let idle = |profile: &Profile| profile.locks.iter().map(|lock| lock.idle_ns).sum::<Option<f64>>();
    let expected = idle(&one).expect("it is known");
    assert!(expected > 0.0);
    let whole = combine(vec![one, process("locks", 40, 7)]).expect("they add up");
    assert!(idle(&whole).is_some_and(|found| (found - 2.0 * expected).abs() < 1.0), "{:?}", idle(&whole));
}

/// Two kilobytes of it once took a gigabyte of memory.
#[test]
fn a_file_of_empty_processes_is_refused() {
    // Field 2026, of version 2, with so many empty fields 10.
    let message = |processes: usize| {
        let mut content = vec![0x08, 0x02];
        (0..processes).for_each(|_| content.extend([0x52, 0x00]));
        let mut message = vec![0xd2, 0x7e];
        prost::encoding::encode_varint(content.len() as u64, &mut message);
        message.extend(content);
        message
    };
    for processes in [0, 1, 3] {
        assert!(matches!(decode_message(&message(processes)), Err(DecodeError::NotOurs)), "{processes}");
    }
    assert!(matches!(decode_message(&message(1_000_000)), Err(DecodeError::Processes(MergeError::TooMany))));
}

#[test]
fn files_one_after_the_other_are_refused_where_one_has_several_processes() {
    let (whole, one) = (combine(three()).expect("they add up"), process("locks", 7, 0));
    let member = |profile: &Profile| Encoder::default().member(profile);
    for (first, second) in [(&whole, &*one), (&*one, &whole), (&whole, &whole)] {
        let both = [member(first), member(second)].concat();
        assert!(matches!(decode(&both), Err(DecodeError::Mixed)), "{:?}", decode(&both).map(drop));
    }
}
