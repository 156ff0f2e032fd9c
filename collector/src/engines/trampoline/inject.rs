//! Puts the hooks into a program, before its first instruction or while it runs.
//!
//! There are three steps. Hooks and tables are mapped. The program's code is changed to lead to the hooks, which do
//! nothing yet. The hooks are switched on. If the recorder is killed at any step, the program keeps running unharmed.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use cgoprof_hook::params::Params;
use cgoprof_hook::registration::{Registration, Replaced, UNDO, Undo};
use cgoprof_symbols::{Avma, Svma};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};

use super::blob;
use super::ceiling::{self, Cramped, Free};
use super::module::{self, Link};
use super::policy::Timing;
use super::registration;
use super::tables::{CELLS_OF_MODULE, Tables};
use crate::arch::{self, Registers};
use crate::clock::ticks;
use crate::goruntime::Image;
use crate::goruntime::plan::{GoroutineSlot, Hook, Plan};
use crate::process::address_space::AddressSpace;
use crate::process::free_memory;
use crate::process::maps::{self, Mapping};
use crate::process::memory::Memory;
use crate::process::remote_syscall::{CodeCave, DATA, Remote, RemoteError, Stopped};
use crate::process::seccomp::{self, Call, Filtered};

const _: () = assert!(ceiling::LARGEST / 64 <= CELLS_OF_MODULE as u64);

/// Reason why the hooks could not be put in. The program is left as it was.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// A call in the program failed, or its memory can't be reached.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The tables would take memory that the program needs.
    #[error(transparent)]
    Cramped(#[from] Cramped),
    /// Its seccomp filters restrict the system calls that are needed.
    #[error(transparent)]
    Filtered(#[from] Filtered),
    /// The recorder's side of the shared memory failed.
    #[error("the shared tables can't be made: {0}")]
    Tables(std::io::Error),
    /// No memory is free within reach of a call.
    #[error("there is no free memory within 2 GiB of the program's code")]
    NoPlace,
    /// The loaded code is not the file's.
    #[error("the code of {0} in memory is not that of the file")]
    Changed(String),
    /// The dynamic linker is still loading it.
    #[error("it is just being loaded")]
    Loading,
    /// The process's start data can't be read.
    #[error("its auxiliary vector can't be read")]
    Auxv,
}

/// Returns the system calls that attach and detach make in the program.
pub(super) fn calls() -> [Call; 10] {
    let mmap = |size, (protection, flags): (i32, i32), fd| Call {
        number: libc::SYS_mmap,
        args: [0, size, protection as u64, flags as u64, fd, 0],
    };
    let madvise = |advice: i32| Call { number: libc::SYS_madvise, args: [0, 0, advice as u64, 0, 0, 0] };
    [
        Call { number: libc::SYS_memfd_create, args: [0, FILE, 0, 0, 0, 0] },
        // If the seccomp check tries this call, there is no descriptor.
        mmap(4096, TABLES, u64::MAX),
        Call::of(libc::SYS_munlock),
        mmap(4096, HOOKS, u64::MAX),
        mmap(4096, MODULE, u64::MAX),
        madvise(libc::MADV_WIPEONFORK),
        madvise(libc::MADV_DONTDUMP),
        madvise(libc::MADV_NOHUGEPAGE),
        Call { number: libc::SYS_close, args: [u64::MAX, 0, 0, 0, 0, 0] },
        Call::of(libc::SYS_munmap),
    ]
}

/// Flags of the tables' file.
const FILE: u64 = (libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) as u64;
/// Protection and flags of the mappings.
const TABLES: (i32, i32) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_NORESERVE);
const HOOKS: (i32, i32) =
    (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE);
const MODULE: (i32, i32) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);

