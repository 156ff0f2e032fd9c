//! `cgoprof doctor`: shows what this machine lets this user do, and how to allow more.

use std::io::Write as _;
use std::process::ExitCode;

use cgoprof_collector::doctor::{Ability, Findings};
use serde_json::json;

/// Show what this machine allows you to record, and how to allow more
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the findings. The exit status is 1 if nothing can be recorded.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let found = Findings::gather();
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", as_json(&found))?;
    } else {
        write!(out, "{}", as_text(&found))?;
    }
    Ok(ExitCode::from(u8::from(!found.can_record())))
}

fn as_json(found: &Findings) -> serde_json::Value {
    let ability = |ability: &Ability| {
        json!({
            "name": ability.name,
            "works": ability.why_not.is_none(),
            "gives": ability.gives,
            "why_not": ability.why_not,
            "without": ability.without,
            "way_out": ability.way_out,
        })
    };
    json!({
        "schema": "cgoprof.doctor/1",
        "kernel": found.kernel,
        "machine": found.machine,
        "uid": found.uid,
        "capabilities": found.capabilities.map(|set| format!("{set:016x}")),
        "seccomp": found.seccomp,
        "ptrace_scope": found.ptrace_scope,
        "perf_event_paranoid": found.perf_event_paranoid,
        "tracefs": found.tracefs,
        "abilities": found.abilities.iter().map(ability).collect::<Vec<_>>(),
    })
}

fn as_text(found: &Findings) -> String {
    let mut text = format!("Linux {} on {}, user id {}\n\n", found.kernel, found.machine, found.uid);
    for ability in &found.abilities {
        let mark = match (&ability.why_not, ability.without) {
            (Some(_), _) => "no",
            (None, Some(_)) => "part",
            (None, None) => "yes",
        };
        text += &format!("{mark:<5} {:<21} {}\n", ability.name, ability.gives);
        if let Some(why_not) = &ability.why_not {
            text += &format!("{:28}{why_not}\n", "");
        }
        if let Some(without) = ability.without {
            text += &format!("{:28}without {without}\n", "");
        }
        if let Some(way_out) = ability.way_out {
            text += &format!("{:28}to allow it: {way_out}\n", "");
        }
    }
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "not known".into());
    let seccomp = found.seccomp.map(|mode| match mode {
        0 => "none".to_owned(),
        1 => "strict".to_owned(),
        _ => "a filter".to_owned(),
    });
    let facts = [
        ("capabilities", or_none(found.capabilities.map(|set| format!("{set:016x}")))),
        ("seccomp", or_none(seccomp)),
        ("perf_event_paranoid", or_none(found.perf_event_paranoid.map(|level| level.to_string()))),
        ("yama ptrace_scope", found.ptrace_scope.map_or("no yama".into(), |scope| scope.to_string())),
        ("tracefs", found.tracefs.unwrap_or("not mounted, or not ours to see").to_owned()),
    ];
    text += "\n";
    for (name, value) in facts {
        text += &format!("{name:<20}  {value}\n");
    }
    text
}
