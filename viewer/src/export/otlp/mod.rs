//! Samples as OpenTelemetry's profiles (https://opentelemetry.io/docs/specs/otel/profiles/).

mod dictionary;
mod proto;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write;

use cgoprof_profile::encode::{CPU, SAMPLE_TYPES, values};
use cgoprof_profile::{LocationId, Profile};
use prost::Message as _;

use self::dictionary::Dictionary;
use self::proto::{
    AnyValue, InstrumentationScope, KeyValue, OneProfile, ProfilesData, Resource, ResourceProfiles, Sample,
    ScopeProfiles, ValueType,
};
use super::format::{ExportError, Format};
use crate::paths::file_name;
use crate::units::printable;

/// A profile for each value of the file (crossings, time, time in C, and so on), as `ProfilesData`. These bytes are an
/// `ExportProfilesServiceRequest` too.
pub struct Otlp;

impl Format for Otlp {
    fn name(&self) -> &'static str {
        "otlp"
    }

    fn about(&self) -> &'static str {
        "OpenTelemetry profiles (v1development): the body of a request to a collector"
    }

    fn is_binary(&self) -> bool {
        true
    }

    fn write(&self, profile: &Profile, output: &mut dyn Write) -> Result<(), ExportError> {
        let data = profiles_data(profile);
        if data.resource_profiles.iter().all(|one| one.scope_profiles.iter().all(|scope| scope.profiles.is_empty())) {
            return Err(ExportError::Nothing("the recording has no samples"));
        }
        Ok(output.write_all(&data.encode_to_vec())?)
    }
}

fn profiles_data(profile: &Profile) -> ProfilesData {
    let mut dictionary = Dictionary::new(profile);
    let profiles = (0..SAMPLE_TYPES.len()).filter_map(|at| of_value(profile, at, &mut dictionary)).collect();
    let scope = InstrumentationScope { name: "cgoprof".into(), version: env!("CARGO_PKG_VERSION").into() };
    ProfilesData {
        resource_profiles: vec![ResourceProfiles {
            resource: Some(resource(profile)),
            scope_profiles: vec![ScopeProfiles { scope: Some(scope), profiles }],
        }],
        dictionary: Some(dictionary.into_tables()),
    }
}

/// Returns what the program is, by OpenTelemetry's conventions for resources.
fn resource(profile: &Profile) -> Resource {
    let target = &profile.target;
    let name = printable(file_name(&target.path));
    let text = |text: &str| AnyValue { string_value: Some(printable(text)), int_value: None };
    let attributes = [
        ("service.name", text(&name)),
        ("process.executable.name", text(&name)),
        ("process.executable.path", text(&target.path)),
        ("process.runtime.name", text("go")),
        ("process.runtime.version", text(&target.go_version)),
    ];
    // A sum is of several processes.
    let pid = AnyValue { string_value: None, int_value: Some(i64::from(target.pid)) };
    let pid = (target.pid != 0).then_some(("process.pid", pid));
    let attributes = attributes.into_iter().chain(pid).map(|(key, value)| KeyValue { key: key.into(), value: Some(value) });
    Resource { attributes: attributes.collect() }
}

/// Returns the profile of a value, by its place in [`SAMPLE_TYPES`]; none if the recording has nothing of it.
fn of_value(profile: &Profile, at: usize, dictionary: &mut Dictionary) -> Option<OneProfile> {
    let mut samples = Vec::new();
    let mut add = |stack: &[LocationId], value: i64| {
        if value != 0 {
            samples.push(Sample { stack_index: dictionary.stack(stack), values: vec![value] });
        }
    };
    if at == CPU {
        for sampled in &profile.samples {
            add(&sampled.stack, sampled.samples.saturating_mul(profile.recording.sample_period_ns) as i64);
        }
    } else {
        for cell in &profile.cells {
            add(&cell.stack, values(&cell.stats)[at]);
        }
    }
    let (name, unit) = SAMPLE_TYPES[at];
    let value_type = |dictionary: &mut Dictionary| ValueType {
        type_strindex: dictionary.string(name),
        unit_strindex: dictionary.string(unit),
    };
    (!samples.is_empty()).then(|| OneProfile {
        profile_id: profile_id(profile, name, &samples),
        sample_type: Some(value_type(dictionary)),
        samples,
        time_unix_nano: profile.recording.start_unix_ns,
        duration_nano: profile.recording.duration_ns,
        period_type: Some(value_type(dictionary)),
        period: if at == CPU { profile.recording.sample_period_ns as i64 } else { 1 },
    })
}

/// Returns 16 bytes by which receivers know a profile again: a hash of its samples and its time.
fn profile_id(profile: &Profile, name: &str, samples: &[Sample]) -> Vec<u8> {
    let half = |seed: u64| {
        let mut hash = DefaultHasher::new();
        (seed, name, profile.recording.start_unix_ns, profile.recording.duration_ns, profile.target.pid).hash(&mut hash);
        samples.iter().for_each(|sample| (sample.stack_index, &sample.values).hash(&mut hash));
        hash.finish().to_be_bytes()
    };
    [half(1), half(2)].concat()
}