/// Settings of the hooks.
#[derive(Clone, Copy, Debug)]
pub struct HookSettings {
    /// Maximum frames per stack.
    pub max_frames: usize,
    /// How often crossings are timed.
    pub timing: Timing,
    /// Ticks in C that make a crossing an event.
    pub slow: u64,
    /// Maximum bytes of the program's memory for the tables; none for a share of what is free to it.
    pub max_memory: Option<u64>,
    /// Whether the program is about to start. Then its Go runtime gets a module that tells how to unwind through the
    /// hooks. The module's memory stays with the program: code that has found a function in it may use that at any
    /// later time.
    pub starts: bool,
    /// Whether processes that leave the program wait until they are followed.
    pub follow: bool,
}

/// Hooks that are mapped into a program. Nothing leads to them yet.
pub struct Placed {
    /// The tables.
    pub tables: Tables,
    /// Address range of the hooks' code.
    pub hooks: Range<Avma>,
    /// Their module, for the Go runtime.
    pub(crate) module: Option<Link>,
    replaced: Vec<(Hook, Replaced)>,
}

/// Lets the dynamic linker do its work in a program that is stopped at its first instruction, and puts the hooks in.
///
/// # Errors
/// See [`InjectError`].
pub(crate) fn inject(
    stopped: &mut Stopped,
    image: Image<'_, '_>,
    plan: &Plan,
    settings: HookSettings,
) -> Result<Placed, InjectError> {
    seccomp::check(stopped.pid(), &calls())?;
    // From the entry point on, all libraries that the program is linked with are mapped.
    stopped.run_to(image.target.binary.entry().loaded(image.bias))?;
    let mappings = maps::read(stopped.pid()).map_err(RemoteError::from)?;
    let mut remote = stopped.remote(CodeCave::find(&mappings)?);
    let placed = place(&mut remote, image, plan, settings)?;
    placed.lead_to_hooks(remote.memory)?;
    placed.switch_on(remote.memory)?;
    Ok(placed)
}

/// Maps the hooks and tables into a program.
///
/// # Errors
/// See [`InjectError`].
pub(super) fn place(
    remote: &mut Remote<'_>,
    image: Image<'_, '_>,
    plan: &Plan,
    settings: HookSettings,
) -> Result<Placed, InjectError> {
    for patch in &plan.patches {
        let found = remote.memory.read(patch.at.loaded(image.bias), patch.original.len());
        if found.map_err(RemoteError::from)? != patch.original {
            return Err(InjectError::Changed(patch.function.clone()));
        }
    }
    let goroutine = goroutine_offset(remote.memory, image, plan)?;
    let code_size = blob::len(places(plan)).next_multiple_of(8);
    let undo_size = size_of::<Undo>() + plan.patches.len() * size_of::<Replaced>();
    let size = (code_size + undo_size as u64).next_multiple_of(4096);

    let tables = map_tables(remote, image.bias, settings)?;
    if settings.follow {
        tables.open_gate();
    }
    let nothing = Registration { size: tables.size(), ..Registration::default() };
    // The tables are mapped first, because they tell where the rest is. They may lie near the program's code.
    let mappings = maps::read(remote.pid).map_err(RemoteError::from).map_err(InjectError::from);
    let place = match mappings.and_then(|mappings| free_place(&mappings, image, size)) {
        Ok(place) => place,
        Err(error) => {
            registration::unmap(remote, tables.address(), &nothing)?;
            return Err(error);
        }
    };
    let presence = Registration {
        size: tables.size(),
        hooks: place.0,
        hooks_size: size,
        undo: place.0 + code_size,
        target: remote.pid.as_raw() as u64,
        ..registration::own()
    };
    tables.announce(presence);
    if let Err(error) = map_hooks(remote, place, size) {
        // The mapping at this place is the program's own.
        registration::unmap(remote, tables.address(), &nothing)?;
        return Err(error);
    }
    let filled = wipe_on_fork(remote, place).and_then(|()| {
        let replaced = replacements(plan, image.bias, place)?;
        let code = fill(remote.memory, place, image, (plan, goroutine), &tables, settings)?;
        // When a plugin is loaded, the runtime writes to the modules before it. The hooks' module is read-only.
        let module = if settings.starts && plan.lastmoduleinit.is_none() {
            add_module(remote, image, plan, &code, place)?
        } else {
            None
        };
        let undo = undo_list(image, plan, (goroutine, place), module, &replaced);
        remote.memory.write(Avma(presence.undo), &undo).map_err(RemoteError::from)?;
        Ok((replaced, module))
    });
    let (replaced, module) = match filled {
        Ok(filled) => filled,
        Err(error) => {
            registration::unmap(remote, tables.address(), &presence)?;
            return Err(error);
        }
    };
    Ok(Placed { tables, hooks: place..Avma(place.0 + code_size), module, replaced })
}

