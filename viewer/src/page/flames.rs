//! Flame graphs of the page: a tree for each value, without frames too small to be seen.

use std::collections::HashMap;

use cgoprof_profile::{Kind, Profile};
use serde_json::{Value as Json, json};

use crate::export::weighted_stacks::weighted_stacks;
use crate::numbered::Numbered;
use crate::units::printable;
use crate::value::Value;

/// Share of the whole below which a frame is left out: it bounds the page, whatever the number of stacks.
const LEAST: f64 = 1.0 / 20_000.0;

/// A frame of a tree.
struct Node {
    name: usize,
    kind: Kind,
    size: f64,
    /// Its size in the recording that this one is compared with.
    before: f64,
    children: HashMap<(usize, Kind), usize>,
}

/// Returns the trees of all values that the recording has, the usual one first, and the names that they share. With a
/// recording from before, frames have their sizes in that, too.
pub(super) fn all(profile: &Profile, before: Option<&Profile>) -> Json {
    let mut names = Numbered::default();
    let values = Value::default_first(profile);
    let graphs: Vec<Json> = values.filter_map(|value| graph(profile, before, value, &mut names)).collect();
    json!({ "names": names.all(), "graphs": graphs })
}

/// Frames of a tree, the root first.
struct Nodes(Vec<Node>);

impl Nodes {
    fn new(names: &mut Numbered<String>) -> Nodes {
        let mut nodes = Nodes(Vec::new());
        nodes.push(names.number("all".into()), Kind::Go);
        nodes
    }

    fn push(&mut self, name: usize, kind: Kind) -> usize {
        self.0.push(Node { name, kind, size: 0.0, before: 0.0, children: HashMap::new() });
        self.0.len() - 1
    }

    /// Adds the stacks of a recording to one of the sizes.
    fn add(
        &mut self,
        profile: &Profile,
        value: Value,
        names: &mut Numbered<String>,
        size: impl Fn(&mut Node) -> &mut f64,
    ) {
        for stack in weighted_stacks(profile, value) {
            let outermost = stack.outermost().map(|name| (name, Kind::Go));
            let frames = stack.frames.iter().rev().map(|frame| (printable(frame.position.function), frame.kind));
            let mut at = 0;
            *size(&mut self.0[at]) += stack.size as f64;
            for (name, kind) in outermost.chain(frames) {
                let key = (names.number(name), kind);
                at = match self.0[at].children.get(&key) {
                    Some(&child) => child,
                    None => {
                        let child = self.push(key.0, kind);
                        self.0[at].children.insert(key, child);
                        child
                    }
                };
                *size(&mut self.0[at]) += stack.size as f64;
            }
        }
    }
}

/// Returns the tree of a value as `[depth, name, kind, size]` of each frame, outer ones first, and its size before if the
/// recording from before has any of the value; none if the tree is empty.
fn graph(profile: &Profile, before: Option<&Profile>, value: Value, names: &mut Numbered<String>) -> Option<Json> {
    let mut nodes = Nodes::new(names);
    nodes.add(profile, value, names, |node| &mut node.size);
    if let Some(before) = before {
        nodes.add(before, value, names, |node| &mut node.before);
    }
    let nodes = nodes.0;
    let has_before = nodes[0].before > 0.0;
    let (least, mut left_out) = (nodes[0].size * LEAST, 0u64);
    let (mut flat, mut open) = (Vec::new(), vec![(0, 0)]);
    while let Some((depth, at)) = open.pop() {
        let node = &nodes[at];
        let mut frame = vec![json!(depth), json!(node.name), json!(node.kind.number()), json!(node.size)];
        frame.extend(has_before.then(|| json!(node.before)));
        flat.push(frame);
        let mut children: Vec<usize> = node.children.values().copied().collect();
        // The largest first, and those of one size in the order of their names.
        children.sort_by(|&one, &other| {
            let by_size = nodes[one].size.total_cmp(&nodes[other].size);
            by_size.then_with(|| names.all()[nodes[other].name].cmp(&names.all()[nodes[one].name]))
        });
        for child in children {
            // Frames that are gone have no width.
            match nodes[child].size {
                0.0 => {}
                size if size >= least => open.push((depth + 1, child)),
                _ => left_out += 1,
            }
        }
    }
    (nodes[0].size > 0.0).then(|| {
        json!({ "key": value.name(), "title": value.title(), "isTime": value != Value::Calls, "leftOut": left_out,
                "hasBefore": has_before, "nodes": flat })
    })
}
