//! The families in C: `benches/programs/families.o`, whose programs' names end in their sizes, → verdicts.

use std::sync::Arc;

use probity_objfile::Object;
use probity_platform::{Platform, Policy};
use probity_verifier::{Options, verify};

use super::measure::{self, Point};

/// One family in C.
pub struct Group {
    /// `clang/name`.
    pub name: String,
    /// Sizes, ascending, with the programs' names.
    pub members: Vec<(u64, String)>,
}

/// The object as committed.
pub fn object() -> Object {
    let path = crate::root().join("benches/programs/families.o");
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    probity_objfile::open("families", &bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn groups(object: &Object) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for program in &object.programs {
        let size = program.name.rsplit_once('_');
        let Some((stem, n)) = size.and_then(|(stem, n)| Some((stem, n.parse().ok()?))) else {
            continue;
        };
        let name = format!("clang/{stem}");
        let member = (n, program.name.clone());
        match groups.iter_mut().find(|g| g.name == name) {
            Some(group) => group.members.push(member),
            None => groups.push(Group {
                name,
                members: vec![member],
            }),
        }
    }
    for group in &mut groups {
        group.members.sort();
    }
    groups
}

impl Group {
    /// The verdict on each member, with the policy that its number of slots gives it.
    pub fn points(
        &self,
        object: &Object,
        platform: &Arc<Platform>,
        policy: impl Fn(u64) -> Policy,
        runs: usize,
    ) -> Vec<Point> {
        let judge = |(n, name): &(u64, String)| {
            let options = Options {
                programs: Some(vec![name.clone()]),
                ..Options::default()
            };
            let slots = object.program(name).map_or(0, |p| p.insns.len() as u64);
            let policy = policy(slots);
            measure::fastest(runs, || {
                let report = verify(object, platform, &policy, &options).expect("a report");
                measure::of_report(*n, 0, &report)
            })
        };
        self.members.iter().map(judge).collect()
    }

    /// As [`measure::within_target`]: is everything accepted at a cost in proportion to its slots?
    pub fn within_target(&self, object: &Object, platform: &Arc<Platform>) -> (Vec<Point>, bool) {
        let policy = |slots| measure::at_most(measure::target(slots));
        let points = self.points(object, platform, policy, 1);
        let all = points.iter().all(Point::accepted);
        (points, all)
    }

    /// As [`measure::falls_short`]: the largest size that is accepted within [`measure::BEYOND`].
    pub fn falls_short(&self, object: &Object, platform: &Arc<Platform>) -> (Vec<Point>, u64) {
        let policy = |_| measure::at_most(measure::BEYOND);
        let points = self.points(object, platform, policy, 1);
        let accepted = points.iter().take_while(|p| p.accepted()).last();
        let accepted = accepted.map_or(0, |p| p.n);
        (points, accepted)
    }
}