impl Placed {
    /// Returns the addresses to which C functions return that the hooks call.
    pub(crate) fn returns_from_c(&self) -> Vec<Avma> {
        blob::returns_from_c().iter().map(|offset| Avma(self.hooks.start.0 + offset)).collect()
    }

    /// Returns the registers with which a thread amid code to be replaced continues: it does the rest of that code
    /// elsewhere. None for other threads. Only the C hook and the epilogues replace more than one instruction.
    pub(super) fn beyond(&self, registers: &Registers, memory: &Memory) -> Result<Option<Registers>, RemoteError> {
        let amid = |one: &Replaced| one.at < registers.ip() && registers.ip() < one.at + one.length;
        let Some((hook, one)) = self.replaced.iter().find(|(_, one)| amid(one)) else { return Ok(None) };
        if let Some(repeated) = blob::epilogue(*hook) {
            return Ok(Some(registers.at(self.hooks.start.0 + repeated + (registers.ip() - one.at))));
        }
        // Only the jump to C, or the call of C, is left to do.
        let (changed, pushes) = arch::in_c(registers, &one.original);
        if pushes {
            memory.write(Avma(changed.sp()), &(one.at + one.length).to_le_bytes())?;
        }
        Ok(Some(changed))
    }

    /// Checks that the hooks are still there. A program that has become another has none.
    ///
    /// # Errors
    /// If they are not.
    pub(super) fn check_hooks(&self, memory: &Memory) -> Result<(), InjectError> {
        // The undo list is behind the hooks' code.
        let are_there = memory.word(self.hooks.end).ok() == Some(UNDO);
        if are_there { Ok(()) } else { Err(RemoteError::Became.into()) }
    }

    /// Checks that a program that has run meanwhile is the same, and its code too.
    ///
    /// # Errors
    /// If it has become another program, or its code was changed.
    pub(super) fn check(&self, memory: &Memory, plan: &Plan) -> Result<(), InjectError> {
        self.check_hooks(memory)?;
        for ((_, one), patch) in self.replaced.iter().zip(&plan.patches) {
            let found = memory.read(Avma(one.at), one.length as usize).map_err(RemoteError::from)?;
            if found != patch.original {
                return Err(InjectError::Changed(patch.function.clone()));
            }
        }
        Ok(())
    }

    /// Makes the program's code lead to the hooks, which do nothing yet. The program must be stopped.
    ///
    /// # Errors
    /// If it ends meanwhile.
    pub(super) fn lead_to_hooks(&self, memory: &Memory) -> Result<(), RemoteError> {
        // The enter hook comes first, because the C hook takes what the enter hook left.
        for (_, one) in &self.replaced {
            memory.write(Avma(one.at), &one.hooked[..one.length as usize])?;
        }
        Ok(())
    }

    /// Switches the hooks on. The program may run: the other hooks ignore a crossing whose enter hook was off.
    ///
    /// # Errors
    /// If it has ended.
    pub(super) fn switch_on(&self, memory: &Memory) -> Result<(), RemoteError> {
        Ok(memory.write(self.hooks.start, &self.tables.address().0.to_le_bytes())?)
    }
}

fn places(plan: &Plan) -> usize {
    plan.patches.iter().filter(|patch| patch.hook.is_amid()).count()
}

