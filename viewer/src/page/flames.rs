//! Flame graphs of the page: a tree for each value, without frames too small to be seen.

use std::collections::HashMap;

use cgoprof_profile::{Kind, Profile};
use serde_json::{Value as Json, json};

use crate::export::weighted_stacks::{TRUNCATED, weighted_stacks};
use crate::units::printable;
use crate::value::Value;

/// Share of the whole below which a frame is left out: it bounds the page, whatever the number of stacks.
const LEAST: f64 = 1.0 / 20_000.0;

/// A frame of a tree.
struct Node {
    name: usize,
    kind: Kind,
    size: f64,
    children: HashMap<(usize, Kind), usize>,
}

/// Returns the trees of all values that the recording has, the usual one first, and the names that they share.
pub(super) fn all(profile: &Profile) -> Json {
    let mut names = Names::default();
    let default = Value::default_of(profile);
    let others = Value::ALL.into_iter().filter(|&value| value != default);
    let graphs: Vec<Json> =
        std::iter::once(default).chain(others).filter_map(|value| graph(profile, value, &mut names)).collect();
    json!({ "names": names.all, "graphs": graphs })
}

#[derive(Default)]
struct Names {
    numbers: HashMap<String, usize>,
    all: Vec<String>,
}

impl Names {
    fn number(&mut self, name: String) -> usize {
        *self.numbers.entry(name).or_insert_with_key(|name| {
            self.all.push(name.clone());
            self.all.len() - 1
        })
    }
}

/// Returns the tree of a value as `[depth, name, kind, size]` of each frame, outer ones first; none if it is empty.
fn graph(profile: &Profile, value: Value, names: &mut Names) -> Option<Json> {
    let mut nodes =
        vec![Node { name: names.number("all".into()), kind: Kind::Go, size: 0.0, children: HashMap::new() }];
    for stack in weighted_stacks(profile, value) {
        let outermost = stack.truncated.then(|| (TRUNCATED.to_owned(), Kind::Go));
        let frames = stack.frames.iter().rev().map(|frame| (printable(frame.position.function), frame.kind));
        nodes[0].size += stack.size as f64;
        let mut at = 0;
        for (name, kind) in outermost.into_iter().chain(frames) {
            let key = (names.number(name), kind);
            let next = nodes.len();
            at = *nodes[at].children.entry(key).or_insert(next);
            if at == next {
                nodes.push(Node { name: key.0, kind, size: 0.0, children: HashMap::new() });
            }
            nodes[at].size += stack.size as f64;
        }
    }
    let (least, mut left_out) = (nodes[0].size * LEAST, 0u64);
    let (mut flat, mut open) = (Vec::new(), vec![(0, 0)]);
    while let Some((depth, at)) = open.pop() {
        let node = &nodes[at];
        flat.push(json!([depth, node.name, kind_number(node.kind), node.size]));
        let mut children: Vec<usize> = node.children.values().copied().collect();
        // The largest first, and those of one size in the order of their names.
        children.sort_by(|&one, &other| {
            let by_size = nodes[one].size.total_cmp(&nodes[other].size);
            by_size.then_with(|| names.all[nodes[other].name].cmp(&names.all[nodes[one].name]))
        });
        for child in children {
            if nodes[child].size >= least {
                open.push((depth + 1, child));
            } else {
                left_out += 1;
            }
        }
    }
    (nodes[0].size > 0.0).then(|| {
        json!({ "key": value.name(), "title": value.title(), "isTime": value != Value::Calls, "leftOut": left_out,
                "nodes": flat })
    })
}

fn kind_number(kind: Kind) -> u8 {
    match kind {
        Kind::Go => 0,
        Kind::Border => 1,
        Kind::C => 2,
        Kind::Kernel => 3,
    }
}
