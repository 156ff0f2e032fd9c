//! The hooks' code, as built by `build.rs`, and its adaptation to one target.

use cgoprof_hook::params::{Params, immediates};
use memchr::memmem;

use crate::arch;
use crate::goruntime::plan::Hook;

/// The page that a fork wipes, parameters, code and constants, with nothing filled in.
static BLOB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hook.bin"));

mod symbols {
    include!(concat!(env!("OUT_DIR"), "/hook_symbols.rs"));
}

/// Offset of the parameters. The word that switches the hooks on is alone on the page before them.
pub(super) const PARAMS: u64 = 4096;

/// Bytes for the repeated epilogue at the end of a thunk.
const ROOM: usize = 16;

/// Bytes of the code of one place amid a function: the replaced instruction, a call of the hook, and a jump back.
const PLACE: usize = 32;

/// Returns the bytes of the hooks' code with this many places amid functions.
pub(super) fn len(places: usize) -> u64 {
    places_start() + (places * PLACE) as u64
}

fn places_start() -> u64 {
    (BLOB.len() as u64).next_multiple_of(PLACE as u64)
}

/// Offset of the code of the place with this number.
pub(super) fn place(number: usize) -> u64 {
    places_start() + (number * PLACE) as u64
}

/// Offset of a hook's first instruction.
pub(super) fn entry(hook: Hook, p_stays_wired: bool) -> u64 {
    match hook {
        Hook::Enter => symbols::THUNK_ENTER,
        Hook::C if p_stays_wired => symbols::THUNK_C_WIRED,
        Hook::C => symbols::THUNK_C_RELEASED,
        Hook::Exit => symbols::THUNK_EXIT,
        Hook::CallbackBegin => symbols::THUNK_CALLBACK_BEGIN,
        Hook::CallbackAcquired => symbols::THUNK_CALLBACK_ACQUIRED,
        Hook::CallbackEnd => symbols::THUNK_CALLBACK_END,
        Hook::CallbackEndInlined => symbols::THUNK_CALLBACK_END_INLINED,
        Hook::CallbackRelease => symbols::THUNK_CALLBACK_RELEASE,
        Hook::Attach => symbols::THUNK_ATTACH,
        Hook::Unwind => symbols::THUNK_UNWIND,
        Hook::Park => symbols::THUNK_PARK,
        Hook::PluginLoaded => symbols::THUNK_PLUGIN_LOADED,
        Hook::Forked => symbols::THUNK_FORKED,
        Hook::Executes => symbols::THUNK_EXECUTES,
        Hook::Stays => symbols::THUNK_STAYS,
        Hook::Lock => symbols::THUNK_LOCK,
        Hook::Unlock => symbols::THUNK_UNLOCK,
    }
}

/// Offsets to which C functions return.
pub(super) fn returns_from_c() -> &'static [u64] {
    symbols::FROM_C
}

/// Offset of the C hooks, which are adjacent.
pub(super) fn c_thunks() -> u64 {
    symbols::THUNK_C_WIRED.min(symbols::THUNK_C_RELEASED)
}

/// Offsets of the hook that calls the function that gets an M.
pub(super) fn attach() -> std::ops::Range<u64> {
    symbols::THUNK_ATTACH..symbols::THUNK_PARK
}

/// Offset of the epilogue that a hook repeats, byte for byte, if it repeats one.
pub(super) fn epilogue(hook: Hook) -> Option<u64> {
    match hook {
        Hook::Exit => Some(symbols::THUNK_EXIT_EPILOGUE),
        Hook::CallbackRelease => Some(symbols::THUNK_CALLBACK_RELEASE_EPILOGUE),
        _ => None,
    }
}

/// Instructions that a hook repeats.
pub(super) struct Repeated<'a> {
    /// The hook.
    pub(super) hook: Hook,
    /// The instructions.
    pub(super) code: &'a [u8],
    /// Where the program continues, amid a function; none after an epilogue.
    pub(super) back: Option<u64>,
}