fn free_place(mappings: &[Mapping], image: Image<'_, '_>, size: u64) -> Result<Avma, InjectError> {
    let extent = image.target.binary.extent();
    let (start, end) = (extent.start.loaded(image.bias), extent.end.loaded(image.bias));
    maps::free_place(mappings, Avma(start.0 & !4095), end, size).ok_or(InjectError::NoPlace)
}

fn map_hooks(remote: &mut Remote<'_>, place: Avma, size: u64) -> Result<(), InjectError> {
    let args = [place.0, size, HOOKS.0 as u64, HOOKS.1 as u64, u64::MAX, 0];
    let got = remote.call("mmap of the hooks", libc::SYS_mmap, args, &[])?;
    if got != place.0 {
        // A kernel before 4.17 takes the place as a hint only.
        remote.call("munmap", libc::SYS_munmap, [got, size, 0, 0, 0, 0], &[])?;
        return Err(InjectError::NoPlace);
    }
    Ok(())
}

fn wipe_on_fork(remote: &mut Remote<'_>, place: Avma) -> Result<(), InjectError> {
    let args = [place.0, blob::PARAMS, libc::MADV_WIPEONFORK as u64, 0, 0, 0];
    remote.call("madvise(MADV_WIPEONFORK)", libc::SYS_madvise, args, &[])?;
    Ok(())
}

fn map_tables(remote: &mut Remote<'_>, bias: u64, settings: HookSettings) -> Result<Tables, InjectError> {
    let before = AddressSpace::of(remote.pid);
    let address_space = before.free().zip(before.limit);
    let free = Free { memory: free_memory::of(remote.pid), address_space, starts: settings.starts };
    let size = ceiling::of(free, settings.max_memory)?;
    let args = [DATA, FILE, 0, 0, 0, 0];
    let fd = remote.call("memfd_create", libc::SYS_memfd_create, args, registration::NAME)?;
    let opened = File::options().read(true).write(true).open(remote.descriptor(fd)).and_then(|file| {
        // The program may have closed the descriptor, and opened another file with the same number.
        if !registration::is_ours(&PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))) {
            return Err(std::io::Error::other("the program closes files that are not its own"));
        }
        // If the file were made shorter while the recorder reads it, the recorder would be killed. The call fails if
        // the program, which is running, has sealed the file first.
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL))?;
        file.set_len(4096)?;
        file.write_all_at(&[0], 0)?;
        Ok(file)
    });
    let mapped = opened.map_err(InjectError::Tables).and_then(|file| {
        let args = [0, size, TABLES.0 as u64, TABLES.1 as u64, fd, 0];
        let mapped = match remote.call("mmap of the tables", libc::SYS_mmap, args, &[]) {
            // The size is more than the program may lock, and all of it counts (MCL_FUTURE; mm/mmap.c,
            // `mlock_future_ok`).
            Err(RemoteError::Call(_, Errno::EAGAIN)) => return Err(Cramped::Locked { needed: size }.into()),
            mapped => mapped?,
        };
        if AddressSpace::of(remote.pid).locked >= before.locked + size {
            // If this is refused, no more is locked than the file's length.
            match remote.call("munlock of the tables", libc::SYS_munlock, [mapped, size, 0, 0, 0, 0], &[]) {
                Err(RemoteError::Call(..)) => {}
                unlocked => drop(unlocked?),
            }
        }
        // Keeps the tables out of the program's core dumps, and out of huge pages, which are larger than what is used.
        // Kernels without these features need no advice.
        for advice in [libc::MADV_DONTDUMP, libc::MADV_NOHUGEPAGE] {
            let args = [mapped, size, advice as u64, 0, 0, 0];
            match remote.call("madvise of the tables", libc::SYS_madvise, args, &[]) {
                Err(RemoteError::Call(..)) => {}
                advised => drop(advised?),
            }
        }
        Ok((file, Avma(mapped)))
    });
    if registration::is_ours(&remote.descriptor(fd)) {
        remote.call("close", libc::SYS_close, [fd, 0, 0, 0, 0, 0], &[])?;
    }
    let (file, mapped) = mapped?;
    match Tables::map(file, size, mapped, bias, remote.pid) {
        Ok(tables) => Ok(tables),
        Err(error) => {
            registration::unmap(remote, mapped, &Registration { size, ..Registration::default() })?;
            Err(InjectError::Tables(error))
        }
    }
}

