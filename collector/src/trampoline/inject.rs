//! Putting the hooks into a program before its first instruction.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use cgoprof_hook::layout::{ARENA_OFFSET, THREADS_OFFSET};
use cgoprof_hook::params::Params;
use cgoprof_symbols::{Avma, Svma};

use super::blob;
use super::policy::Timing;
use super::tables::Tables;
use crate::process::auxv::load_bias;
use crate::process::maps::{self, Mapping};
use crate::process::remote::{RemoteError, Stopped};
use crate::target::Target;
use crate::target::plan::{Hook, Plan};

/// Bytes for cells. Only what is used takes memory.
const ARENA: u64 = 1 << 30;
/// Bytes at the arena's end kept for cells without a stack, so that a full table still knows its functions.
const RESERVE: u64 = 128 << 20;

/// Why the hooks could not be put in. The program's code is left as it was; pages mapped by then stay, unused.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// The program could not be worked on.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// Our side of the shared memory.
    #[error("the shared tables can't be made: {0}")]
    Tables(std::io::Error),
    /// No memory within reach of a call.
    #[error("there is no free memory within 2 GiB of the program's code")]
    NoPlace,
    /// The loaded code is not the file's.
    #[error("the code of {0} in memory is not that of the file")]
    Changed(String),
    /// The process's start data can't be read.
    #[error("its auxiliary vector can't be read")]
    Auxv,
}

/// What the hooks are to do.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most frames kept of a stack.
    pub max_frames: usize,
    /// How often crossings are timed.
    pub timing: Timing,
    /// Ticks in C from which on a crossing is an event.
    pub slow: u64,
}

/// What was put into a program.
pub struct Injected {
    /// The tables.
    pub tables: Tables,
    /// Where the hooks' code is.
    pub hooks: Range<Avma>,
    /// What was mapped into the program then.
    pub mappings: Vec<Mapping>,
}

/// Lets the dynamic linker do its work, maps the hooks and tables into the program and patches it.
///
/// # Errors
/// See [`InjectError`]: the program then has no hooks.
pub(crate) fn inject(
    stopped: &mut Stopped,
    target: &Target<'_>,
    plan: &Plan,
    settings: Settings,
) -> Result<Injected, InjectError> {
    let bias = load_bias(stopped.pid(), target).ok_or(InjectError::Auxv)?;
    // From here on all libraries that the program is linked with are mapped.
    stopped.run_to(target.binary.entry().loaded(bias))?;
    for patch in &plan.patches {
        if stopped.read(patch.at.loaded(bias), patch.original.len())? != patch.original {
            return Err(InjectError::Changed(patch.function.clone()));
        }
    }
    let unlocks = plan.patches.iter().filter(|patch| patch.hook == Hook::Unlock).count();
    let place = map_code(stopped, target, bias, blob::len(unlocks))?;
    let tables = map_tables(stopped, bias)?;

    let extent = target.binary.extent();
    let own = extent.start.loaded(bias)..extent.end.loaded(bias);
    let params = params(plan, bias, &tables, own, settings);
    let repeated = plan.displaced.iter().map(|displaced| blob::Repeated {
        hook: displaced.hook,
        code: &displaced.code,
        back: displaced.back.map(|back| back.loaded(bias).0),
    });
    let code = blob::assemble(&params, place.0, &repeated.collect::<Vec<_>>()).ok_or(InjectError::NoPlace)?;
    stopped.write(place, &code)?;

    let (mut written, mut unlock) = (Vec::new(), 0..);
    for patch in &plan.patches {
        let at = patch.at.loaded(bias);
        let hook = match patch.hook {
            // In the order of the plan, as they are repeated.
            Hook::Unlock => unlock.next().map_or(0, blob::unlock),
            hook => blob::entry(hook, plan.p_stays_wired),
        };
        let bytes = patch.bytes(at.0, place.0 + hook).ok_or(InjectError::NoPlace)?;
        if let Err(error) = stopped.write(at, &bytes) {
            for (at, original) in written {
                stopped.write(at, original)?;
            }
            return Err(error.into());
        }
        written.push((at, &patch.original));
    }
    let mappings = maps::read(stopped.pid()).unwrap_or_default();
    Ok(Injected { tables, hooks: place..Avma(place.0 + blob::len(unlocks)), mappings })
}

