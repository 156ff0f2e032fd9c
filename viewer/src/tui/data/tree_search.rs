//! What a pattern matches in a tree, and the way from match to match.

use std::sync::{Arc, PoisonError};

use super::super::pattern::Pattern;
use super::matches::Matches;
use super::tree::Tree;
use crate::value::Value;

impl Tree {
    /// What a pattern matches; kept until something else is searched for.
    pub(crate) fn matches(&self, pattern: &Pattern, value: Value) -> Arc<Matches> {
        let mut kept = self.matches.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(matches) if matches.is_of(pattern, value) => Arc::clone(matches),
            _ => Arc::clone(kept.insert(Arc::new(self.search(pattern, value)))),
        }
    }

    fn search(&self, pattern: &Pattern, value: Value) -> Matches {
        let functions: Vec<bool> = self.names.iter().map(|name| pattern.matches(name)).collect();
        let (links, sizes) = (&self.growth.links, &self.growth.sizes[value as usize]);
        let (mut leads, mut below) = (vec![false; links.len()], vec![false; links.len()]);
        let (mut count, mut sum) = (0, 0.0);
        for node in 1..links.len() {
            let above = below[links[node].parent as usize];
            let own = links[node].rank.is_some_and(|rank| functions[rank as usize]) && sizes[node] > 0.0;
            count += usize::from(own);
            sum += if own && !above { sizes[node] } else { 0.0 };
            below[node] = own || above;
            leads[node] = own;
        }
        for node in (1..links.len()).rev() {
            leads[links[node].parent as usize] |= leads[node] && sizes[node] > 0.0;
        }
        Matches { text: pattern.text().to_owned(), value, functions, leads, count, sum }
    }

    /// Whether a node is a match.
    pub(crate) fn is_match(&self, matches: &Matches, node: usize) -> bool {
        self.growth.links[node].rank.is_some_and(|rank| matches.functions[rank as usize])
    }

    /// The next match after a node, as a tree is read from the top: largest children first. After the last comes the
    /// first.
    pub(crate) fn match_after(&self, matches: &Matches, node: usize) -> Option<usize> {
        let first = |nodes: &[usize]| nodes.iter().copied().find(|&node| matches.leads[node]);
        let mut next = first(&self.sorted_children(node, matches.value));
        let mut above = node;
        while next.is_none() && above != 0 {
            let beside = self.sorted_children(self.parent(above), matches.value);
            let at = beside.iter().position(|&sibling| sibling == above).map_or(0, |at| at + 1);
            next = first(&beside[at..]);
            above = self.parent(above);
        }
        let mut next = next.or_else(|| Some(0).filter(|&root| matches.leads[root]))?;
        while !self.is_match(matches, next) {
            next = first(&self.sorted_children(next, matches.value))?;
        }
        Some(next)
    }

    /// The match before a node. Before the first comes the last.
    pub(crate) fn match_before(&self, matches: &Matches, node: usize) -> Option<usize> {
        let last = |nodes: &[usize]| nodes.iter().copied().rfind(|&node| matches.leads[node]);
        let mut above = node;
        let mut end = Some(0).filter(|&root| matches.leads[root])?;
        while above != 0 {
            let parent = self.parent(above);
            let beside = self.sorted_children(parent, matches.value);
            let at = beside.iter().position(|&sibling| sibling == above).unwrap_or(0);
            if let Some(before) = last(&beside[..at]) {
                end = before;
                break;
            }
            if self.is_match(matches, parent) {
                return Some(parent);
            }
            above = parent;
        }
        while let Some(below) = last(&self.sorted_children(end, matches.value)) {
            end = below;
        }
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::super::direction::Direction;
    use super::*;
    use crate::tui::sample_data;

    #[test]
    fn what_is_found_below_what_is_found_is_not_counted_again() {
        let profile = sample_data::named("callbacks");
        let tree = Tree::new(&profile, Direction::Down);
        let matches = tree.matches(&Pattern::new("^runtime.cgocall$").unwrap(), Value::Calls);
        assert!(matches.count > 1);
        let all: u64 = profile
            .cells
            .iter()
            .filter(|cell| cell.via == cgoprof_profile::Via::Cgocall)
            .map(|cell| cell.stats.calls)
            .sum();
        assert_eq!(matches.sum, all as f64);
    }

    #[test]
    fn going_on_leads_to_every_match_in_the_order_in_which_a_tree_is_read() {
        for (name, profile) in sample_data::recorded() {
            for direction in [Direction::Down, Direction::Up] {
                let tree = Tree::new(&profile, direction);
                for (value, text) in
                    [(Value::Calls, "."), (Value::Total, "a"), (Value::Blocked, "cgo"), (Value::Calls, "zz")]
                {
                    let pattern = Pattern::new(text).unwrap();
                    let (mut read, mut next) = (Vec::new(), vec![0]);
                    while let Some(node) = next.pop() {
                        read.push(node);
                        next.extend(tree.sorted_children(node, value).into_iter().rev());
                    }
                    let matches = tree.matches(&pattern, value);
                    let expected: Vec<usize> =
                        read.iter().copied().filter(|&node| node != 0 && tree.is_match(&matches, node)).collect();
                    assert_eq!(matches.count, expected.len(), "{name} {text}");
                    let (mut forth, mut back) = (vec![], vec![]);
                    let (mut up, mut down) = (0, 0);
                    for _ in &expected {
                        down = tree.match_after(&matches, down).expect("a match");
                        up = tree.match_before(&matches, up).expect("a match");
                        forth.push(down);
                        back.insert(0, up);
                    }
                    assert_eq!((&forth, &back), (&expected, &expected), "{name} {text}");
                    assert_eq!(tree.match_after(&matches, down), expected.first().copied(), "{name} {text}: around");
                    assert_eq!(tree.match_before(&matches, up), expected.last().copied(), "{name} {text}: around");
                }
            }
        }
    }
}
