//! Samples as OpenTelemetry's profiles (https://opentelemetry.io/docs/specs/otel/profiles/).

mod dictionary;
mod proto;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write;

use cgoprof_profile::Profile;
use cgoprof_profile::encode::{CPU, SAMPLE_TYPES};
use cgoprof_profile::increment::Increment;
use prost::Message as _;

use self::dictionary::Dictionary;
use self::proto::{
    AnyValue, ExportResponse, InstrumentationScope, KeyValue, OneProfile, ProfilesData, Resource, ResourceProfiles, Sample,
    ScopeProfiles, ValueType,
};
use super::format::{ExportError, Format};
use super::tracks::processes;
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
        let whole = Increment::whole(profile);
        if whole.stacks.is_empty() {
            return Err(ExportError::Nothing("the recording has no samples"));
        }
        Ok(output.write_all(&request(profile, &whole, &[]))?)
    }
}

/// Returns a part of a profile as the body of a request to a collector. `attributes` are of the program, and go before those
/// that are known of it.
pub fn request(profile: &Profile, increment: &Increment, attributes: &[(String, String)]) -> Vec<u8> {
    let mut dictionary = Dictionary::new(profile);
    let mut of_process = |(process, of_one): (usize, &Profile)| {
        let of_value = |at| of_value((process, of_one), increment, at, &mut dictionary);
        let profiles = (0..SAMPLE_TYPES.len()).filter_map(of_value).collect();
        let scope = InstrumentationScope { name: "cgoprof".into(), version: env!("CARGO_PKG_VERSION").into() };
        ResourceProfiles {
            resource: Some(resource(of_one, attributes)),
            scope_profiles: vec![ScopeProfiles { scope: Some(scope), profiles }],
        }
    };
    let resource_profiles = processes(profile).map(|(_, process)| process).enumerate().map(&mut of_process).collect();
    ProfilesData { resource_profiles, dictionary: Some(dictionary.into_tables()) }.encode_to_vec()
}

/// Returns why a collector has not taken all of a request, by the body of an answer that says success
/// (`ExportProfilesServiceResponse`).
pub fn rejected(answer: &[u8]) -> Option<String> {
    let partial = ExportResponse::decode(answer).ok()?.partial_success?;
    (partial.rejected_profiles > 0).then(|| format!("{} profiles rejected: {}", partial.rejected_profiles, partial.error_message))
}

/// Returns what the program is, by OpenTelemetry's conventions for resources.
fn resource(profile: &Profile, given: &[(String, String)]) -> Resource {
    let target = &profile.target;
    let name = printable(target.program());
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
    let known = attributes.into_iter().chain(pid).filter(|(key, _)| given.iter().all(|(other, _)| other != key));
    let given = given.iter().map(|(key, value)| (key.as_str(), text(value)));
    let attributes = known.chain(given).map(|(key, value)| KeyValue { key: key.into(), value: Some(value) });
    Resource { attributes: attributes.collect() }
}

/// Returns the profile of a process and a value, by its place in [`SAMPLE_TYPES`]; none if the process has nothing of it.
fn of_value(
    (process, profile): (usize, &Profile),
    increment: &Increment,
    at: usize,
    dictionary: &mut Dictionary<'_>,
) -> Option<OneProfile> {
    let with_value = increment.stacks.iter().filter(|stack| stack.process == process && stack.values[at] != 0);
    let samples: Vec<Sample> = with_value
        .map(|stack| Sample { stack_index: dictionary.stack(&stack.stack), values: vec![stack.values[at]] })
        .collect();
    let (name, unit) = SAMPLE_TYPES[at];
    let value_type = |dictionary: &mut Dictionary| ValueType {
        type_strindex: dictionary.string(name),
        unit_strindex: dictionary.string(unit),
    };
    (!samples.is_empty()).then(|| OneProfile {
        profile_id: profile_id(profile, increment, name, &samples),
        sample_type: Some(value_type(dictionary)),
        samples,
        time_unix_nano: increment.start_unix_ns,
        duration_nano: increment.duration_ns,
        period_type: Some(value_type(dictionary)),
        period: if at == CPU { profile.recording.sample_period_ns as i64 } else { 1 },
    })
}

/// Returns 16 bytes by which receivers know a profile again: a hash of its samples and its time.
fn profile_id(profile: &Profile, increment: &Increment, name: &str, samples: &[Sample]) -> Vec<u8> {
    let half = |seed: u64| {
        let mut hash = DefaultHasher::new();
        (seed, name, increment.start_unix_ns, increment.duration_ns, profile.target.pid).hash(&mut hash);
        samples.iter().for_each(|sample| (sample.stack_index, &sample.values).hash(&mut hash));
        hash.finish().to_be_bytes()
    };
    [half(1), half(2)].concat()
}

#[cfg(test)]
mod tests {
    use super::proto::PartialSuccess;
    use super::*;

    #[test]
    fn a_success_that_is_partial_is_told() {
        let answer = |rejected_profiles| {
            let partial = PartialSuccess { rejected_profiles, error_message: "too old".into() };
            ExportResponse { partial_success: Some(partial) }.encode_to_vec()
        };
        assert_eq!(rejected(&answer(2)), Some("2 profiles rejected: too old".into()));
        assert_eq!((rejected(&answer(0)), rejected(b""), rejected(b"{}")), (None, None, None));
    }
}