/// Returns the offset from FS at which a thread keeps its g.
///
/// # Errors
/// If the library is not completely loaded yet.
pub(super) fn goroutine_offset(memory: &Memory, image: Image<'_, '_>, plan: &Plan) -> Result<i32, InjectError> {
    match plan.goroutine {
        GoroutineSlot::At(offset) => Ok(offset),
        GoroutineSlot::Stated(at) => {
            let word = memory.word(at.loaded(image.bias)).map_err(RemoteError::from)?;
            i32::try_from(word as i64).ok().filter(|&offset| offset < 0).ok_or(InjectError::Loading)
        }
    }
}

/// Returns the replaced code with its replacements, in the order of the plan.
fn replacements(plan: &Plan, bias: u64, place: Avma) -> Result<Vec<(Hook, Replaced)>, InjectError> {
    // Each place amid a function has a piece of code of its own. The pieces are in the order of the repeated
    // instructions.
    let place_of = |at: Svma| plan.displaced.iter().filter(|one| one.hook.is_amid()).position(|one| one.at == at);
    let replaced = plan.patches.iter().map(|patch| {
        let at = patch.at.loaded(bias).0;
        let hook = match patch.hook {
            hook if hook.is_amid() => blob::place(place_of(patch.at).ok_or(InjectError::NoPlace)?),
            hook => blob::entry(hook, plan.p_stays_wired),
        };
        let bytes = arch::patch_bytes(patch, at, place.0 + hook).ok_or(InjectError::NoPlace)?;
        let mut one = Replaced { at, length: bytes.len() as u64, original: [0; 16], hooked: [0; 16] };
        one.original[..bytes.len()].copy_from_slice(&patch.original);
        one.hooked[..bytes.len()].copy_from_slice(&bytes);
        Ok((patch.hook, one))
    });
    replaced.collect()
}

/// Writes the hooks' code, adapted to this program, and returns it.
fn fill(
    memory: &Memory,
    place: Avma,
    image: Image<'_, '_>,
    (plan, goroutine): (&Plan, i32),
    tables: &Tables,
    settings: HookSettings,
) -> Result<Vec<u8>, InjectError> {
    let params = params(image, plan, goroutine, tables, settings);
    let repeated = plan.displaced.iter().map(|displaced| blob::Repeated {
        hook: displaced.hook,
        code: &displaced.code,
        back: displaced.back.map(|back| back.loaded(image.bias).0),
    });
    let code = blob::assemble(&params, place.0, &repeated.collect::<Vec<_>>()).ok_or(InjectError::NoPlace)?;
    memory.write(place, &code).map_err(RemoteError::from)?;
    Ok(code)
}

/// Maps a module of the Go runtime for the hooks. Nothing leads to it yet. None if there can be no module.
fn add_module(
    remote: &mut Remote<'_>,
    image: Image<'_, '_>,
    plan: &Plan,
    code: &[u8],
    hooks: Avma,
) -> Result<Option<Link>, InjectError> {
    let build = |place: Avma| module::build(image, plan, code, hooks, place);
    let (Some(layout), Some(size)) = (plan.module, build(Avma(0)).map(|bytes| bytes.len())) else { return Ok(None) };
    let args = [0, (size as u64).next_multiple_of(4096), MODULE.0 as u64, MODULE.1 as u64, u64::MAX, 0];
    let place = Avma(remote.call("mmap of the hooks' module", libc::SYS_mmap, args, &[])?);
    if let Some(bytes) = build(place) {
        remote.memory.write(place, &bytes).map_err(RemoteError::from)?;
    }
    Ok(Some(Link::new(layout, image.bias, place)))
}