/// Returns the code for one target, to be placed at `place`.
///
/// None if the pieces don't fit. The plan keeps them short enough for their places.
pub(super) fn assemble(params: &Params, place: u64, repeated: &[Repeated<'_>]) -> Option<Vec<u8>> {
    let mut code = BLOB.to_vec();
    // SAFETY: Params is a repr(C) struct of u64 without padding.
    let bytes = unsafe { std::slice::from_raw_parts((&raw const *params).cast::<u8>(), size_of::<Params>()) };
    code[PARAMS as usize..][..bytes.len()].copy_from_slice(bytes);

    fill_holes(&mut code, params)?;
    fill_jumps(&mut code, place, params.entersyscall)?;
    let (amid, epilogues): (Vec<_>, Vec<_>) = repeated.iter().partition(|one| one.hook.is_amid());
    for one in epilogues {
        let at = epilogue(one.hook)? as usize;
        code.get_mut(at..at + ROOM)?.get_mut(..one.code.len())?.copy_from_slice(one.code);
    }
    for (number, one) in amid.into_iter().enumerate() {
        code.resize(self::place(number) as usize, arch::PADDING);
        let (start, thunk) = (place + self::place(number), place + entry(one.hook, true));
        code.extend(arch::repeat_and_call(one.code, start, thunk, one.back?)?);
        if code.len() as u64 > self::place(number + 1) {
            return None;
        }
    }
    Some(code)
}

/// Replaces the displacements that the thunks were assembled with.
fn fill_holes(code: &mut [u8], params: &Params) -> Option<()> {
    let result = params.to_slots + 16;
    let values = [
        (immediates::M_P, params.m_p),
        (immediates::M_LOCKED_EXT, params.m_locked_ext),
        (immediates::SPILLED_FN, params.spilled_fn),
        (immediates::FRAME_RESULT, result.wrapping_sub(params.to_frame)),
        (immediates::RESULT, result),
        (immediates::RETURN, params.to_return),
        (immediates::FIRST_SLOT, params.to_slots),
        (immediates::SAVED_G, params.saved_g),
        (immediates::GOROUTINE, params.goroutine),
        (immediates::G_GOID, params.g_goid),
        (immediates::AFTER_ASMCGOCALL, params.after_asmcgocall),
        (immediates::SAVED_DEPTH_BELOW, params.saved_depth + immediates::FRAME),
        (immediates::SAVED_G_BELOW, params.saved_g + immediates::FRAME),
    ];
    values.into_iter().try_for_each(|(hole, value)| fill(code, hole, |_| Some(value as u32)))
}

/// Fills in the distances of the jumps to `entersyscall`.
fn fill_jumps(code: &mut [u8], place: u64, entersyscall: u64) -> Option<()> {
    fill(code, immediates::ENTERSYSCALL, |at| {
        arch::distance(place + at as u64 + 4, entersyscall).map(|distance| distance as u32)
    })
}

/// Fills in a hole wherever it occurs. None if it occurs nowhere, or its value doesn't fit.
fn fill(code: &mut [u8], hole: u32, value: impl Fn(usize) -> Option<u32>) -> Option<()> {
    let places: Vec<usize> = memmem::find_iter(code, &hole.to_le_bytes()).collect();
    for &at in &places {
        code[at..at + 4].copy_from_slice(&value(at)?.to_le_bytes());
    }
    (!places.is_empty()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_need_little_of_a_goroutines_stack() {
        let hooks = [
            Hook::Enter,
            Hook::Exit,
            Hook::CallbackBegin,
            Hook::CallbackAcquired,
            Hook::CallbackEnd,
            Hook::CallbackEndInlined,
            Hook::CallbackRelease,
            Hook::Unwind,
            Hook::Park,
            Hook::PluginLoaded,
            Hook::Forked,
            Hook::Executes,
            Hook::Stays,
            Hook::Lock,
            Hook::Unlock,
        ];
        for hook in hooks {
            let bytes = arch::stack_use(BLOB, entry(hook, true));
            // A function without a stack check may use 800 bytes with all its callees (cmd/internal/objabi,
            // StackNosplit). LockOSThread takes 40 of these itself, and cgocall with its callees up to 500. The lock
            // hook keeps 240 bytes of vector registers. Those at the gate are called by functions with a stack check, which
            // have all of the 800 bytes left for what they call.
            let limit = match hook {
                Hook::Lock | Hook::Forked | Hook::Executes | Hook::Stays => 640,
                _ => 300,
            };
            assert!(bytes < limit, "{hook:?}: {bytes} bytes");
            assert!(bytes > 16, "{hook:?}: the walk found next to nothing");
        }
    }

    /// The hooks run on stacks that are not aligned.
    #[test]
    fn hooks_need_no_aligned_stack() {
        let start = entry(Hook::Enter, true);
        assert_eq!(arch::aligned_stack_accesses(BLOB, start), [0u64; 0]);
    }

    #[test]
    fn every_hole_is_filled() {
        let place = 0x40_0000;
        let params = Params { entersyscall: place, ..Params::default() };
        let code = assemble(&params, place, &[]).unwrap();
        let left = code.windows(4).filter(|bytes| bytes[1..] == [0, 0xed, 0x5e]).count();
        assert_eq!(left, 0);
        assert!(BLOB.windows(4).any(|bytes| bytes[1..] == [0, 0xed, 0x5e]));
    }

    #[test]
    fn what_is_out_of_reach_is_refused() {
        let params = Params { entersyscall: 1 << 40, ..Params::default() };
        assert_eq!(assemble(&params, 0, &[]), None);
        let check = |hook, length, back, fits| {
            let repeated = Repeated { hook, code: &[0x90; 32][..length], back };
            assert_eq!(assemble(&Params::default(), 0, &[repeated]).is_some(), fits, "{hook:?} {length} {back:?}");
        };
        check(Hook::Exit, 16, None, true);
        check(Hook::Exit, 17, None, false);
        for hook in [Hook::Unwind, Hook::Lock, Hook::Unlock, Hook::CallbackEndInlined] {
            check(hook, 11, Some(1000), true);
            check(hook, 23, Some(1000), false);
            check(hook, 11, Some(1 << 40), false);
            check(hook, 11, None, false);
        }
        check(Hook::Enter, 5, None, false);
    }
}
