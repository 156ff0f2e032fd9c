//! `cgoprof inspect`: what is in a binary and what cgoprof would do to it.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use cgoprof_collector::target::Target;
use cgoprof_collector::target::inspection::Inspection;
use cgoprof_collector::target::plan::Plan;
use cgoprof_viewer::units::printable;
use memmap2::Mmap;

/// Show a binary's Go version, cgo functions and the plan to patch it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Binary to look at
    binary: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let shown = args.binary.display();
    let file = File::open(&args.binary).with_context(|| format!("cannot read {shown}"))?;
    // SAFETY: a binary that is cut off while we look at it ends us, and nobody else.
    let data = unsafe { Mmap::map(&file) }.with_context(|| format!("cannot read {shown}"))?;
    let target = Target::parse(&data).map_err(|error| anyhow::anyhow!("{shown}: {error}"))?;
    let found = Inspection::new(&target);

    println!("{shown}");
    println!("  Go version    {}", printable(&found.go_version));
    println!(
        "  build         {}{}",
        if found.pie { "PIE" } else { "fixed address" },
        if found.stripped { ", stripped" } else { "" }
    );
    println!("  CGO_ENABLED   {}", found.cgo_enabled.as_deref().map_or("not recorded".into(), printable));
    println!("  build id      {}", found.build_id.as_deref().unwrap_or("none"));
    println!("  Go functions  {}", found.functions);
    println!("\nC functions with a Go wrapper: {}", found.c_functions.len());
    for function in &found.c_functions {
        println!("  {}  ({})", printable(&function.name), printable(&function.package));
    }
    println!();
    match &found.plan {
        Ok(plan) => print_plan(plan),
        Err(error) => println!("engine trampoline: can't be used: {error}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn print_plan(plan: &Plan) {
    println!("engine trampoline: {} patches", plan.patches.len());
    for patch in &plan.patches {
        let bytes: String = patch.original.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("  {:<13}  {}  {:<20}  in {}", format!("{:?}", patch.hook), patch.at, bytes, patch.function);
    }
    let frames = plan.frames;
    println!(
        "  frames         saved g +{:#x}, depth +{:#x}, frame +{:#x}",
        frames.saved_g, frames.saved_depth, frames.to_frame
    );
    println!("  arguments      fn +{:#x}, arg +{:#x}", frames.spilled_fn, frames.spilled_arg);
    let offsets = plan.offsets;
    println!(
        "  runtime.m      id {}, procid {}, p {}, lockedExt {}",
        offsets.m_id, offsets.m_procid, offsets.m_p, offsets.m_locked_ext
    );
    if let Some(purego) = plan.purego {
        println!("  purego         trampoline at {purego}: the C function is its argument's first word");
    }
}
