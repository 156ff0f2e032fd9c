//! Engines that were tried and can't be used.

use super::Problem;
use crate::engines::{Candidate, EngineError, EngineKind, Subject, candidate};

/// Engines and why they can't be used, in the order in which they were tried.
pub(super) struct Refused(Vec<(EngineKind, EngineError)>);

/// Returns the engines that may be tried on a program, the best first, and those that can't be.
pub(super) fn candidates(wanted: Option<EngineKind>, subject: &Subject<'_>) -> (Vec<Box<dyn Candidate>>, Refused) {
    let (mut candidates, mut refused) = (Vec::new(), Refused(Vec::new()));
    for kind in EngineKind::ALL.into_iter().filter(|&kind| wanted.is_none_or(|wanted| wanted == kind)) {
        match candidate(kind, subject.target) {
            Ok(candidate) => candidates.push(candidate),
            Err(error) => refused.add(kind, error),
        }
    }
    (candidates, refused)
}

/// Returns what the first engine that works gives, if one does. Adds to `refused` why those before it don't work.
///
/// # Errors
/// If an engine failed with an error that `ends` the attempt.
pub(super) fn first_that_works<T>(
    candidates: &[Box<dyn Candidate>],
    refused: &mut Refused,
    ends: impl Fn(&EngineError) -> bool,
    mut work: impl FnMut(&dyn Candidate) -> Result<T, EngineError>,
) -> Result<Option<(EngineKind, T)>, (EngineKind, EngineError)> {
    for candidate in candidates {
        let kind = candidate.kind();
        match work(candidate.as_ref()) {
            Ok(works) => return Ok(Some((kind, works))),
            Err(error) if ends(&error) => return Err((kind, error)),
            Err(error) => refused.add(kind, error),
        }
    }
    Ok(None)
}

impl Refused {
    pub(super) fn add(&mut self, engine: EngineKind, error: EngineError) {
        self.0.push((engine, error));
    }

    pub(super) fn problem(mut self) -> Problem {
        if self.0.len() == 1 {
            let (engine, error) = self.0.remove(0);
            return Problem::Engine(engine, error);
        }
        Problem::NoEngine(self.0)
    }

    /// Returns the notes for a recording in which engine `taken` took their place.
    pub(super) fn notes(&self, taken: EngineKind) -> Vec<String> {
        self.0
            .iter()
            .map(|(engine, error)| format!("recorded with engine {taken}, because {engine}: {error}"))
            .collect()
    }
}