fn map_code(stopped: &mut Stopped, target: &Target<'_>, bias: u64, length: u64) -> Result<Avma, InjectError> {
    let mappings = maps::read(stopped.pid()).map_err(RemoteError::from)?;
    let extent = target.binary.extent();
    let (start, end) = (extent.start.loaded(bias), extent.end.loaded(bias));
    let place = maps::free_place(&mappings, Avma(start.0 & !4095), end, length).ok_or(InjectError::NoPlace)?;
    let protection = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE) as u64;
    let size = length.next_multiple_of(4096);
    let got = stopped.call("mmap of the hooks", libc::SYS_mmap, [place.0, size, protection, flags, u64::MAX, 0])?;
    if got == place.0 { Ok(place) } else { Err(InjectError::NoPlace) }
}

fn map_tables(stopped: &mut Stopped, bias: u64) -> Result<Tables, InjectError> {
    // A name for the mapping, written where the program's stack is not in use.
    let registers = nix::sys::ptrace::getregs(stopped.pid()).map_err(RemoteError::from)?;
    let name = Avma((registers.rsp - 256) & !15);
    stopped.write(name, b"cgoprof\0")?;
    let fd =
        stopped.call("memfd_create", libc::SYS_memfd_create, [name.0, u64::from(libc::MFD_CLOEXEC), 0, 0, 0, 0])?;
    let size = ARENA_OFFSET + ARENA;
    let path = format!("/proc/{}/fd/{fd}", stopped.pid());
    let opened = File::options().read(true).write(true).open(path).and_then(|file| {
        file.set_len(size)?;
        file.write_all_at(&[0], 0)?;
        Ok(file)
    });
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as u64;
    let flags = (libc::MAP_SHARED | libc::MAP_NORESERVE) as u64;
    let mapped = stopped.call("mmap of the tables", libc::SYS_mmap, [0, size, protection, flags, fd, 0]);
    stopped.call("close", libc::SYS_close, [fd, 0, 0, 0, 0, 0])?;
    let file = opened.map_err(InjectError::Tables)?;
    Tables::map(&file, size, Avma(mapped?), bias).map_err(InjectError::Tables)
}

fn params(plan: &Plan, bias: u64, tables: &Tables, own: Range<Avma>, settings: Settings) -> Params {
    let loaded = |address: Svma| address.loaded(bias).0;
    let frames = plan.frames;
    Params {
        tables: tables.address().0,
        threads: tables.address().0 + THREADS_OFFSET,
        entersyscall: loaded(plan.entersyscall),
        exitsyscall: loaded(plan.exitsyscall),
        reentersyscall: loaded(plan.reentersyscall),
        mcall: loaded(plan.mcall),
        cgocallbackg1: loaded(plan.cgocallbackg1),
        needm: loaded(plan.needm),
        newm1_start: loaded(plan.newm1.start),
        newm1_end: loaded(plan.newm1.end),
        lock_os_thread: plan.lock_os_thread.map_or(0, loaded),
        after_asmcgocall: loaded(plan.after_asmcgocall),
        after_exitsyscall: loaded(plan.after_exitsyscall),
        m_locked_ext: plan.offsets.m_locked_ext.into(),
        m_procid: plan.offsets.m_procid.into(),
        m_p: plan.offsets.m_p.into(),
        m_oldp: plan.offsets.m_oldp.into(),
        m_syscalltick: plan.offsets.m_syscalltick.into(),
        m_id: plan.offsets.m_id.into(),
        g_goid: plan.offsets.g_goid.into(),
        p_stays_wired: plan.p_stays_wired.into(),
        goroutine: plan.goroutine as u64,
        saved_g: frames.saved_g.into(),
        saved_depth: frames.saved_depth.into(),
        to_frame: frames.to_frame.into(),
        to_return: frames.to_return.into(),
        to_slots: u64::from(frames.to_return) + 8,
        spilled_fn: frames.spilled_fn.into(),
        spilled_arg: frames.spilled_arg.into(),
        indirect_fn: plan.purego.map_or(0, loaded),
        stack_arena_end: tables.size() - RESERVE,
        arena_end: tables.size(),
        own_start: own.start.0,
        own_end: own.end.0,
        max_frames: settings.max_frames as u64,
        slow: settings.slow,
        first_interval: settings.timing.first_interval().into(),
    }
}

/// Addresses of the hooks, for calibration in our own process.
pub(super) fn hook_address(place: u64, hook: Hook) -> u64 {
    place + blob::entry(hook, true)
}