/// Returns the undo list, which is written behind the hooks' code. The enter hook is last in it.
fn undo_list(
    image: Image<'_, '_>,
    plan: &Plan,
    (goroutine, place): (i32, Avma),
    module: Option<Link>,
    replaced: &[(Hook, Replaced)],
) -> Vec<u8> {
    let (go, attach) = (image.target.go_text(image.bias), blob::attach());
    let undo = Undo {
        magic: UNDO,
        count: replaced.len() as u64,
        go_start: go.start.0,
        go_end: go.end.0,
        attach_start: place.0 + attach.start,
        attach_end: place.0 + attach.end,
        goroutine: goroutine as u64,
        m_procid: plan.offsets.m_procid.into(),
        taken: plan.frames.taken.into(),
        saved_g: plan.frames.saved_g.into(),
        saved_depth: plan.frames.saved_depth.into(),
        module_link: module.map_or(0, |link| link.from.0),
        module: module.map_or(0, |link| link.module.0),
        module_next: module.map_or(0, |link| link.next.0),
    };
    // SAFETY: both are plain numbers without padding.
    let bytes = |from: *const u8, size: usize| unsafe { std::slice::from_raw_parts(from, size) };
    let mut list = bytes((&raw const undo).cast(), size_of::<Undo>()).to_vec();
    for (_, one) in replaced.iter().rev() {
        list.extend_from_slice(bytes((&raw const *one).cast(), size_of::<Replaced>()));
    }
    list
}

fn params(image: Image<'_, '_>, plan: &Plan, goroutine: i32, tables: &Tables, settings: HookSettings) -> Params {
    let loaded = |address: Svma| address.loaded(image.bias).0;
    let range = |range: &Range<Svma>| [loaded(range.start), loaded(range.end)];
    let (frames, extent) = (plan.frames, image.target.binary.extent());
    let mut newm1 = [[0; 2]; 3];
    newm1.iter_mut().zip(&plan.newm1).for_each(|(place, found)| *place = range(found));
    Params {
        tables: tables.address().0,
        entersyscall: loaded(plan.entersyscall),
        exitsyscall: loaded(plan.exitsyscall),
        reentersyscall: plan.reentersyscall.map_or(0, loaded),
        mcall: loaded(plan.mcall),
        lastmoduleinit: plan.lastmoduleinit.map_or(0, loaded),
        after_fork_in_child: plan.departures.after_fork_in_child.map_or(0, loaded),
        before_exec: plan.departures.before_exec.map_or(0, loaded),
        after_exec: plan.departures.after_exec.map_or(0, loaded),
        cgocallbackg1: loaded(plan.cgocallbackg1),
        needm: loaded(plan.needm),
        newm1,
        lock_os_thread: plan.lock_os_thread.as_ref().map_or([0; 2], range),
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
        goroutine: goroutine as u64,
        saved_g: frames.saved_g.into(),
        saved_depth: frames.saved_depth.into(),
        to_frame: frames.to_frame.into(),
        to_return: frames.to_return.into(),
        to_slots: u64::from(frames.to_return) + 8,
        spilled_fn: frames.spilled_fn.into(),
        spilled_arg: frames.spilled_arg.into(),
        indirect_fn: plan.purego.map_or(0, loaded),
        stack_arena_end: tables.stacks_end(),
        arena_end: tables.size(),
        own_start: loaded(extent.start),
        own_end: loaded(extent.end),
        max_frames: settings.max_frames as u64,
        slow: settings.slow,
        first_interval: settings.timing.first_interval().into(),
        begun: ticks(),
    }
}

/// Returns the address of a hook, for calibration in the recorder's own process.
pub(super) fn hook_address(place: u64, hook: Hook) -> u64 {
    place + blob::entry(hook, true)
}
