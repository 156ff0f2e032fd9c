//! `cgoprof inspect`: shows the facts of a binary, and what cgoprof would do to it.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use cgoprof_collector::goruntime::{Plan, ProbePlan, Target};
use cgoprof_collector::inspection::Inspection;
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
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        bail!("{shown} is not a regular file: give the path of a binary");
    }
    // SAFETY: a binary that is cut off while it is read ends this process, and no other.
    let data = unsafe { Mmap::map(&file) }.with_context(|| format!("cannot read {shown}"))?;
    let target = Target::parse(&data).map_err(|error| anyhow::anyhow!("{shown}: {error}"))?;
    let found = Inspection::new(&target);
    let mut out = std::io::stdout().lock();

    writeln!(out, "{shown}")?;
    writeln!(out, "  Go version    {}", printable(&found.go_version))?;
    writeln!(
        out,
        "  build         {}{}",
        if found.pie { "PIE" } else { "fixed address" },
        if found.stripped { ", stripped" } else { "" }
    )?;
    writeln!(out, "  CGO_ENABLED   {}", found.cgo_enabled.as_deref().map_or("not recorded".into(), printable))?;
    writeln!(out, "  build id      {}", found.build_id.as_deref().unwrap_or("none"))?;
    writeln!(out, "  Go functions  {}", found.functions)?;
    writeln!(out, "\nC functions with a Go wrapper: {}", found.c_functions.len())?;
    for function in &found.c_functions {
        writeln!(out, "  {}  ({})", printable(&function.name), printable(&function.package))?;
    }
    writeln!(out)?;
    match &found.plan {
        Ok(plan) => print_plan(&mut out, plan)?,
        Err(error) => writeln!(out, "engine trampoline: can't be used: {error}")?,
    }
    match &found.probes {
        Ok(plan) => print_probes(&mut out, plan)?,
        Err(error) => writeln!(out, "engine uprobe: can't be used: {error}")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print_plan(out: &mut dyn Write, plan: &Plan) -> std::io::Result<()> {
    writeln!(out, "engine trampoline: {} patches", plan.patches.len())?;
    for patch in &plan.patches {
        let bytes: String = patch.original.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "  {:<16}  {}  {:<20}  in {}", format!("{:?}", patch.hook), patch.at, bytes, patch.function)?;
    }
    let frames = plan.frames;
    writeln!(
        out,
        "  frames         saved g +{:#x}, depth +{:#x}, frame +{:#x}",
        frames.saved_g, frames.saved_depth, frames.to_frame
    )?;
    writeln!(out, "  arguments      fn +{:#x}, arg +{:#x}", frames.spilled_fn, frames.spilled_arg)?;
    let offsets = plan.offsets;
    writeln!(
        out,
        "  runtime.m      procid {}, p {}, lockedExt {}",
        offsets.m_procid, offsets.m_p, offsets.m_locked_ext
    )?;
    if let Some(purego) = plan.purego {
        writeln!(out, "  purego         trampoline at {purego}: the C function is its argument's first word")?;
    }
    Ok(())
}

fn print_probes(out: &mut dyn Write, plan: &ProbePlan) -> std::io::Result<()> {
    writeln!(out, "engine uprobe: {} probes", plan.probes.len())?;
    for probe in &plan.probes {
        writeln!(
            out,
            "  {:<13}  {}  file +{:#x}  in {}",
            format!("{:?}", probe.point),
            probe.at,
            probe.offset.0,
            probe.function
        )?;
    }
    let offsets = plan.offsets;
    writeln!(
        out,
        "  runtime.g      goid {};  runtime.m  id {}, lockedExt {}",
        offsets.g_goid, offsets.m_id, offsets.m_locked_ext
    )
}
